use serde::{Deserialize, Serialize};

use super::{
    error::{QuestionError, SourceError},
    set::{Questions, final_number},
    source::is_zero,
};
use crate::{
    method::{Question, Render},
    word_problems::{Split, WordProblem},
};

/// A draw of the [word problems](crate::word_problems) that the tiny model was not trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stories {
    /// The number of stories.
    pub count: usize,
    /// The half of all stories to draw from. The stories to mine and those to answer should come from different halves.
    pub half: Half,
    /// The topics to draw from; all of them where the list is empty.
    #[serde(default)]
    pub topics: Vec<String>,
    /// The numbers of changes, from 2 to 4, that a story may have; all of them where the list is empty.
    #[serde(default)]
    pub steps: Vec<usize>,
    /// The seed of the draw.
    #[serde(default)]
    pub seed: u64,
    /// The number of stories to leave out, from the first of the draw.
    // Left out where it is 0, as settings of earlier versions do not have it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skip: usize,
}

/// The most stories of a draw: more than any comparison needs, and few enough to be drawn in seconds.
const MOST: usize = 1_000_000;

/// A half of all stories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// The stories to mine.
    Mine,
    /// The stories to answer.
    Answer,
}

impl Stories {
    /// Draws the stories.
    ///
    /// # Errors
    /// [`SourceError`] for a count of 0, an unknown topic, a number of steps that no story has, or too few stories of that
    /// kind.
    pub fn draw(&self) -> Result<Vec<WordProblem>, SourceError> {
        SourceError::check(self.count > 0, "count", || "is 0, must be at least 1".to_owned())?;
        for topic in &self.topics {
            let is_known = WordProblem::topics().any(|known| known == topic);
            SourceError::check(is_known, "topics", || format!("has {topic:?}, but there are no stories of that"))?;
        }
        if let Some(steps) = self.steps.iter().find(|steps| !(2..=4).contains(*steps)) {
            return Err(SourceError { setting: "steps", reason: format!("is {steps}, must be from 2 to 4") });
        }
        let wanted = |problem: &WordProblem| {
            let half = if problem.is_even() { Half::Mine } else { Half::Answer };
            half == self.half
                && (self.topics.is_empty() || self.topics.iter().any(|topic| topic == problem.topic()))
                && (self.steps.is_empty() || self.steps.contains(&problem.steps()))
        };
        // Draws of other lengths begin alike, so parts of one draw have no story in common.
        let all = self.count.saturating_add(self.skip);
        SourceError::check(all <= MOST, "count", || format!("and skip are {all} together, must be at most {MOST}"))?;
        let mut drawn = WordProblem::draw_some(all, self.seed, Split::HeldOut, wanted);
        drawn.drain(..self.skip.min(drawn.len()));
        let found = drawn.len();
        SourceError::check(found == self.count, "count", || {
            format!("is {}, but only {found} such stories were found", self.count)
        })?;
        Ok(drawn)
    }

    /// Draws the stories and makes their prompts by `render`: the chat template of a model.
    ///
    /// # Errors
    /// Fails like [`draw`](Self::draw); [`QuestionError::Prompt`] for a prompt that cannot be rendered.
    pub fn questions<X>(&self, render: &Render<'_, X>) -> Result<Questions, QuestionError<X>> {
        let ask = |(i, problem): (usize, WordProblem)| {
            let id = format!("story-{}", self.skip + i);
            let prompt = render(None, &problem.question)
                .map_err(|source| QuestionError::Prompt { place: format!("problem {id:?}"), source })?;
            let gold = problem.answer.to_string();
            Ok(Question { id, prompt, user: problem.question, gold, ..Question::default() })
        };
        let questions = self.draw()?.into_iter().enumerate().map(ask).collect::<Result<_, QuestionError<X>>>()?;
        Ok(Questions { source: "stories".into(), is_numbered: true, ..Questions::new(questions, final_number()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_a_file_takes_no_memory() {
        let stories = |count, skip| Stories { count, half: Half::Mine, topics: vec![], steps: vec![], seed: 0, skip };
        for (count, skip) in [(usize::MAX, 0), (1, usize::MAX), (1_000_000_000, 0)] {
            let error = stories(count, skip).draw().unwrap_err();
            assert!(error.reason.contains("must be at most 1000000"), "{error}");
        }
        assert_eq!(stories(2, 1).draw().unwrap(), stories(3, 0).draw().unwrap()[1..]);
    }
}
