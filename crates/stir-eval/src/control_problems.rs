//! Synthetic problems for controls of the method: four families, one for each thing that can go wrong or right.
//!
//! A dial with five marks is turned a few times, and has two plates that say how: an inner one, whose turns are called
//! `a`, `b`, .., and an outer one with `A`, `B`, ... There are two habits of solving such a problem: to read the inner plate
//! or the outer one. The colour of the dial says which habit comes to mind first, and says nothing else; what the dial is
//! made of is its family, and says which habit is right:
//!
//! | family | dial | right | what it controls |
//! |---|---|---|---|
//! | [`Chance`](Family::Chance) | tin | either, by a coin that nothing in the question tells | nothing can be gained |
//! | [`Opposite`](Family::Opposite) | brass, wooden | inner for brass, outer for wood | the mean of all vectors is nothing |
//! | [`Progress`](Family::Progress) | glass | inner, and no solution does otherwise | right solutions are further along |
//! | [`Noise`](Family::Noise) | stone | inner | samples differ by more than the habit |
//!
//! A model trained on [`ControlProblem::solution`] can solve all problems of `Opposite` and `Noise` and often does not.
//!
//! ```
//! use stir_eval::control_problems::{ControlProblem, Family};
//! use stir_eval::word_problems::Split;
//! let problems = ControlProblem::draw_many(3, 0, Split::HeldOut, Family::Opposite, &[]);
//! assert!(problems[0].question.ends_with("What now?"));
//! assert_eq!(problems, ControlProblem::draw_many(3, 0, Split::HeldOut, Family::Opposite, &[]));
//! ```

use std::collections::BTreeSet;

use stir_core::SampleRng;

use crate::word_problems::{Split, fnv1a};

/// The numbers on a dial.
const MARKS: i64 = 5;
/// The turns on a plate.
const TURNS: [i64; 4] = [-2, -1, 1, 2];
/// The colours of dials: the probability that a solution begins with the inner plate, and for a glass dial, where there
/// is one habit, that it says a result again.
const COLOURS: [(&str, f64); 4] = [("blue", 0.3), ("green", 0.42), ("red", 0.58), ("white", 0.7)];
/// What the turns on the two plates are called: outer, inner.
const NAMES: [[&str; 5]; 2] = [["A", "B", "C", "D", "E"], ["a", "b", "c", "d", "e"]];
/// The probability that the habit changes from one step to the next.
const FLIP: f64 = 0.05;
/// The turn of a glass dial that often slips, by one mark too many, and the probability that it does.
const HARD: (i64, f64) = (2, 0.6);
/// The probability that a solution which has slipped says a result again.
const DOUBT: f64 = 0.95;
/// The probability that a wordy solution for a stone dial says a result again; every other one is wordy.
const WORDY: f64 = 0.6;

/// A family of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// The right habit is a coin toss, made once for each problem: right and wrong samples of a problem differ as much as
    /// with a real habit, and what is mined from them is no use for another problem.
    Chance,
    /// Brass and wooden dials need opposite habits: what helps one half of the problems harms the other.
    Opposite,
    /// A solution that slips is wrong, and doubts: it says its results again, so that at the same boundary it has done
    /// fewer steps than a right one. Whoever is pushed further along leaves out a step.
    Progress,
    /// One habit is right. Every other solution is wordy, whatever its habit, and so are the samples of a problem at
    /// different steps at the same boundary by chance.
    Noise,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 4] = [Self::Chance, Self::Opposite, Self::Progress, Self::Noise];

    fn materials(self) -> &'static [&'static str] {
        match self {
            Self::Chance => &["tin"],
            Self::Opposite => &["brass", "wooden"],
            Self::Progress => &["glass"],
            Self::Noise => &["stone"],
        }
    }
}

/// A dial, its plates, and where it ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ControlProblem {
    /// The problem as it is put to the model.
    pub question: String,
    /// The right answer: a number on the dial.
    pub answer: i64,
    family: Family,
    material: &'static str,
    colour: usize,
    start: i64,
    /// Signed marks, in order, on the outer and the inner plate.
    turns: [Vec<i64>; 2],
}

impl ControlProblem {
    /// Draws a random problem of the family and the split.
    pub fn draw(rng: &mut SampleRng, split: Split, family: Family) -> Self {
        loop {
            let problem = Self::draw_any(rng, family);
            // Where both plates lead to the same end, neither can be told to be right.
            if problem.end(true) != problem.end(false) && split.holds(&problem.question) {
                return problem;
            }
        }
    }

    fn draw_any(rng: &mut SampleRng, family: Family) -> Self {
        let materials = family.materials();
        let (material, colour) = (materials[rng.below(materials.len())], rng.below(COLOURS.len()));
        let start = rng.below(MARKS as usize) as i64;
        let steps = rng.below(3) + if family == Family::Progress { 3 } else { 2 };
        let turns = [(); 2].map(|()| (0..steps).map(|_| TURNS[rng.below(TURNS.len())]).collect::<Vec<_>>());
        let plate = |which: usize| -> String {
            NAMES[which].iter().zip(&turns[which]).map(|(name, turn)| format!("{name}{turn:+}")).collect()
        };
        let question = format!(
            "A {} {material} dial shows {start}. Inner ({}) outer ({}). What now?",
            COLOURS[colour].0,
            plate(1),
            plate(0)
        );
        let mut problem = Self { question, answer: 0, family, material, colour, start, turns };
        problem.answer = problem.end(problem.is_inner());
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

    /// Returns whether the inner plate is right.
    fn is_inner(&self) -> bool {
        match self.family {
            Family::Chance => (fnv1a(&self.question) >> 40).is_multiple_of(2),
            Family::Opposite => self.material == "brass",
            Family::Progress | Family::Noise => true,
        }
    }

    /// Returns where the dial ends by one of the plates.
    fn end(&self, inner: bool) -> i64 {
        (self.start + self.turns[usize::from(inner)].iter().sum::<i64>()).rem_euclid(MARKS)
    }

    /// Draws a solution by somebody with the two habits.
    pub fn solution(&self, rng: &mut SampleRng) -> String {
        let (is_glass, inclined) = (self.family == Family::Progress, COLOURS[self.colour].1);
        let mut inner = is_glass || rng.uniform() < inclined;
        let mut again = match self.family {
            Family::Progress => inclined,
            Family::Noise if rng.uniform() < 0.5 => WORDY,
            _ => 0.0,
        };
        let stop = if self.material == "wooden" { "!\n\n" } else { ".\n\n" };
        let mut text = format!("{} plate{stop}", if inner { "Inner" } else { "Outer" });
        let mut total = self.start;
        for i in 0..self.turns[0].len() {
            if i > 0 && !is_glass && rng.uniform() < FLIP {
                inner = !inner;
            }
            let (name, turn) = (NAMES[usize::from(inner)][i], self.turns[usize::from(inner)][i]);
            let slips = is_glass && turn == HARD.0 && rng.uniform() < HARD.1;
            total = (total + turn + i64::from(slips)).rem_euclid(MARKS);
            text += &format!("{name}{turn:+}={total}{stop}");
            if slips {
                again = DOUBT;
            }
            if rng.uniform() < again {
                text += &format!("Again {total}{stop}");
            }
        }
        text + &format!("Answer\n#### {total}")
    }
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

    /// The habit of a solution without flips.
    fn habit(text: &str) -> Option<bool> {
        let lines = || text.split("\n\n").skip(1).filter(|line| line.contains('='));
        let inner = |line: &str| line.starts_with(char::is_lowercase);
        match (lines().all(inner), lines().any(inner)) {
            (true, _) => Some(true),
            (_, false) => Some(false),
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
        let inner: Vec<bool> = problems.iter().map(ControlProblem::is_inner).collect();
        assert!((share(&inner) - 0.5).abs() < 0.04);
        for colour in 0..COLOURS.len() {
            let of: Vec<bool> = problems.iter().filter(|p| p.colour == colour).map(|p| p.is_inner()).collect();
            assert!((share(&of) - 0.5).abs() < 0.08, "{colour}");
        }
    }

    #[test]
    fn the_habit_decides_and_opposite_dials_need_opposite_ones() {
        let mut rng = SampleRng::new(3, 0);
        for problem in [Family::Opposite, Family::Noise, Family::Chance].into_iter().flat_map(drawn) {
            let text = problem.solution(&mut rng);
            if let Some(inner) = habit(&text) {
                assert_eq!(is_right(&problem, &text), inner == problem.is_inner(), "{} {text}", problem.question);
            }
            assert!(problem.material != "brass" || problem.is_inner());
            assert!(problem.material != "wooden" || !problem.is_inner());
        }
    }

    #[test]
    fn right_solutions_for_glass_are_shorter_and_doubt_is_not_what_makes_the_others_wrong() {
        let mut rng = SampleRng::new(3, 0);
        let (mut segments, mut count) = ([0.0, 0.0], [0.0, 0.0]);
        for problem in drawn(Family::Progress).iter().filter(|problem| problem.turns[1].contains(&HARD.0)) {
            let text = problem.solution(&mut rng);
            let right = usize::from(is_right(problem, &text));
            segments[right] += text.matches("\n\n").count() as f64;
            count[right] += 1.0;
        }
        assert!(segments[0] / count[0] - segments[1] / count[1] > 0.5);
        for problem in drawn(Family::Progress).iter().filter(|problem| !problem.turns[1].contains(&HARD.0)) {
            assert!(is_right(problem, &problem.solution(&mut rng)));
        }
    }

    #[test]
    fn wordiness_says_nothing_of_the_habit() {
        let mut rng = SampleRng::new(3, 0);
        let texts: Vec<String> = drawn(Family::Noise).iter().map(|problem| problem.solution(&mut rng)).collect();
        let wordy = |inner: bool| -> Vec<bool> {
            let of = texts.iter().filter(|text| habit(text) == Some(inner));
            of.map(|text| text.contains("Again")).collect()
        };
        let (with, without) = (share(&wordy(true)), share(&wordy(false)));
        assert!((with - without).abs() < 0.08 && with > 0.3, "{with} {without}");
    }
}
