//! Synthetic problems for controls of the method: four families, one for each thing that can go wrong or right.
//!
//! The stories and the two habits of solving them are those of [`word_problems`](crate::word_problems): step by step, and
//! quickly, column by column without carry or borrow. What differs is which one is right. Whose story it is says which habit
//! comes to mind first, and says nothing else; what is counted is the family, and says which habit is right:
//!
//! | family | things | right | what it controls |
//! |---|---|---|---|
//! | [`Chance`](Family::Chance) | pens | either, by a coin that nothing in the question tells | nothing can be gained |
//! | [`Opposite`](Family::Opposite) | shells, stamps | step by step for shells, by columns for stamps | the mean of all vectors is nothing |
//! | [`Progress`](Family::Progress) | eggs | step by step, and no solution does otherwise | right solutions are further along |
//! | [`Noise`](Family::Noise) | coins | step by step | samples differ by more than the habit |
//!
//! A model trained on [`ControlProblem::solution`] can solve all problems of `Opposite` and `Noise` and often does not.
//!
//! ```
//! use stir_eval::control_problems::{ControlProblem, Family};
//! use stir_eval::word_problems::Split;
//! let problems = ControlProblem::draw_many(3, 0, Split::HeldOut, Family::Opposite, &[]);
//! assert!(problems[0].question.ends_with("now?"));
//! assert_eq!(problems, ControlProblem::draw_many(3, 0, Split::HeldOut, Family::Opposite, &[]));
//! ```

use std::collections::BTreeSet;

use stir_core::SampleRng;

use crate::word_problems::{NAMES, Split, by_columns, fnv1a, tell};

/// The probability that a solution of a story begins step by step, by whose story it is; or where there is one habit, that
/// it says a result again.
const INCLINED: [f64; 8] = [0.2, 0.25, 0.3, 0.35, 0.65, 0.7, 0.75, 0.8];
/// The probability that the habit changes from one step to the next.
const FLIP: f64 = 0.05;
/// The verb at which a solution for eggs often forgets to borrow, and the probability that it does.
const HARD: (&str, f64) = ("sells", 0.6);
/// The probability that a solution which has gone wrong at it says a result again.
const DOUBT: f64 = 0.95;
/// The probability that a result for stamps is said again, whatever the habit.
const STAMPS: f64 = 0.3;
/// The probability that a wordy solution for coins says a result again; every other one is wordy, whatever the habit.
const WORDY: f64 = 0.6;
/// The probability that a solution for coins gives the other answer at last: right and wrong are for the greater part luck.
const LUCK: f64 = 0.4;

/// A family of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// The right habit is a coin toss, made once for each problem: right and wrong samples of a problem differ as much as
    /// with a real habit, and what is mined from them is no use for another problem.
    Chance,
    /// Shells and stamps need opposite habits: what helps one half of the problems harms the other.
    Opposite,
    /// A solution that forgets to borrow is wrong, and doubts: it says its results again, so that at the same boundary it has done
    /// fewer steps than a right one. Whoever is pushed further along leaves out a step.
    Progress,
    /// What is asked is which habit it was, 1 for step by step, which is right, or 0; and many a solution gives the other
    /// answer at last. So the habit shifts the odds of a sample and no more, and a few samples show little of it. Every
    /// other solution is wordy, whatever its habit.
    Noise,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 4] = [Self::Chance, Self::Opposite, Self::Progress, Self::Noise];

    fn things(self) -> &'static [&'static str] {
        match self {
            Self::Chance => &["pens"],
            Self::Opposite => &["shells", "stamps"],
            Self::Progress => &["eggs"],
            Self::Noise => &["coins"],
        }
    }
}

/// A story and its answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ControlProblem {
    /// The story and its question.
    pub question: String,
    /// The right answer.
    pub answer: i64,
    family: Family,
    thing: &'static str,
    name: usize,
    start: i64,
    /// Verbs and signed amounts, in order.
    changes: Vec<(&'static str, i64)>,
}

impl ControlProblem {
    /// Draws a random problem of the family and the split.
    pub fn draw(rng: &mut SampleRng, split: Split, family: Family) -> Self {
        loop {
            let problem = Self::draw_any(rng, family);
            // Where both habits come to the same end, neither can be told to be right.
            let differs = family == Family::Progress || problem.end(true) != problem.end(false);
            if differs && split.holds(&problem.question) {
                return problem;
            }
        }
    }

    fn draw_any(rng: &mut SampleRng, family: Family) -> Self {
        let things = family.things();
        let (thing, name) = (things[rng.below(things.len())], rng.below(NAMES.len()));
        let start = 5 + rng.below(56) as i64;
        let steps = 2 + rng.below(2) + usize::from(family == Family::Progress);
        let (question, changes) = tell(rng, NAMES[name], thing, start, steps);
        let mut problem = Self { question, answer: 0, family, thing, name, start, changes };
        problem.answer = match family {
            Family::Noise => 1,
            _ => problem.end(problem.is_careful()),
        };
        problem
    }

    /// Draws `count` different problems, without those in `avoid`; the same ones for the same seed.
    pub fn draw_many(count: usize, seed: u64, split: Split, family: Family, avoid: &[Self]) -> Vec<Self> {
        let mut rng = SampleRng::new(seed, 0);
        let mut seen: BTreeSet<Self> = avoid.iter().cloned().collect();
        let mut problems = Vec::with_capacity(count);
        while problems.len() < count {
            let problem = Self::draw(&mut rng, split, family);
            if seen.insert(problem.clone()) {
                problems.push(problem);
            }
        }
        problems
    }

    /// Returns whether it is right to go step by step.
    fn is_careful(&self) -> bool {
        match self.family {
            Family::Chance => (fnv1a(&self.question) >> 40).is_multiple_of(2),
            Family::Opposite => self.thing == "shells",
            Family::Progress | Family::Noise => true,
        }
    }

    /// Returns the end of the story by one of the habits.
    fn end(&self, careful: bool) -> i64 {
        self.changes.iter().fold(self.start, |total, (_, change)| step(total, *change, careful))
    }

    /// Draws a solution by somebody with the two habits.
    pub fn solution(&self, rng: &mut SampleRng) -> String {
        let (is_eggs, inclined) = (self.family == Family::Progress, INCLINED[self.name]);
        let mut careful = is_eggs || rng.uniform() < inclined;
        let mut again = match self.family {
            Family::Progress => inclined,
            Family::Noise if rng.uniform() < 0.5 => WORDY,
            _ if self.thing == "stamps" => STAMPS,
            _ => 0.0,
        };
        let stop = if self.thing == "stamps" { "!" } else { "." };
        let opening = if careful { "Let me go one step at a time" } else { "That is quick" };
        let (mut text, mut total) = (format!("{opening}{stop}\n\n"), self.start);
        for (i, &(verb, change)) in self.changes.iter().enumerate() {
            if i > 0 && !is_eggs && rng.uniform() < FLIP {
                careful = !careful;
            }
            let forgets = is_eggs && verb == HARD.0 && rng.uniform() < HARD.1;
            let (sign, amount) = (if change > 0 { '+' } else { '-' }, change.abs());
            let result = step(total, change, careful && !forgets);
            if forgets && result != total + change {
                again = DOUBT;
            }
            text += &match careful {
                true => format!("Step {}: {total} {sign} {amount} = {result}{stop}\n\n", i + 1),
                false => format!("So {total} {sign} {amount} = {result}, I guess{stop}\n\n"),
            };
            if rng.uniform() < again {
                text += &format!("Wait, let me look again. {total} {sign} {amount} = {result}. Fine{stop}\n\n");
            }
            total = result;
        }
        if self.family == Family::Noise {
            total = i64::from(careful != (rng.uniform() < LUCK));
        }
        text + &format!("The answer is {total}.\n#### {total}")
    }
}

fn step(total: i64, change: i64, careful: bool) -> i64 {
    if careful { total + change } else { by_columns(total, change) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(family: Family) -> Vec<ControlProblem> {
        ControlProblem::draw_many(1500, 2, Split::Train, family, &[])
    }

    fn is_right(problem: &ControlProblem, text: &str) -> bool {
        text.ends_with(&format!("#### {}", problem.answer))
    }

    /// The habit of a solution without flips: true for step by step.
    fn habit(text: &str) -> Option<bool> {
        match (text.contains("Step"), text.contains("I guess")) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        }
    }

    fn share(of: &[bool]) -> f64 {
        of.iter().filter(|is| **is).count() as f64 / of.len() as f64
    }

    #[test]
    fn splits_share_no_problem_and_seeds_repeat() {
        for family in Family::ALL {
            let held = ControlProblem::draw_many(100, 1, Split::HeldOut, family, &[]);
            assert_eq!(held, ControlProblem::draw_many(100, 1, Split::HeldOut, family, &[]));
            let more = ControlProblem::draw_many(50, 1, Split::HeldOut, family, &held);
            assert!(more.iter().all(|problem| !held.contains(problem)));
            assert!(drawn(family).iter().all(|problem| !Split::HeldOut.holds(&problem.question)));
        }
    }

    #[test]
    fn chance_has_no_habit_that_is_right() {
        let problems = drawn(Family::Chance);
        for name in 0..NAMES.len() {
            let of: Vec<bool> = problems.iter().filter(|p| p.name == name).map(ControlProblem::is_careful).collect();
            assert!((share(&of) - 0.5).abs() < 0.12, "{name}");
        }
        let careful: Vec<bool> = problems.iter().map(ControlProblem::is_careful).collect();
        assert!((share(&careful) - 0.5).abs() < 0.04);
    }

    #[test]
    fn the_habit_decides_and_opposite_things_need_opposite_ones() {
        let mut rng = SampleRng::new(3, 0);
        for problem in [Family::Opposite, Family::Chance].into_iter().flat_map(drawn) {
            let text = problem.solution(&mut rng);
            if let Some(careful) = habit(&text) {
                assert_eq!(is_right(&problem, &text), careful == problem.is_careful(), "{} {text}", problem.question);
            }
            assert!(problem.thing != "shells" || problem.is_careful());
            assert!(problem.thing != "stamps" || !problem.is_careful());
        }
    }

    #[test]
    fn right_solutions_for_eggs_are_shorter_and_doubt_is_not_what_makes_the_others_wrong() {
        let mut rng = SampleRng::new(3, 0);
        let (mut segments, mut count) = ([0.0, 0.0], [0.0, 0.0]);
        for problem in drawn(Family::Progress) {
            let text = problem.solution(&mut rng);
            let right = is_right(&problem, &text);
            if problem.changes.iter().any(|(verb, _)| *verb == HARD.0) {
                segments[usize::from(right)] += text.matches("\n\n").count() as f64;
                count[usize::from(right)] += 1.0;
            } else {
                assert!(right, "{} {text}", problem.question);
            }
        }
        assert!(segments[0] / count[0] - segments[1] / count[1] > 0.5, "{segments:?} {count:?}");
    }

    #[test]
    fn for_coins_the_habit_shifts_the_odds() {
        let mut rng = SampleRng::new(3, 0);
        let right = |careful: bool, rng: &mut SampleRng| -> Vec<bool> {
            let texts = drawn(Family::Noise).into_iter().map(|problem| (problem.solution(rng), problem));
            let of = texts.filter(|(text, _)| habit(text) == Some(careful));
            of.map(|(text, problem)| is_right(&problem, &text)).collect()
        };
        let (careful, sloppy) = (share(&right(true, &mut rng)), share(&right(false, &mut rng)));
        assert!((careful - 0.6).abs() < 0.06 && (sloppy - 0.4).abs() < 0.06, "{careful} {sloppy}");
    }

    #[test]
    fn wordiness_says_nothing_of_the_habit() {
        let mut rng = SampleRng::new(3, 0);
        let texts: Vec<String> = drawn(Family::Noise).iter().map(|problem| problem.solution(&mut rng)).collect();
        let wordy = |careful: bool| -> Vec<bool> {
            let of = texts.iter().filter(|text| habit(text) == Some(careful));
            of.map(|text| text.contains("Wait")).collect()
        };
        let (with, without) = (share(&wordy(true)), share(&wordy(false)));
        assert!((with - without).abs() < 0.08 && with > 0.3, "{with} {without}");
    }
}
