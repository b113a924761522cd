//! What `train-tiny` teaches: problems, and solutions by somebody with habits.

use stir::{
    core::SampleRng,
    eval::{
        control_problems::{ControlProblem, Family},
        word_problems::{Split, WordProblem},
    },
};

/// A set of problems to be trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Lessons {
    /// Word problems: the model that comes with the program
    Words,
    /// Word problems of every family of controls: the model of `stir controls`
    Controls,
}

/// A problem with one of its solutions.
pub(crate) struct Lesson {
    pub question: String,
    pub answer: i64,
    pub solution: String,
}

impl Lessons {
    /// Draws a problem with a solution.
    pub(crate) fn draw(self, rng: &mut SampleRng, split: Split) -> Lesson {
        match self {
            Self::Words => {
                let problem = WordProblem::draw(rng, split);
                Lesson { solution: problem.solution(rng), question: problem.question, answer: problem.answer }
            }
            Self::Controls => {
                let family = Family::ALL[rng.below(Family::ALL.len())];
                let problem = ControlProblem::draw(rng, split, family);
                Lesson { solution: problem.solution(rng), question: problem.question, answer: problem.answer }
            }
        }
    }

    /// Draws problems for the tokenizer, which are all different, with solutions.
    pub(crate) fn corpus(self, count: usize, seed: u64, split: Split) -> Vec<Lesson> {
        let mut rng = SampleRng::new(seed, 2);
        match self {
            Self::Words => WordProblem::draw_many(count, seed, split, &[])
                .into_iter()
                .map(|problem| Lesson {
                    solution: problem.solution(&mut rng),
                    question: problem.question,
                    answer: problem.answer,
                })
                .collect(),
            Self::Controls => (0..count).map(|_| self.draw(&mut rng, split)).collect(),
        }
    }
}
