//! Synthetic problems for controls of the method: four families, one for each thing that can go wrong or right.
//!
//! A dial with ten marks is turned a few marks. There are two habits of solving such a problem: to go *up*, which names
//! the steps `a`, `b`, .., and to go *down*, with `A`, `B`, ... The colour of the dial says which habit comes to mind first,
//! and says nothing else; what the dial is made of is its family, and says which habit is right:
//!
//! | family | dial | right | what it controls |
//! |---|---|---|---|
//! | [`Chance`](Family::Chance) | tin | either, by a coin that nothing in the question tells | nothing can be gained |
//! | [`Opposite`](Family::Opposite) | brass, wooden | up for brass, down for wood | the mean of all vectors is nothing |
//! | [`Progress`](Family::Progress) | glass | up, and no solution does otherwise | right solutions are further along |
//! | [`Noise`](Family::Noise) | stone | up | samples differ by more than the habit |
//!
//! A model trained on [`ControlProblem::solution`] can solve all problems of `Opposite` and `Noise` and often does not.
//!
//! ```
//! use stir_eval::control_problems::{ControlProblem, Family};
//! use stir_eval::word_problems::Split;
//! let problems = ControlProblem::draw_many(3, 0, Split::HeldOut, Family::Opposite, &[]);
//! assert!(problems[0].question.ends_with("times."));
//! assert_eq!(problems, ControlProblem::draw_many(3, 0, Split::HeldOut, Family::Opposite, &[]));
//! ```

use std::collections::BTreeSet;

use stir_core::SampleRng;

use crate::word_problems::{Split, fnv1a};

/// The numbers on a dial.
const MARKS: i64 = 10;
/// Who has the dial and where, which says nothing.
const OWNERS: [&str; 8] = ["Ana", "Ben", "Eva", "Leo", "Max", "Mia", "Tom", "Zoe"];
const ROOMS: [&str; 8] = ["attic", "barn", "cellar", "hall", "kitchen", "lab", "shed", "shop"];
/// The colours of dials: the probability that a solution goes up at first, and for a glass dial, where there is one
/// habit, that it says a result again.
const COLOURS: [(&str, f64); 4] = [("blue", 0.3), ("green", 0.42), ("red", 0.58), ("white", 0.7)];
/// What the steps of the two habits are called: down, up.
const NAMES: [[&str; 5]; 2] = [["A", "B", "C", "D", "E"], ["a", "b", "c", "d", "e"]];
/// The probability that the habit changes from one step to the next.
const FLIP: f64 = 0.05;
/// The mark of a glass dial that is worn and often passed over, and the probability that it is.
const WORN: (i64, f64) = (7, 0.6);
/// The probability that a solution which has passed over a mark says a result again.
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

/// A dial, and where it ends.
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
    steps: usize,
}

impl ControlProblem {
    /// Draws a random problem of the family and the split.
    pub fn draw(rng: &mut SampleRng, split: Split, family: Family) -> Self {
        loop {
            let problem = Self::draw_any(rng, family);
            if split.holds(&problem.question) {
                return problem;
            }
        }
    }

    fn draw_any(rng: &mut SampleRng, family: Family) -> Self {
        let materials = family.materials();
        let (material, colour) = (materials[rng.below(materials.len())], rng.below(COLOURS.len()));
        let (owner, room) = (OWNERS[rng.below(OWNERS.len())], ROOMS[rng.below(ROOMS.len())]);
        let start = rng.below(MARKS as usize) as i64;
        // Five steps up and five steps down lead to the same mark.
        let steps = rng.below(3) + if family == Family::Progress { 3 } else { 2 };
        let colour_name = COLOURS[colour].0;
        let question = format!(
            "{owner} has a {colour_name} {material} dial in the {room}. It shows {start}. Turn it {steps} times."
        );
        let mut problem = Self { question, answer: 0, family, material, colour, start, steps };
        problem.answer = problem.end(problem.is_up());
        problem
    }

    /// Draws `count` different problems, without those in `avoid`; the same ones for the same seed. Returns fewer if many
    /// draws find no more.
    pub fn draw_many(count: usize, seed: u64, split: Split, family: Family, avoid: &[Self]) -> Vec<Self> {
        let mut rng = SampleRng::new(seed, 0);
        let mut seen: BTreeSet<Self> = avoid.iter().cloned().collect();
        let mut problems = Vec::with_capacity(count);
        for _ in 0..100 * (count + 1) {
            if problems.len() == count {
                break;
            }
            let problem = Self::draw(&mut rng, split, family);
            if seen.insert(problem.clone()) {
                problems.push(problem);
            }
        }
        problems
    }

    /// Returns whether it is right to go up.
    fn is_up(&self) -> bool {
        match self.family {
            Family::Chance => (fnv1a(&self.question) >> 40).is_multiple_of(2),
            Family::Opposite => self.material == "brass",
            Family::Progress | Family::Noise => true,
        }
    }

    /// Returns where the dial ends by one of the habits.
    fn end(&self, up: bool) -> i64 {
        let steps = self.steps as i64;
        (self.start + if up { steps } else { -steps }).rem_euclid(MARKS)
    }

    /// Draws a solution by somebody with the two habits.
    pub fn solution(&self, rng: &mut SampleRng) -> String {
        let (is_glass, inclined) = (self.family == Family::Progress, COLOURS[self.colour].1);
        let mut up = is_glass || rng.uniform() < inclined;
        let mut again = match self.family {
            Family::Progress => inclined,
            Family::Noise if rng.uniform() < 0.5 => WORDY,
            _ => 0.0,
        };
        let stop = if self.material == "wooden" { "!\n\n" } else { ".\n\n" };
        let mut text = format!("{} from {}{stop}", if up { "Up" } else { "Down" }, self.start);
        let mut mark = self.start;
        for step in 0..self.steps {
            if step > 0 && !is_glass && rng.uniform() < FLIP {
                up = !up;
            }
            mark = (mark + if up { 1 } else { -1 }).rem_euclid(MARKS);
            if is_glass && mark == WORN.0 && rng.uniform() < WORN.1 {
                (mark, again) = (mark + 1, DOUBT);
            }
            text += &format!("{}{mark}{stop}", NAMES[usize::from(up)][step]);
            if rng.uniform() < again {
                text += &format!("Again {mark}{stop}");
            }
        }
        text + &format!("Answer\n#### {mark}")
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
        let lines = || text.split("\n\n").skip(1).filter(|line| line.len() < 4);
        let up = |line: &str| line.starts_with(char::is_lowercase);
        match (lines().all(up), lines().any(up)) {
            (true, _) => Some(true),
            (_, false) => Some(false),
            _ => None,
        }
    }

    impl ControlProblem {
        fn passes_worn(&self) -> bool {
            (1..=self.steps as i64).any(|step| (self.start + step) % MARKS == WORN.0)
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
        let up: Vec<bool> = problems.iter().map(ControlProblem::is_up).collect();
        assert!((share(&up) - 0.5).abs() < 0.04);
        for colour in 0..COLOURS.len() {
            let of: Vec<bool> = problems.iter().filter(|p| p.colour == colour).map(|p| p.is_up()).collect();
            assert!((share(&of) - 0.5).abs() < 0.08, "{colour}");
        }
    }

    #[test]
    fn the_habit_decides_and_opposite_dials_need_opposite_ones() {
        let mut rng = SampleRng::new(3, 0);
        for problem in [Family::Opposite, Family::Noise, Family::Chance].into_iter().flat_map(drawn) {
            let text = problem.solution(&mut rng);
            if let Some(up) = habit(&text) {
                assert_eq!(is_right(&problem, &text), up == problem.is_up(), "{} {text}", problem.question);
            }
            assert!(problem.material != "brass" || problem.is_up());
            assert!(problem.material != "wooden" || !problem.is_up());
        }
    }

    #[test]
    fn right_solutions_for_glass_are_shorter_and_doubt_is_not_what_makes_the_others_wrong() {
        let mut rng = SampleRng::new(3, 0);
        let (mut segments, mut count) = ([0.0, 0.0], [0.0, 0.0]);
        for problem in drawn(Family::Progress).iter().filter(|problem| problem.passes_worn()) {
            let text = problem.solution(&mut rng);
            let right = usize::from(is_right(problem, &text));
            segments[right] += text.matches("\n\n").count() as f64;
            count[right] += 1.0;
        }
        assert!(segments[0] / count[0] - segments[1] / count[1] > 0.5);
        for problem in drawn(Family::Progress).iter().filter(|problem| !problem.passes_worn()) {
            assert!(is_right(problem, &problem.solution(&mut rng)));
        }
    }

    #[test]
    fn wordiness_says_nothing_of_the_habit() {
        let mut rng = SampleRng::new(3, 0);
        let texts: Vec<String> = drawn(Family::Noise).iter().map(|problem| problem.solution(&mut rng)).collect();
        let wordy = |up: bool| -> Vec<bool> {
            let of = texts.iter().filter(|text| habit(text) == Some(up));
            of.map(|text| text.contains("Again")).collect()
        };
        let (with, without) = (share(&wordy(true)), share(&wordy(false)));
        assert!((with - without).abs() < 0.08 && with > 0.3, "{with} {without}");
    }
}
