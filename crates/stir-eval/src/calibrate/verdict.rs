//! What the test says.

use serde::{Deserialize, Serialize};
use stir_report::{
    StatsError,
    stats::{Interval, MeanDifference, detectable_difference, holm, mcnemar, paired_bootstrap, sign_flip, wilson},
};

use super::{
    spec::TokenCount,
    trial::{ALPHA, Trial},
};

const POWER: f64 = 0.8;
const CONFIDENCE: f64 = 0.95;
const RESAMPLES: usize = 10_000;

/// What follows from a calibration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Significantly more right answers, or significantly fewer tokens at no significant loss.
    UseIt,
    /// Nothing that the test could show.
    NoEffect,
    /// Significantly fewer right answers.
    Harms,
    /// The budget ended before a setting could be tested, or none has a library.
    Untried,
}

/// The p-values of an earlier setting on the test set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct PValues {
    pub(super) accuracy: f64,
    pub(super) tokens: f64,
}

/// The paired tests of a setting against plain decoding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TestStatistics {
    /// The number of problems.
    pub problems: usize,
    /// The number of problems that only the setting solves.
    pub wins: usize,
    /// The number of problems that only plain decoding solves.
    pub losses: usize,
    /// The mean tokens of an answer saved, as a share of those of plain decoding.
    pub saved: f64,
    /// The exact p-value of McNemar's test.
    pub accuracy_p: f64,
    /// The exact p-value of the sign-flip test of the paired differences in tokens.
    pub tokens_p: f64,
    /// `accuracy_p`, adjusted by Holm's method for all comparisons made on this test set.
    pub accuracy_holm_p: f64,
    /// `tokens_p`, adjusted in the same family.
    pub tokens_holm_p: f64,
    /// The number of comparisons in the family: two for every setting that was ever tested in this folder.
    pub comparisons: usize,
    /// The smallest difference in accuracy that this test would have shown with a power of 80 % at the level that Holm's
    /// method begins with; `None` if none.
    pub detectable: Option<f64>,
}

impl TestStatistics {
    pub(super) fn new(
        plain: &[Trial],
        own: &[Trial],
        count: TokenCount,
        earlier: &[PValues],
    ) -> Result<Self, StatsError> {
        let pairs = || plain.iter().zip(own);
        let problems = plain.len().min(own.len());
        let wins = pairs().filter(|(p, o)| o.right && !p.right).count();
        let losses = pairs().filter(|(p, o)| p.right && !o.right).count();
        let number = |trial: &Trial| i32::try_from(trial.cost(count)).unwrap_or(i32::MAX);
        let differences: Vec<i32> = pairs().map(|(p, o)| number(o) - number(p)).collect();
        let (before, after): (Vec<f64>, Vec<f64>) =
            pairs().map(|(p, o)| (p.cost(count) as f64, o.cost(count) as f64)).unzip();
        let (before, after) = (before.iter().sum::<f64>(), after.iter().sum::<f64>());
        let (accuracy_p, tokens_p) = (mcnemar(wins, losses).exact, sign_flip(&differences));
        let family = earlier.iter().flat_map(|p| [p.accuracy, p.tokens]);
        let family: Vec<f64> = [accuracy_p, tokens_p].into_iter().chain(family).collect();
        let adjusted = holm(&family)?;
        let discordant = (wins + losses) as f64 / problems.max(1) as f64;
        Ok(Self {
            problems,
            wins,
            losses,
            saved: if before > 0.0 { 1.0 - after / before } else { 0.0 },
            accuracy_p,
            tokens_p,
            accuracy_holm_p: adjusted[0],
            tokens_holm_p: adjusted[1],
            comparisons: family.len(),
            detectable: detectable_difference(problems, discordant, ALPHA / family.len() as f64, POWER)?,
        })
    }

    /// Returns the p-values before they are adjusted.
    pub(super) fn p_values(&self) -> PValues {
        PValues { accuracy: self.accuracy_p, tokens: self.tokens_p }
    }

    /// Returns what follows; `developed` says whether the setting was better than plain decoding on development.
    pub(super) fn verdict(&self, developed: bool) -> Verdict {
        let shown = |p: f64| p <= ALPHA;
        let (gains, loses) = (self.wins > self.losses, self.losses > self.wins);
        if loses && shown(self.accuracy_holm_p) {
            return Verdict::Harms;
        }
        let saves = self.saved > 0.0 && shown(self.tokens_holm_p);
        // A loss counts before it is adjusted: adjusting would only hide it.
        let spares = !(loses && shown(self.accuracy_p));
        let helps = (gains && shown(self.accuracy_holm_p)) || (saves && spares);
        if helps && developed { Verdict::UseIt } else { Verdict::NoEffect }
    }

    /// Returns the sentence that a calibration ends with.
    pub(super) fn sentence(&self, developed: bool) -> String {
        let points = 100.0 * (self.wins as f64 - self.losses as f64) / self.problems.max(1) as f64;
        let Self { wins, losses, accuracy_holm_p, tokens_holm_p, .. } = *self;
        let tokens = match self.saved {
            saved if saved >= 0.0 => format!("{:.1} % fewer tokens", 100.0 * saved),
            more => format!("{:.1} % more tokens", -100.0 * more),
        };
        let (accuracy_p, tokens_p) = (p_text(accuracy_holm_p), p_text(tokens_holm_p));
        let found = format!(
            "{points:+.1} points, {wins} wins and {losses} losses of {}, p {accuracy_p}; {tokens}, p {tokens_p}",
            self.problems
        );
        match self.verdict(developed) {
            Verdict::UseIt => format!("use it ({found})"),
            Verdict::Harms => format!("harms: do not use ({found})"),
            // The test cannot both choose and judge: what it shows alone asks for another test.
            _ if !developed && self.verdict(true) == Verdict::UseIt => {
                let why = if self.saved < 0.0 { ", where the tokens it takes count against it" } else { "" };
                format!(
                    "no effect found on development{why} (the test shows one: {found}; calibrate again with other problems)"
                )
            }
            Verdict::NoEffect | Verdict::Untried => {
                let seen = match self.detectable {
                    Some(d) => format!("an effect of {:.1} points would have been seen with 80 % power", 100.0 * d),
                    None => "so few problems show no effect of any size".to_owned(),
                };
                let twist = if self.losses > self.wins && self.accuracy_p <= ALPHA {
                    "; the loss is significant only before it is adjusted for the number of comparisons"
                } else {
                    ""
                };
                format!("no effect found ({seen}; {found}{twist})")
            }
        }
    }
}

/// One side of a test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TestSide {
    /// The number of right answers.
    pub right: usize,
    /// The share of right answers.
    pub accuracy: f64,
    /// Its 95 % interval.
    pub ci95: Interval,
    /// The mean number of tokens of an answer.
    pub tokens: f64,
    /// The mean number of all tokens that were generated for an answer.
    pub all_tokens: f64,
}

/// The result of the test: the only answers to test problems.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TestResult {
    /// The number of the setting, from 0.
    pub setting: usize,
    /// True if it was better than plain decoding on development.
    pub beats_plain_on_development: bool,
    /// The share of problems that guessing solves, where answers can be guessed.
    pub guess: Option<f64>,
    /// Plain decoding.
    pub plain: TestSide,
    /// The setting.
    pub tested: TestSide,
    /// The difference in accuracy (setting minus plain) with a 95 % interval by a bootstrap over the problems.
    pub accuracy_difference: MeanDifference,
    /// The difference in the tokens that count as cost, with the same kind of interval.
    pub tokens_difference: MeanDifference,
    /// The paired tests.
    #[serde(flatten)]
    pub statistics: TestStatistics,
}

impl TestResult {
    pub(super) fn new(
        (setting, beats_plain_on_development): (usize, bool),
        plain: &[Trial],
        own: &[Trial],
        count: TokenCount,
        earlier: &[PValues],
        guess: Option<f64>,
    ) -> Result<Self, StatsError> {
        let right = |trials: &[Trial]| -> Vec<f64> { trials.iter().map(|trial| f64::from(trial.right)).collect() };
        let cost = |trials: &[Trial]| -> Vec<f64> { trials.iter().map(|trial| trial.cost(count) as f64).collect() };
        let difference = |plain: &[f64], own: &[f64]| paired_bootstrap(plain, own, RESAMPLES, CONFIDENCE, 0);
        Ok(Self {
            setting,
            beats_plain_on_development,
            guess,
            plain: TestSide::new(plain)?,
            tested: TestSide::new(own)?,
            accuracy_difference: difference(&right(plain), &right(own))?,
            tokens_difference: difference(&cost(plain), &cost(own))?,
            statistics: TestStatistics::new(plain, own, count, earlier)?,
        })
    }

    /// Returns the sentence that a calibration ends with.
    pub(super) fn sentence(&self) -> String {
        let sentence = self.statistics.sentence(self.beats_plain_on_development);
        match self.guess.filter(|&guess| self.plain.ci95.low <= guess) {
            Some(guess) => format!(
                "{sentence}; the model may be guessing, as {:.1} % right is no more than the {:.1} % of chance, as far as \
                 {} problems show",
                100.0 * self.plain.accuracy,
                100.0 * guess,
                self.statistics.problems
            ),
            None => sentence,
        }
    }
}

impl TestSide {
    fn new(trials: &[Trial]) -> Result<Self, StatsError> {
        let (right, n) = (trials.iter().filter(|trial| trial.right).count(), trials.len());
        let mean = |number: fn(&Trial) -> usize| trials.iter().map(number).sum::<usize>() as f64 / n as f64;
        Ok(Self {
            right,
            accuracy: right as f64 / n as f64,
            ci95: wilson(right, n, CONFIDENCE)?,
            tokens: mean(|trial| trial.tokens),
            all_tokens: mean(|trial| trial.spent),
        })
    }
}

pub(super) fn p_text(p: f64) -> String {
    if p < 0.001 { format!("{p:.1e}") } else { format!("{p:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 100 problems: `wins` and `losses`, the rest right for both; 100 tokens against 100 less a share.
    fn statistics(wins: usize, losses: usize, saved: i32, earlier: &[PValues]) -> TestStatistics {
        let trial = |right, spent| Trial { right, tokens: spent, spent, seconds: 0.0 };
        let plain: Vec<Trial> = (0..100).map(|i| trial(i >= wins, 100)).collect();
        // The tokens scatter, so that a saving is not the same everywhere.
        let own = |i: usize| trial(!(wins..wins + losses).contains(&i), (100 - saved + [-20, 20, 0][i % 3]) as usize);
        let own: Vec<Trial> = (0..100).map(own).collect();
        TestStatistics::new(&plain, &own, TokenCount::All, earlier).unwrap()
    }

    #[test]
    fn verdicts_follow_from_adjusted_tests() {
        let of = |wins, losses, saved| statistics(wins, losses, saved, &[]).verdict(true);
        assert_eq!(of(15, 2, 0), Verdict::UseIt);
        assert_eq!(of(2, 15, 0), Verdict::Harms);
        assert_eq!(of(5, 4, 0), Verdict::NoEffect);
        // Fewer tokens help, unless something is lost.
        assert_eq!(of(5, 6, 15), Verdict::UseIt);
        assert_eq!(of(5, 6, -15), Verdict::NoEffect);
        let lost = statistics(2, 11, 0, &[]);
        assert!(lost.accuracy_p < 0.05 && lost.accuracy_holm_p < 0.05, "{lost:?}");
        // The same next to an earlier look with a clear result: Holm's family is larger.
        let p = PValues { accuracy: 1e-9, tokens: 1e-9 };
        let saving = statistics(2, 9, 15, &[p]);
        assert_eq!((saving.comparisons, saving.accuracy_holm_p), (4, saving.accuracy_p));
        let adjusted = statistics(13, 3, 0, &[PValues { accuracy: 0.5, tokens: 0.5 }; 3]);
        assert!(adjusted.accuracy_p < 0.05 && adjusted.accuracy_holm_p > 0.05, "{adjusted:?}");
        assert_eq!(adjusted.verdict(true), Verdict::NoEffect);
    }

    #[test]
    fn a_loss_before_adjustment_forbids_a_saving() {
        let saving = statistics(2, 11, 15, &[PValues { accuracy: 0.04, tokens: 0.9 }; 3]);
        assert!(saving.accuracy_p <= ALPHA && saving.accuracy_holm_p > ALPHA && saving.tokens_holm_p <= ALPHA);
        assert_eq!(saving.verdict(true), Verdict::NoEffect);
        assert!(saving.sentence(true).contains("significant only before"), "{}", saving.sentence(true));
    }

    #[test]
    fn sentences_say_what_was_found_and_what_could_have_been() {
        let found = statistics(15, 2, 0, &[]);
        assert!(found.sentence(true).starts_with("use it (+13.0 points, 15 wins and 2 losses of 100, p 0.00"));
        // What development did not show is not used.
        assert_eq!(found.verdict(false), Verdict::NoEffect);
        let words = "no effect found on development (the test shows one: +13.0 points";
        assert!(found.sentence(false).starts_with(words), "{}", found.sentence(false));
        let nothing = statistics(5, 5, 0, &[]);
        let effect = detectable_difference(100, 0.1, 0.025, 0.8).unwrap().unwrap();
        let words = format!(
            "no effect found (an effect of {:.1} points would have been seen with 80 % power; +0.0",
            100.0 * effect
        );
        assert!(nothing.sentence(true).starts_with(&words), "{}", nothing.sentence(true));
        assert!(statistics(2, 15, 0, &[]).sentence(true).starts_with("harms: do not use (-13.0 points"));
    }

    #[test]
    fn a_model_that_guesses_is_said_to() {
        let trials = |right: usize| -> Vec<Trial> {
            (0..100).map(|i| Trial { right: i < right, tokens: 9, spent: 9, seconds: 0.0 }).collect()
        };
        let sentence = |right, guess| {
            let trials = trials(right);
            TestResult::new((0, true), &trials, &trials, TokenCount::All, &[], guess).unwrap().sentence()
        };
        let words = "; the model may be guessing, as 31.0 % right is no more than the 25.0 % of chance, as far as 100 problems show";
        assert!(sentence(31, Some(0.25)).ends_with(words), "{}", sentence(31, Some(0.25)));
        assert!(!sentence(36, Some(0.25)).contains("guessing") && !sentence(31, None).contains("guessing"));
    }
}
