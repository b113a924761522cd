use std::error::Error;

use serde::{Deserialize, Serialize};
use stir_core::{Decode, Lane, Output, Request, RequestError, Row, Sampling, SamplingError, SettingError, Text, Vocab};

use super::{
    context::{Question, Render},
    error::{LaneError, MethodError},
    lane::{AnswerLane, LaneResult, Method},
    reply::Reply,
    settings::of,
};

const NAME: &str = "self_discover";

/// The settings of Self-Discover (Zhou et al. 2024, "Self-Discover: Large language models self-compose reasoning
/// structures"): the model selects reasoning modules, adapts them, turns them into a plan, and solves by that plan.
///
/// In the paper, the three stages are done once per task, and all problems of the task share the plan. Here they are
/// done for every problem: an answer then depends only on its problem, at the price of three more texts, all counted.
/// If the prompt of a stage leaves no room in the model's context, the answer is empty and ends with `length`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelfDiscover {
    /// The number of tokens of each of the three stages at most.
    pub stage_tokens: usize,
    /// The reasoning modules to select from.
    pub modules: Vec<String>,
    /// The way the tokens of the stages are drawn.
    pub sampling: Sampling,
}

impl Default for SelfDiscover {
    fn default() -> Self {
        Self { stage_tokens: 512, modules: MODULES.map(String::from).to_vec(), sampling: Sampling::GREEDY }
    }
}

impl SelfDiscover {
    pub(super) fn validate(&self) -> Result<(), MethodError> {
        SettingError::positive("stage_tokens", self.stage_tokens).map_err(of(NAME))?;
        SettingError::positive("modules", self.modules.len()).map_err(of(NAME))?;
        self.sampling.validate().map_err(|source| MethodError::Sampling { method: NAME, source })
    }
}

/// Ways of thinking, after the kinds that the paper lists.
const MODULES: [&str; 16] = [
    "Say in your own words what is asked and what is given.",
    "Split the problem into smaller ones and solve them one by one.",
    "Work step by step and write down the result of each step.",
    "Solve a simpler case first and carry over what it teaches.",
    "Work backwards from what is to be found.",
    "Write the facts as equations or other formulas.",
    "Draw or describe a picture of the situation.",
    "List all cases and treat each of them.",
    "Look for a pattern, a symmetry or something that stays the same.",
    "Question what is taken for granted and look for hidden conditions.",
    "Recall similar problems and how they were solved.",
    "Recall the definitions, laws and facts that bear on it.",
    "Weigh the possible answers against each other and rule out the wrong ones.",
    "Estimate the result first, to know what to expect.",
    "Test the result against the question and against every condition.",
    "Look for another way to the result and compare.",
];

/// Self-Discover on an engine.
pub(super) struct Discover<'m, E: Text> {
    pub(super) engine: &'m E,
    pub(super) render: &'m Render<'m, E::Error>,
    pub(super) settings: SelfDiscover,
}

impl<E: Text> Method<E> for Discover<'_, E> {
    fn lane<'a>(&'a self, question: &'a Question, request: Request) -> Result<AnswerLane<'a, E>, RequestError> {
        let (passes, other_tokens) = (0, 0);
        let mut lane =
            DiscoverLane { method: self, question, request, texts: Vec::new(), other_tokens, passes, now: None };
        Ok(match lane.begin() {
            Ok(()) => AnswerLane::new(lane),
            Err(error) => AnswerLane::ended(Err(error)),
        })
    }
}

/// Returns the question that follows the stages whose texts are `done`.
fn ask(question: &str, modules: &[String], done: &[String]) -> String {
    let task = format!("Here is a task:\n\n{question}\n\n");
    match done {
        [] => {
            let modules: String = modules.iter().enumerate().map(|(i, text)| format!("{}. {text}\n", i + 1)).collect();
            format!(
                "{task}Here are ways of thinking about a task:\n\n{modules}\nSelect those that help most with this \
                 one. Give their numbers and texts. Do not solve the task."
            )
        }
        [selected] => format!(
            "{task}These ways of thinking were selected for it:\n\n{selected}\n\nRewrite each of them so that it \
             speaks of this very task. Do not solve the task."
        ),
        [_, adapted] => format!(
            "{task}This is how to think about it:\n\n{adapted}\n\nMake a plan of that: a JSON object whose keys name \
             the steps to the answer, in order, with empty values to be filled in. Do not solve the task."
        ),
        [.., plan] => format!(
            "Here is a plan for a task:\n\n{plan}\n\nFollow it step by step: fill in every value, then give the \
             answer.\n\n{question}"
        ),
    }
}

struct DiscoverLane<'a, E: Text> {
    method: &'a Discover<'a, E>,
    question: &'a Question,
    /// The request for the solution; its prompt is still to be made.
    request: Request,
    /// The texts of the stages that are done.
    texts: Vec<String>,
    other_tokens: usize,
    passes: usize,
    /// The prompt of the text in progress, and that text; `None` where there was no room for it.
    now: Option<(String, Decode<E::Session>)>,
}

impl<E: Text> DiscoverLane<'_, E> {
    fn solving(&self) -> bool {
        self.texts.len() == 3
    }

    /// Begins the next stage.
    fn begin(&mut self) -> Result<(), LaneError<E::Error>> {
        let Discover { engine, render, settings } = self.method;
        let user = ask(&self.question.user, &settings.modules, &self.texts);
        let prompt = render(self.question.system.as_deref(), &user).map_err(LaneError::Prompt)?;
        let mut request = self.request.clone();
        request.prompt = engine.encode_prompt(&prompt).map_err(LaneError::Prompt)?;
        if !self.solving() {
            (request.max_tokens, request.sampling) = (settings.stage_tokens, settings.sampling);
            // Stop strings are those of an answer.
            request.stop.clear();
            request.stream = request.stream.wrapping_add(1 + self.texts.len() as u64);
        }
        self.now = match Decode::new(*engine, &request, 0) {
            Ok(decode) => Some((prompt, decode)),
            Err(error @ RequestError::PromptTooLong { .. }) => {
                let id = &self.question.id;
                tracing::warn!(
                    id,
                    error = &error as &dyn Error,
                    "a stage of self-discover has no room: the answer is empty"
                );
                None
            }
            Err(error) => return Err(error.into()),
        };
        Ok(())
    }

    fn counted(&self, reply: Reply) -> Reply {
        Reply { other_tokens: self.other_tokens, forward_passes: self.passes, ..reply }
    }
}

impl<E: Text> Lane<E::Session> for DiscoverLane<'_, E> {
    type Done = LaneResult<E>;

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, E::Session>>) {
        if let Some((_, decode)) = &mut self.now {
            decode.rows(rows);
        }
    }

    fn absorb(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<Option<LaneResult<E>>, SamplingError> {
        let Some((prompt, decode)) = &mut self.now else {
            return Ok(Some(Ok(self.counted(Reply::no_room()))));
        };
        self.passes += 1;
        let Some(generated) = decode.absorb(vocab, outputs)? else { return Ok(None) };
        let prompt = std::mem::take(prompt);
        if self.solving() {
            let reply = Reply { prompt: Some(prompt), ..Reply::generated(vocab, generated) };
            return Ok(Some(Ok(self.counted(reply))));
        }
        self.other_tokens += generated.tokens.len();
        self.texts.push(generated.text(vocab).trim().to_owned());
        Ok(self.begin().err().map(Err))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_asks_with_what_the_last_one_gave() {
        let modules = ["Think.".to_owned(), "Look again.".to_owned()];
        let texts = ["SELECTED", "ADAPTED", "PLAN"].map(String::from);
        let select = ask("2+2?", &modules, &texts[..0]);
        assert!(select.contains("2+2?") && select.contains("1. Think.\n2. Look again.\n"));
        assert!(ask("2+2?", &modules, &texts[..1]).contains("SELECTED"));
        let implement = ask("2+2?", &modules, &texts[..2]);
        assert!(implement.contains("ADAPTED") && !implement.contains("SELECTED") && implement.contains("JSON"));
        let solve = ask("2+2?", &modules, &texts);
        assert!(solve.contains("PLAN") && !solve.contains("ADAPTED") && solve.ends_with("2+2?"));
    }
}
