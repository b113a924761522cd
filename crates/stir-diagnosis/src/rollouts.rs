use serde::{Deserialize, Serialize};
use stir_core::{Delimiter, SegmentCounter};
use stir_rollout::Rollout;

use crate::Estimate;

/// What rollouts say without a model: how many problems can be learned from, and how right answers differ from wrong ones in
/// length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutMeasures {
    /// The number of problems.
    pub problems: usize,
    /// The number of problems with right and wrong rollouts; no other can be contrasted.
    pub mixed: usize,
    /// The number of rollouts.
    pub samples: usize,
    /// The number of right rollouts.
    pub right: usize,
    /// The mean number of tokens of right rollouts less that of wrong ones of the same problem, over mixed problems;
    /// `None` if no problem is mixed, or a rollout does not tell its tokens.
    pub tokens_difference: Option<Estimate>,
    /// The same for the number of segments that the delimiter ends.
    pub segments_difference: Option<Estimate>,
}

impl RolloutMeasures {
    /// Measures rollouts, problem by problem. Segments end at `delimiter`.
    ///
    /// ```
    /// use stir_core::Delimiter;
    /// use stir_diagnosis::RolloutMeasures;
    /// use stir_rollout::{Rollout, group_rollouts};
    /// let rollout = |k, text: &str, token_ids, correct| Rollout {
    ///     id: "p".into(), k, prompt: "q".into(), gold: None, text: text.into(), token_ids, correct, reward: 0.0,
    /// };
    /// let rollouts = [rollout(0, "so\n\n7", vec![1, 2, 3], true), rollout(1, "a\n\nb\n\n8", vec![1; 9], false)];
    /// let groups = group_rollouts(rollouts);
    /// let found = RolloutMeasures::new(groups.iter().map(Vec::as_slice), &Delimiter::default());
    /// assert_eq!((found.mixed_share(), found.right), (Some(1.0), 1));
    /// assert_eq!(found.tokens_difference.map(|d| d.value), Some(-6.0));
    /// assert_eq!(found.segments_difference.map(|d| d.value), Some(-1.0));
    /// ```
    pub fn new<'r>(groups: impl IntoIterator<Item = &'r [Rollout]>, delimiter: &Delimiter) -> Self {
        let mut tally = RolloutTally::new(delimiter.clone());
        groups.into_iter().for_each(|group| tally.add(group));
        tally.finish()
    }

    /// Returns the share of problems with right and wrong rollouts; `None` without problems.
    pub fn mixed_share(&self) -> Option<f64> {
        (self.problems > 0).then(|| self.mixed as f64 / self.problems as f64)
    }
}

/// Measures rollouts that are read one problem at a time.
#[derive(Debug)]
pub struct RolloutTally {
    delimiter: Delimiter,
    problems: usize,
    samples: usize,
    right: usize,
    /// Of each mixed problem.
    tokens: Vec<f64>,
    segments: Vec<f64>,
    untold: bool,
}

impl RolloutTally {
    /// Creates a tally without rollouts.
    pub fn new(delimiter: Delimiter) -> Self {
        let (tokens, segments) = (vec![], vec![]);
        Self { delimiter, problems: 0, samples: 0, right: 0, tokens, segments, untold: false }
    }

    /// Adds the rollouts of a problem; none is no problem.
    pub fn add(&mut self, group: &[Rollout]) {
        self.problems += usize::from(!group.is_empty());
        self.samples += group.len();
        self.right += group.iter().filter(|rollout| rollout.correct).count();
        let segments = |rollout: &Rollout| SegmentCounter::new(self.delimiter.clone()).push(rollout.text.as_bytes());
        let Some(tokens) = difference(group, |rollout| rollout.token_ids.len()) else { return };
        self.segments.extend(difference(group, segments));
        self.tokens.push(tokens);
        self.untold |= group.iter().any(|rollout| rollout.token_ids.is_empty() && !rollout.text.is_empty());
    }

    /// Returns the measures.
    pub fn finish(self) -> RolloutMeasures {
        RolloutMeasures {
            problems: self.problems,
            mixed: self.segments.len(),
            samples: self.samples,
            right: self.right,
            tokens_difference: if self.untold { None } else { Estimate::mean(self.tokens) },
            segments_difference: Estimate::mean(self.segments),
        }
    }
}

/// Returns the mean of the right rollouts less that of the wrong ones; `None` without both.
fn difference(group: &[Rollout], of: impl Fn(&Rollout) -> usize) -> Option<f64> {
    let mean = |correct| {
        let side: Vec<f64> = group.iter().filter(|r| r.correct == correct).map(|r| of(r) as f64).collect();
        (!side.is_empty()).then(|| side.iter().sum::<f64>() / side.len() as f64)
    };
    Some(mean(true)? - mean(false)?)
}
