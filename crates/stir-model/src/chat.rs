use std::path::{Path, PathBuf};

use minijinja::{Environment, context, syntax::SyntaxConfig, value::Serde};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ModelError;

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
}

/// A model's chat template: how a conversation becomes the text of a prompt.
#[derive(Debug)]
pub struct ChatTemplate {
    dir: PathBuf,
    environment: Environment<'static>,
    special: Value,
}

/// Steps a template may take; a long conversation needs some thousands.
const FUEL: u64 = 10_000_000;

impl ChatTemplate {
    /// The template in a model folder: `chat_template.jinja`, or the one in `tokenizer_config.json`. `None` when there
    /// is neither.
    ///
    /// # Errors
    /// When a file cannot be read or the template does not parse.
    pub fn from_dir(dir: &Path) -> Result<Option<Self>, ModelError> {
        let config_path = dir.join("tokenizer_config.json");
        let config: Value = match read_optional(&config_path)? {
            Some(text) => {
                serde_json::from_str(&text).map_err(|source| ModelError::Json { path: config_path, source })?
            }
            None => Value::Null,
        };
        let template = match read_optional(&dir.join("chat_template.jinja"))? {
            Some(text) => Some(text),
            None => config["chat_template"].as_str().map(str::to_owned),
        };
        template.map(|template| Self::new(dir, template, &config)).transpose()
    }

    fn new(dir: &Path, template: String, config: &Value) -> Result<Self, ModelError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        let refused = |source| ModelError::ChatTemplate { path: dir.to_owned(), source };
        environment.set_syntax(syntax.map_err(refused)?);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned("chat", template).map_err(refused)?;
        // A special token is a string or an object with its content.
        let token =
            |name: &str| config[name].as_str().or(config[name]["content"].as_str()).unwrap_or_default().to_owned();
        let special = serde_json::json!({ "bos": token("bos_token"), "eos": token("eos_token") });
        Ok(Self { dir: dir.to_owned(), environment, special })
    }

    /// The prompt that asks for the assistant's next message.
    ///
    /// # Errors
    /// When the template refuses the messages.
    pub fn render(&self, messages: &[Message]) -> Result<String, ModelError> {
        let values = context! {
            messages => Serde(messages),
            add_generation_prompt => true,
            bos_token => self.special["bos"].as_str(),
            eos_token => self.special["eos"].as_str(),
        };
        let rendered = self.environment.get_template("chat").and_then(|template| template.render(values));
        rendered.map_err(|source| ModelError::ChatTemplate { path: self.dir.clone(), source })
    }
}

fn read_optional(path: &Path) -> Result<Option<String>, ModelError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ModelError::io(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Result<ChatTemplate, ModelError> {
        let config = serde_json::json!({"eos_token": {"content": "<e>"}, "bos_token": "<b>"});
        ChatTemplate::new(Path::new("model"), text.into(), &config)
    }

    #[test]
    fn templates_see_messages_and_special_tokens() {
        let text = "{{ bos_token }}{% for m in messages %}\n{{ m.role }}: {{ m['content'].strip() }}{{ eos_token }}\n{% endfor %}\n{% if add_generation_prompt %}go{% endif %}\n";
        let rendered = template(text).unwrap().render(&[Message::system("s"), Message::user(" hi ")]).unwrap();
        assert_eq!(rendered, "<b>system: s<e>\nuser: hi<e>\ngo");
    }

    #[test]
    fn hostile_templates_end() {
        assert!(template("{% for %}").is_err());
        for text in [
            "{{ raise_exception('no') }}",
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        ] {
            assert!(matches!(template(text).unwrap().render(&[]), Err(ModelError::ChatTemplate { .. })));
        }
    }
}
