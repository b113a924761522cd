use stir_controller::{Steered, Step};
use stir_core::{Finish, Generated, TokenId, Vocab, judged_text};
use stir_grade::{Judge, Judged};
use stir_report::Record;

use super::context::Question;

/// The answer of a method and what it took: a [`Record`] before it is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The prompt of the answer; `None` where it is that of the question.
    pub prompt: Option<String>,
    /// The text of the answer.
    pub text: String,
    /// The tokens of the answer.
    pub token_ids: Vec<TokenId>,
    /// The number of tokens of the answer (committed tokens).
    pub tokens: usize,
    /// The number of tokens of probes at control points. (Those of an unsteered probe that became the start of its
    /// segment are counted here and among the committed tokens.)
    pub probe_tokens: usize,
    /// The number of all other tokens that were generated.
    pub other_tokens: usize,
    /// The number of forward passes that the answer took part in.
    pub forward_passes: usize,
    /// The reason why the text ended.
    pub finish: Finish,
    /// The steps, segment by segment, where the method steers.
    pub steps: Vec<Step>,
    /// The ends of the steps in `text`, in bytes; ascending.
    pub segment_ends: Vec<usize>,
}

impl Reply {
    /// Returns the reply of plain decoding.
    pub fn generated(vocab: &Vocab, generated: Generated) -> Self {
        Self {
            prompt: None,
            text: generated.text(vocab),
            tokens: generated.tokens.len(),
            token_ids: generated.tokens,
            probe_tokens: 0,
            other_tokens: 0,
            forward_passes: generated.forward_passes,
            finish: generated.finish,
            steps: Vec::new(),
            segment_ends: Vec::new(),
        }
    }

    /// Returns an empty reply, for a prompt that leaves no room for an answer in the model's context.
    pub fn no_room() -> Self {
        Self {
            prompt: None,
            text: String::new(),
            token_ids: Vec::new(),
            tokens: 0,
            probe_tokens: 0,
            other_tokens: 0,
            forward_passes: 0,
            finish: Finish::Length,
            steps: Vec::new(),
            segment_ends: Vec::new(),
        }
    }

    /// Returns the reply of steered decoding.
    pub fn steered(vocab: &Vocab, steered: Steered) -> Self {
        let Steered { generated, probe_tokens, steps, .. } = steered;
        Self { probe_tokens, ..Self::generated(vocab, generated) }.with_steps(vocab, steps)
    }

    /// Judges the reply to `question`. If its prompt opens the reasoning, the judge reads the text after the opening tag
    /// ([`judged_text`]), so that nothing counts that was only thought.
    pub fn judge(&self, question: &Question, judge: &dyn Judge) -> Judged {
        let prompt = self.prompt.as_deref().unwrap_or(&question.prompt);
        judge.judge(&question.gold, &judged_text(prompt, &self.text))
    }

    /// Judges the reply to `question` and returns its record.
    pub fn judged(self, question: &Question, judge: &dyn Judge) -> Record {
        let judged = self.judge(question, judge);
        Record {
            id: question.id.clone(),
            prompt: self.prompt.unwrap_or_else(|| question.prompt.clone()),
            gold: question.gold.clone(),
            judged,
            text: self.text,
            token_ids: self.token_ids,
            tokens: self.tokens,
            probe_tokens: self.probe_tokens,
            other_tokens: self.other_tokens,
            forward_passes: self.forward_passes,
            finish: self.finish,
            steps: self.steps,
            segment_ends: self.segment_ends,
            seconds: None,
        }
    }

    /// Returns the reply with the steps that its tokens are made of.
    pub(crate) fn with_steps(mut self, vocab: &Vocab, steps: Vec<Step>) -> Self {
        self.segment_ends = segment_ends(vocab, &self.token_ids, &self.text, &steps);
        self.steps = steps;
        self
    }
}

/// Returns the places in `text`, the text of `tokens`, where each of `steps` ends. A step that ends within a character
/// ends before it.
fn segment_ends(vocab: &Vocab, tokens: &[TokenId], text: &str, steps: &[Step]) -> Vec<usize> {
    let (mut token, mut end) = (0, 0);
    let ends = steps.iter().map(|step| {
        token = (token + step.tokens).min(tokens.len());
        let before = vocab.text(&tokens[..token]).len();
        // Half a character reads as one of another length: an end never goes back because of it.
        end = end.max(text.floor_char_boundary(before));
        end
    });
    ends.collect()
}
