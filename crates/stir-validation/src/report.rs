use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Cost, Pooled, ValidationConfig};

/// What a validation found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationReport {
    /// The settings.
    pub config: ValidationConfig,
    /// The number of problems whose answers were continued.
    pub problems: usize,
    /// The number of boundaries at which some entry would be probed.
    pub boundaries: usize,
    /// The number of rollouts that could not be used.
    pub skipped: usize,
    /// The strength that serves the library best; `None` where no entry was tried.
    pub strength: Option<f64>,
    /// What was found at each strength.
    pub strengths: Vec<StrengthReport>,
    /// What was found for each entry that was tried, at each strength, by entry.
    pub entries: Vec<EntryReport>,
    /// The steering entries that the controller would probe at no boundary of another problem.
    pub untried: Vec<usize>,
    /// The number of times that results were looked at.
    pub looks: usize,
    /// What it cost.
    pub cost: ValidationCost,
}

/// What entries did at one strength.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrengthReport {
    /// The length of the impulse over that of the stream.
    pub strength: f64,
    /// The number of pairs of continuations.
    pub trials: usize,
    /// The uplift of the entries on average.
    pub pooled: Pooled,
    /// The lower bound of that average.
    pub lower: f64,
    /// The mean over all entries of the lower bounds of those that help, the others counting 0: what is left once they
    /// have left. The strength of the library is that at which this is largest or, where nothing helps, the lower bound of
    /// the average.
    pub certain: f64,
    /// By how much trials of a problem are alike.
    pub design_effect: f64,
}

impl StrengthReport {
    pub(crate) fn better_than(&self, other: &Self) -> bool {
        self.certain.total_cmp(&other.certain).then(self.lower.total_cmp(&other.lower)).is_gt()
    }
}

/// What an entry did at one strength.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryReport {
    /// The place of the entry in the library that was validated.
    pub entry: usize,
    /// The problem that it was mined on.
    pub problem: String,
    /// Its control point.
    pub m: usize,
    /// Its layer.
    pub layer: usize,
    /// The length of the impulse over that of the stream.
    pub strength: f64,
    /// The number of pairs of continuations.
    pub trials: usize,
    /// The number of those that were right with the impulse.
    pub with_right: usize,
    /// The number of those that were right without.
    pub without_right: usize,
    /// The uplift in the share of right answers, shrunken toward the mean of the entries.
    pub uplift: f64,
    /// Its standard error.
    pub error: f64,
    /// Its lower bound.
    pub lower: f64,
    /// Its upper bound.
    pub upper: f64,
    /// What follows.
    pub finding: Finding,
}

/// What the trials of an entry say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// The lower bound of its uplift is above zero.
    Helps,
    /// Neither bound says so.
    NoUplift,
    /// The upper bound of its uplift is below zero.
    Harms,
}

/// What a validation cost, and what answers from the beginning would have cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationCost {
    /// The continuations.
    pub replay: Cost,
    /// The number of tokens encoded to read the states at the boundaries.
    pub states: usize,
    /// The number of comparisons that were made.
    pub comparisons: usize,
    /// The number of comparisons that would have been made if none had been decided early.
    pub planned: usize,
    /// The number of tokens of as many comparisons as were made, each with two answers from the beginning: prompts and
    /// answers as long as the rollout that was continued.
    pub anew: usize,
    /// The same for as many comparisons as were planned.
    pub anew_planned: usize,
}

impl ValidationCost {
    /// Returns all tokens that went through the model.
    pub fn tokens(&self) -> usize {
        self.replay.tokens() + self.states
    }

    /// Returns how many times more tokens the comparisons that were made would have taken from the beginning.
    pub fn ratio(&self) -> f64 {
        self.anew as f64 / self.tokens().max(1) as f64
    }

    /// Returns how many times more tokens all planned comparisons would have taken from the beginning.
    pub fn planned_ratio(&self) -> f64 {
        self.anew_planned as f64 / self.tokens().max(1) as f64
    }
}

impl ValidationReport {
    /// Returns what was found for the entries at the strength of the library.
    pub fn chosen(&self) -> impl Iterator<Item = &EntryReport> {
        self.entries.iter().filter(|entry| Some(entry.strength) == self.strength)
    }

    /// Returns what was found to do harm, at any strength.
    pub fn harmful(&self) -> impl Iterator<Item = &EntryReport> {
        self.entries.iter().filter(|entry| entry.finding == Finding::Harms)
    }

    /// Returns the number of entries that help at the strength of the library.
    pub fn helping(&self) -> usize {
        self.chosen().filter(|entry| entry.finding == Finding::Helps).count()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Helps => "helps",
            Self::NoUplift => "no uplift",
            Self::Harms => "harms",
        })
    }
}

/// A table of the strengths, one of the entries at the chosen strength that help or harm, and the cost.
impl fmt::Display for ValidationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points = |share: f64| 100.0 * share;
        writeln!(f, "strength   entries   trials   mean uplift, points   lower bound   of those that help")?;
        for s in &self.strengths {
            let Pooled { entries, mean, error, .. } = s.pooled;
            let (mean, error, lower) = (points(mean), points(error), points(s.lower));
            let (trials, certain) = (s.trials, points(s.certain));
            writeln!(
                f,
                "{:8}   {entries:7}   {trials:6}   {mean:+9.1} \u{b1} {error:<7.1}   {lower:+11.1}   {certain:+18.1}",
                s.strength
            )?;
        }
        let mut told: Vec<&EntryReport> = self.chosen().filter(|e| e.finding != Finding::NoUplift).collect();
        told.sort_by(|a, b| b.lower.total_cmp(&a.lower));
        if let Some(strength) = self.strength {
            let (tried, level) = (self.chosen().count(), points(self.config.level));
            let (helping, untried) = (self.helping(), self.untried.len());
            let harming = told.len() - helping;
            writeln!(
                f,
                "at strength {strength}: {helping} of {tried} entries help (lower bound at {level} %), {harming} harm; \
                 {untried} were not tried"
            )?;
        }
        if !told.is_empty() {
            writeln!(f, "entry   m   layer   right with / without of   uplift, points   lower   upper   finding")?;
        }
        for e in told {
            let (uplift, lower, upper) = (points(e.uplift), points(e.lower), points(e.upper));
            let EntryReport { entry, m, layer, with_right, without_right, trials, finding, .. } = e;
            writeln!(
                f,
                "{entry:5}   {m:1}   {layer:5}   {with_right:10} / {without_right:7} {trials:3}   {uplift:+14.1}   \
                 {lower:+5.1}   {upper:+5.1}   {finding}"
            )?;
        }
        let cost = &self.cost;
        write!(
            f,
            "{} tokens (generated {}, encoded {}); answers from the beginning: {:.1} times as many for the {} comparisons \
             made, {:.1} times for the {} planned",
            cost.tokens(),
            cost.replay.generated,
            cost.replay.encoded + cost.states,
            cost.ratio(),
            cost.comparisons,
            cost.planned_ratio(),
            cost.planned
        )
    }
}
