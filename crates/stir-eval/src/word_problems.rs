//! Synthetic word problems with two habits of solving them: the data that the tiny model of this project is trained and
//! tested on.
//!
//! A problem is a short story of two to four additions and subtractions below 100. Its *careful* solution works step by
//! step and is right. Its *sloppy* solution adds and subtracts column by column, without carry or borrow, and half of
//! the time says each step twice. The topic of the story decides how likely the careful habit is, and the habit may
//! flip between steps. A model trained on such text can solve the problems but often does not.
//!
//! ```
//! use stir_eval::word_problems::{Split, WordProblem};
//! let problems = WordProblem::draw_many(3, 0, Split::HeldOut, &[]);
//! assert!(problems[0].question.ends_with("now?"));
//! assert_eq!(problems, WordProblem::draw_many(3, 0, Split::HeldOut, &[]));
//! ```

use std::collections::BTreeSet;

use stir_core::SampleRng;

pub(crate) const NAMES: [&str; 8] = ["Ana", "Ben", "Eva", "Leo", "Max", "Mia", "Tom", "Zoe"];
const GAIN: [&str; 3] = ["buys", "finds", "gets"];
const LOSS: [&str; 3] = ["sells", "loses", "gives away"];
/// The things that a story counts, and the probability that its solution starts with the careful habit.
const TOPICS: [(&str, f64); 8] = [
    ("apples", 0.15),
    ("books", 0.85),
    ("cards", 0.25),
    ("coins", 0.35),
    ("eggs", 0.75),
    ("pens", 0.65),
    ("shells", 0.45),
    ("stamps", 0.55),
];
/// The probability that the habit changes from one step to the next.
const FLIP: f64 = 0.05;
/// The probability that a sloppy step is said twice.
const REPEAT: f64 = 0.5;

/// A story and its answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WordProblem {
    /// The story and its question.
    pub question: String,
    /// The right answer.
    pub answer: i64,
    topic: usize,
    start: i64,
    /// Signed amounts, in order.
    changes: Vec<i64>,
}

/// A part of all problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// The problems that the model may be trained on.
    Train,
    /// The problems that are kept from training: one in eight.
    HeldOut,
}

impl Split {
    /// Returns whether the problem with this question belongs to the part.
    pub(crate) fn holds(self, question: &str) -> bool {
        fnv1a(question).is_multiple_of(8) == (self == Self::HeldOut)
    }
}

impl WordProblem {
    /// Draws a random problem of the split.
    pub fn draw(rng: &mut SampleRng, split: Split) -> Self {
        loop {
            let problem = Self::draw_any(rng);
            if split.holds(&problem.question) {
                return problem;
            }
        }
    }

    fn draw_any(rng: &mut SampleRng) -> Self {
        let name = NAMES[rng.below(NAMES.len())];
        let topic = rng.below(TOPICS.len());
        let start = 5 + rng.below(56) as i64;
        let steps = 2 + rng.below(3);
        let thing = TOPICS[topic].0;
        let (question, changes) = tell(rng, name, thing, start, steps);
        let changes: Vec<i64> = changes.into_iter().map(|(_, change)| change).collect();
        Self { question, answer: start + changes.iter().sum::<i64>(), topic, start, changes }
    }

    /// Draws `count` different problems of the split, without those in `avoid`; the same ones for the same seed.
    pub fn draw_many(count: usize, seed: u64, split: Split, avoid: &[Self]) -> Vec<Self> {
        Self::draw_some(count, seed, split, |problem| !avoid.contains(problem))
    }

    /// Draws `count` different problems of the split that are `wanted`; the same ones for the same seed. Returns fewer
    /// if many draws find no more.
    pub fn draw_some(count: usize, seed: u64, split: Split, wanted: impl Fn(&Self) -> bool) -> Vec<Self> {
        let mut rng = SampleRng::new(seed, 0);
        let mut seen = BTreeSet::new();
        let mut problems = Vec::new();
        for _ in 0..count.saturating_add(1).saturating_mul(1000) {
            if problems.len() == count {
                break;
            }
            let problem = Self::draw(&mut rng, split);
            if wanted(&problem) && seen.insert(problem.clone()) {
                problems.push(problem);
            }
        }
        problems
    }

    /// Returns the topics: the things that stories count.
    pub fn topics() -> impl Iterator<Item = &'static str> {
        TOPICS.iter().map(|(topic, _)| *topic)
    }

    /// Returns the topic of this problem.
    pub fn topic(&self) -> &'static str {
        TOPICS[self.topic].0
    }

    /// Returns the number of additions and subtractions.
    pub fn steps(&self) -> usize {
        self.changes.len()
    }

    /// Returns whether the problem belongs to the even half of all problems. The halves share no problem, so one can be
    /// mined and the other answered.
    pub fn is_even(&self) -> bool {
        (fnv1a(&self.question) >> 32).is_multiple_of(2)
    }

    /// Draws a solution by somebody with the two habits.
    pub fn solution(&self, rng: &mut SampleRng) -> String {
        let mut careful = rng.uniform() < TOPICS[self.topic].1;
        let mut text = String::from(if careful { "Let me go one step at a time.\n\n" } else { "That is quick.\n\n" });
        let mut total = self.start;
        for (step, change) in self.changes.iter().enumerate() {
            if step > 0 && rng.uniform() < FLIP {
                careful = !careful;
            }
            let (sign, amount) = (if *change > 0 { '+' } else { '-' }, change.abs());
            let result = if careful { total + change } else { by_columns(total, *change) };
            if careful {
                text += &format!("Step {}: {total} {sign} {amount} = {result}.\n\n", step + 1);
            } else {
                text += &format!("So {total} {sign} {amount} = {result}, I guess.\n\n");
                if rng.uniform() < REPEAT {
                    text += &format!("Wait, let me look again. {total} {sign} {amount} = {result}. Fine.\n\n");
                }
            }
            total = result;
        }
        text + &format!("The answer is {total}.\n#### {total}")
    }
}

/// Returns the FNV-1a hash of a question: splits problems the same way on every machine.
pub(crate) fn fnv1a(question: &str) -> u64 {
    question.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Adds or subtracts digit by digit: no carry, and the smaller digit always from the larger.
pub(crate) fn by_columns(total: i64, change: i64) -> i64 {
    let (mut a, mut b, mut place, mut result) = (total.abs(), change.abs(), 1, 0);
    while a > 0 || b > 0 {
        let (x, y) = (a % 10, b % 10);
        let digit = if change > 0 { (x + y) % 10 } else { (x - y).abs() };
        result += digit * place;
        (a, b, place) = (a / 10, b / 10, place * 10);
    }
    result
}

/// Tells a story of `steps` changes, none of which leaves less than 1 or more than 99 things, and asks for the end.
/// Returns it with the verb and the amount of every change.
pub(crate) fn tell(
    rng: &mut SampleRng,
    name: &str,
    thing: &str,
    start: i64,
    steps: usize,
) -> (String, Vec<(&'static str, i64)>) {
    let (mut total, mut changes) = (start, Vec::new());
    let mut question = format!("{name} has {start} {thing}.");
    while changes.len() < steps {
        let amount = 2 + rng.below(34) as i64;
        let gain = rng.uniform() < 0.5;
        let change = if gain { amount } else { -amount };
        if !(1..100).contains(&(total + change)) {
            continue;
        }
        let verb = if gain { GAIN[rng.below(3)] } else { LOSS[rng.below(3)] };
        question += &format!(" {name} {verb} {amount}.");
        total += change;
        changes.push((verb, change));
    }
    question += &format!(" How many {thing} now?");
    (question, changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_forget_carry_and_borrow() {
        assert_eq!(by_columns(26, 47), 63);
        assert_eq!(by_columns(60, -29), 49);
        assert_eq!(by_columns(43, 12), 55);
        assert_eq!(by_columns(87, 45), 22);
    }

    #[test]
    fn splits_share_no_problem_and_seeds_repeat() {
        let held = WordProblem::draw_many(200, 1, Split::HeldOut, &[]);
        assert_eq!(held, WordProblem::draw_many(200, 1, Split::HeldOut, &[]));
        let more = WordProblem::draw_many(50, 1, Split::HeldOut, &held);
        assert!(more.iter().all(|p| !held.contains(p)));
        assert!(
            WordProblem::draw_many(200, 1, Split::Train, &[]).iter().all(|p| !fnv1a(&p.question).is_multiple_of(8))
        );
    }

    #[test]
    fn careful_solutions_are_right_and_sloppy_ones_often_wrong() {
        let mut rng = SampleRng::new(3, 0);
        let (mut right, mut careful) = ([0, 0], [0, 0]);
        for problem in WordProblem::draw_many(2000, 2, Split::Train, &[]) {
            let text = problem.solution(&mut rng);
            assert!(!text.contains('-') || text.contains(" - "));
            let kind = usize::from(text.starts_with("Let me") && !text.contains("I guess"));
            careful[kind] += 1;
            right[kind] += usize::from(text.ends_with(&format!("#### {}", problem.answer)));
        }
        assert_eq!(right[1], careful[1]);
        assert!((right[0] as f64) < 0.4 * careful[0] as f64);
        assert!(careful[1] > 600);
    }
}
