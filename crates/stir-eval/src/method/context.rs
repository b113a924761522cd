use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use stir_basis::Library;
use stir_core::Engine;
use stir_grade::{AnswerForm, Judge};

/// A question to a model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Question {
    /// The id, which no other question shares; also the source of the question's random stream.
    pub id: String,
    /// The whole prompt, with the chat template applied.
    pub prompt: String,
    /// The system message in the prompt, for methods that write their own prompts.
    pub system: Option<String>,
    /// The user message in the prompt, for methods that write their own prompts.
    pub user: String,
    /// The right answer.
    pub gold: String,
    /// The form of the answers, where a task decides it: the same question may be judged in several ways.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<AnswerForm>,
}

/// Makes the text of a prompt from a system and a user message: the chat template of a model.
pub type Render<'a, X> = dyn Fn(Option<&str>, &str) -> Result<String, X> + 'a;

/// Returns the judge of the answers to a question: the same for all, or one that knows the options of the question.
pub type Judges<'a> = dyn Fn(&Question) -> Arc<dyn Judge> + 'a;

/// Everything that a method may use.
pub struct MethodContext<'a, E: Engine> {
    /// The model.
    pub engine: &'a E,
    /// The judges that find and compare answers, for methods that take votes.
    pub judges: &'a Judges<'a>,
    /// The vectors, for methods that steer.
    pub library: Option<&'a Arc<Library>>,
    /// The chat template, for methods that write prompts.
    pub render: &'a Render<'a, E::Error>,
}

impl<E: Engine> Clone for MethodContext<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: Engine> Copy for MethodContext<'_, E> {}

impl<E: Engine> fmt::Debug for MethodContext<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, judges: _, library, render: _ } = self;
        let fields = &mut f.debug_struct("MethodContext");
        fields.field("model", engine.fingerprint()).field("has_library", &library.is_some()).finish_non_exhaustive()
    }
}
