use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::SystemTime,
};

use minijinja::{Error, ErrorKind, Value, value::Serde};
use serde::{Deserialize, Serialize};

use crate::{
    ChatTemplateError, ModelError,
    template::Template,
    tokenizer_config::{TokenizerConfig, read_json, read_optional},
};

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

impl Message {
    /// A message of the user.
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: "user".into(), content: content.into() }
    }

    /// A system message.
    pub fn system(content: impl Into<String>) -> Self {
        Self { role: "system".into(), content: content.into() }
    }

    /// What the model said.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self { role: "assistant".into(), content: content.into() }
    }
}

/// How a conversation is rendered.
///
/// ```
/// use stir_model::ChatOptions;
/// let mut options = ChatOptions::default();
/// assert!(options.add_generation_prompt);
/// options.variables.insert("enable_thinking".into(), false.into());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ChatOptions {
    /// Whether the text ends where the assistant's next message begins.
    pub add_generation_prompt: bool,
    /// What else the template sees (`enable_thinking`, `date_string`, `tools`, ...). A variable of the template's own,
    /// such as `bos_token`, may be replaced.
    pub variables: serde_json::Map<String, serde_json::Value>,
    /// What the template's clock (`strftime_now`) shows, in UTC. `None` is the time of rendering: the prompts of such
    /// a template then change from day to day.
    pub now: Option<SystemTime>,
}

impl Default for ChatOptions {
    /// A prompt for the assistant's next message, now.
    fn default() -> Self {
        Self { add_generation_prompt: true, variables: serde_json::Map::new(), now: None }
    }
}

/// A model's chat template: how a conversation becomes the text of a prompt.
///
/// Templates come with models, from anywhere, and are programs. What one may do is bounded in proportion to the
/// conversation: the instructions it takes, the text and lists it makes (some megabytes), the depth of its calls and
/// values. One that exceeds them is an error.
#[derive(Debug)]
pub struct ChatTemplate {
    dir: PathBuf,
    template: Template,
    special: BTreeMap<&'static str, String>,
}

impl ChatTemplate {
    /// The template in a model folder: `chat_template.jinja`, or that of `chat_template.json`, or of
    /// `tokenizer_config.json` (there may be several: the one named `default`). `None` when there is none.
    ///
    /// # Errors
    /// When a file cannot be read or the template does not parse.
    pub fn from_dir(dir: &Path) -> Result<Option<Self>, ModelError> {
        let config = TokenizerConfig::from_dir(dir)?;
        let json_path = dir.join("chat_template.json");
        let mut text = read_optional(&dir.join("chat_template.jinja"))?;
        if text.is_none()
            && let Some(json) = read_json(&json_path)?
        {
            text = of_json(&json_path, &json["chat_template"])?;
        }
        if text.is_none() {
            text = of_json(&config.path, &config.chat_template)?;
        }
        let Some(text) = text else { return Ok(None) };
        let refused = |source| ModelError::ChatTemplate { path: dir.to_owned(), source: ChatTemplateError(source) };
        Ok(Some(Self {
            dir: dir.to_owned(),
            template: Template::parse(&text).map_err(refused)?,
            special: config.tokens,
        }))
    }

    /// The prompt that asks for the assistant's next message.
    ///
    /// # Errors
    /// As [`render_with`](Self::render_with).
    pub fn render(&self, messages: &[Message]) -> Result<String, ModelError> {
        self.render_with(messages, &ChatOptions::default())
    }

    /// The text of a conversation. Messages are whatever the template understands: [`Message`]s, JSON values with tool
    /// calls or without content, types of your own.
    ///
    /// # Errors
    /// When the template refuses the messages, fails, or does more than it may.
    pub fn render_with<M: Serialize>(&self, messages: &[M], options: &ChatOptions) -> Result<String, ModelError> {
        let refused = |source| ModelError::ChatTemplate { path: self.dir.clone(), source: ChatTemplateError(source) };
        let size = |json: serde_json::Result<String>| {
            json.map(|json| json.len()).map_err(|source| {
                refused(Error::new(ErrorKind::BadSerialization, "no JSON of the messages").with_source(source))
            })
        };
        let input = size(serde_json::to_string(messages))? + size(serde_json::to_string(&options.variables))?;
        let mut variables: BTreeMap<String, Value> =
            self.special.iter().map(|(&name, token)| (name.into(), Value::from(token.as_str()))).collect();
        variables.insert("messages".into(), Value::from(Serde(messages)));
        variables.insert("add_generation_prompt".into(), options.add_generation_prompt.into());
        variables.extend(options.variables.iter().map(|(name, value)| (name.clone(), Value::from(Serde(value)))));
        self.template.render(variables, options.now.unwrap_or_else(SystemTime::now), input).map_err(refused)
    }
}

/// Whether `prompt` ends in an open `<think>`, as the generation prompts of some reasoning models do: what is generated
/// then starts amid the reasoning, and a `</think>` in it closes what it did not open.
///
/// ```
/// assert!(stir_model::opens_reasoning("<|Assistant|><think>\n"));
/// assert!(!stir_model::opens_reasoning("<|Assistant|><think>\n\n</think>\n\n"));
/// ```
pub fn opens_reasoning(prompt: &str) -> bool {
    prompt.trim_end().ends_with("<think>")
}

/// A template is a string, or the one named `default` of several.
fn of_json(path: &Path, value: &serde_json::Value) -> Result<Option<String>, ModelError> {
    let template = match value {
        serde_json::Value::Null => return Ok(None),
        serde_json::Value::Array(named) => {
            named.iter().find(|named| named["name"] == "default").map_or(&serde_json::Value::Null, |t| &t["template"])
        }
        template => template,
    };
    let supported = "a template, or a list of named ones with a default";
    let text = template.as_str().ok_or_else(|| ModelError::config(path, "chat_template", value, supported))?;
    Ok(Some(text.to_owned()))
}
