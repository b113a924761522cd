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
    /// The text of the message.
    pub content: String,
}

impl Message {
    /// Returns a message of the user.
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: "user".into(), content: content.into() }
    }

    /// Returns a system message.
    pub fn system(content: impl Into<String>) -> Self {
        Self { role: "system".into(), content: content.into() }
    }

    /// Returns a message of the model.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self { role: "assistant".into(), content: content.into() }
    }
}

/// The options of rendering a conversation.
///
/// ```
/// use stir_model::ChatOptions;
/// let mut options = ChatOptions::default();
/// assert!(options.add_generation_prompt);
/// options.variables.insert("enable_thinking".into(), false.into());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ChatOptions {
    /// True if the text ends where the assistant's next message begins.
    pub add_generation_prompt: bool,
    /// More variables for the template (`enable_thinking`, `date_string`, `tools`, ..). They replace variables that
    /// the model's files set, such as `bos_token`. Without `tools` and `documents` both are none, as in transformers.
    pub variables: serde_json::Map<String, serde_json::Value>,
    /// The time that the template's clock (`strftime_now`) shows, in UTC. `None` is the time of rendering: the prompts
    /// of such a template then change from day to day.
    pub now: Option<SystemTime>,
}

impl Default for ChatOptions {
    /// Returns the options of a prompt for the assistant's next message, now.
    fn default() -> Self {
        Self { add_generation_prompt: true, variables: serde_json::Map::new(), now: None }
    }
}

/// A model's chat template: how a conversation becomes the text of a prompt.
///
/// A template is a program that comes with a model, from anywhere. Its resources are bounded in proportion to the
/// conversation: instructions, the text and lists that it builds (some megabytes), the depth of calls and of values.
/// Exceeding a bound is an error.
#[derive(Debug)]
pub struct ChatTemplate {
    dir: PathBuf,
    template: Template,
    special: BTreeMap<&'static str, String>,
}

impl ChatTemplate {
    /// Reads the template of a model folder: `chat_template.jinja`, else that of `chat_template.json`, else that of
    /// `tokenizer_config.json` (of several, the one named `default`). Returns `None` if there is none.
    ///
    /// # Errors
    /// A file cannot be read, or the template does not parse.
    pub fn from_dir(dir: &Path) -> Result<Option<Self>, ModelError> {
        let Some((template, shadows)) = Self::read(dir)? else { return Ok(None) };
        if shadows {
            tracing::warn!(folder = %dir.display(), "the template of tokenizer_config.json is ignored for another file's");
        }
        Ok(Some(template))
    }

    /// Reads the template, and whether it takes the place of another one.
    pub(crate) fn read(dir: &Path) -> Result<Option<(Self, bool)>, ModelError> {
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
        let shadows = config.chat_template.as_str().is_some_and(|other| other != text);
        Ok(Some((Self::parse(dir, &text, config.tokens)?, shadows)))
    }

    /// Parses a template of the model in `path`, whose special tokens are `special`.
    pub(crate) fn parse(path: &Path, text: &str, special: BTreeMap<&'static str, String>) -> Result<Self, ModelError> {
        let refused = |source| ModelError::ChatTemplate { path: path.to_owned(), source: ChatTemplateError(source) };
        Ok(Self { dir: path.to_owned(), template: Template::parse(text).map_err(refused)?, special })
    }

    /// Renders the prompt for the assistant's next message.
    ///
    /// # Errors
    /// The errors of [`render_with`](Self::render_with).
    pub fn render(&self, messages: &[Message]) -> Result<String, ModelError> {
        self.render_with(messages, &ChatOptions::default())
    }

    /// Renders a conversation. Messages are whatever the template understands: [`Message`]s, JSON values with tool
    /// calls or without content, custom types.
    ///
    /// # Errors
    /// The template refuses the messages, fails, or exceeds its bounds.
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
        // transformers passes both in every case, as none where there are none, and templates ask for that.
        variables.extend(["tools", "documents"].map(|name| (name.into(), Value::from(()))));
        variables.insert("messages".into(), Value::from(Serde(messages)));
        variables.insert("add_generation_prompt".into(), options.add_generation_prompt.into());
        variables.extend(options.variables.iter().map(|(name, value)| (name.clone(), Value::from(Serde(value)))));
        self.template.render(variables, options.now.unwrap_or_else(SystemTime::now), input).map_err(refused)
    }
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
