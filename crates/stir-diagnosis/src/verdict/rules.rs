//! From numbers to reasons. Every threshold has its own reason, and none comes from a data set.

use super::{Reason, Topic, Weight, replays};
use crate::{Estimate, LayerMeasures, RELIABLE, RolloutMeasures, reliability::spearman_brown};

/// Mixed problems needed to conclude anything: with fewer, five folds train on what one or two problems are like, and an
/// error estimated from so few means little itself.
const MIN_PROBLEMS: usize = 10;

/// Share of mixed problems below which four of five problems cost samples and teach nothing.
const MIXED_SHARE: f64 = 0.2;

/// Chance for an ordering of pairs.
const CHANCE: f64 = 0.5;

/// Share of a probe's advantage over chance that retrieval should have: below it, most of what the states tell about right
/// and wrong never reaches the decision.
const RETRIEVAL_PART: f64 = 0.5;

/// Median cosine of states with keys from which on the mean that all share is longer than what tells them apart: two states
/// `a + b` and `a + c`, `b` and `c` orthogonal to all, have this cosine where `b` is as long as `a`.
const SHARED_MEAN: f64 = 0.5;

/// R2 of log(remaining tokens) from which on most of what varies in the length to come is in the state.
const KNOWS_PROGRESS: f64 = 0.5;

/// Width of the middle nine tenths of the qualities, as a share of their median, below which they weigh all pairs alike.
const QUALITY_SPREAD: f64 = 0.1;

/// Length of the median impulse as a share of the stream's from which on it may turn the state by up to 30 degrees. It is
/// no reason against steering: the model that comes with the program is helped by impulses twice as long as its stream.
const STRONG_IMPULSE: f64 = 0.5;

pub(super) fn of_rollouts(r: &RolloutMeasures) -> Vec<Reason> {
    let mut found = Reasons { layer: None, list: vec![] };
    if let Some(share) = r.mixed_share() {
        let facts = format!("{} of {} problems have right and wrong rollouts", r.mixed, r.problems);
        if share < MIXED_SHARE {
            let advice = "choose problems that the model solves now and then, or draw more samples";
            found.add(Topic::MixedShare, Weight::Caution, format!("Only {facts}: {advice}."));
        } else {
            found.add(Topic::MixedShare, Weight::For, format!("{facts}."));
        }
    }
    if let Some(tokens) = r.tokens_difference.filter(|d| d.above(0.0) || d.below(0.0)) {
        let (word, place) = if tokens.value < 0.0 { ("shorter", "nearer to") } else { ("longer", "farther from") };
        let by = format!("{:.0} \u{b1} {:.0} tokens", tokens.value.abs(), margin(tokens));
        let text = format!(
            "Right rollouts are {by} {word} than wrong ones of the same problem, so that at the same control point they \
             are {place} the end: a delta says in part where in the answer it is. Contrast rollouts that have as many \
             tokens left, or take out of the states what length explains."
        );
        found.add(Topic::Length, Weight::Caution, text);
    }
    found.list
}

pub(super) fn of_layer(l: &LayerMeasures) -> Vec<Reason> {
    let mut found = Reasons { layer: Some(l.layer), list: vec![] };
    if l.mixed < MIN_PROBLEMS {
        let text = format!(
            "{} problems have right and wrong states at one control point; below {MIN_PROBLEMS} no number here can be \
             trusted. Sample more problems.",
            l.mixed
        );
        found.add(Topic::Problems, Weight::Unknown, text);
    }
    found.reliability(l);
    found.signal(l);
    found.retrieval(l);
    found.pairs(l);
    replays::add(&mut found, &l.replays);
    found.list
}

pub(super) struct Reasons {
    layer: Option<usize>,
    list: Vec<Reason>,
}

impl Reasons {
    pub(super) fn add(&mut self, topic: Topic, weight: Weight, text: String) {
        self.list.push(Reason { layer: self.layer, topic, weight, text });
    }

    fn reliability(&mut self, l: &LayerMeasures) {
        let Some(r) = l.reliability else {
            let text = "No problem has two right and two wrong states at a control point, so that nothing says how much of \
                        a delta is noise. Draw more samples.";
            return self.add(Topic::Reliability, Weight::Unknown, text.to_owned());
        };
        if r.split_half.standard_error.is_none() {
            let text = "One problem alone says how much of a delta is noise, and not how sure that is. Draw more samples, or \
                        more problems.";
            return self.add(Topic::Reliability, Weight::Unknown, text.to_owned());
        }
        let halves = format!("halves of {:.0} samples agree with a cosine of {}", r.samples, shown(r.split_half));
        let real = format!("{:.0} % of the variance of a delta is real ({halves})", 100.0 * r.full);
        let between = l.between.filter(|between| between.above(0.0));
        let pooled = between.map(|between| (between, spearman_brown(between.value, l.mixed as f64)));
        let pooled = pooled.filter(|(_, reliability)| *reliability >= RELIABLE);
        if r.full >= RELIABLE && r.split_half.above(0.0) {
            self.add(Topic::Reliability, Weight::For, format!("{real}."));
        } else if r.split_half.above(0.0) {
            let needed = r.samples_needed.map_or(f64::INFINITY, f64::ceil);
            let or_pool = if pooled.is_some() { ", or pool deltas over problems" } else { "" };
            let text = format!(
                "Vectors are noise at {:.0} samples: {real}. Draw about {needed:.0} samples of a problem{or_pool}.",
                r.samples
            );
            self.add(Topic::Reliability, Weight::Against, text);
        } else {
            let text = format!(
                "Vectors cannot be told from noise: {halves}, with labels dealt at random {:.2}. Draw several times as \
                 many samples.",
                r.null
            );
            self.add(Topic::Reliability, Weight::Against, text);
        }
        if let Some((between, reliability)) = pooled {
            let without = l.between_corrected.map_or(String::new(), |c| format!(", {c:.2} without noise"));
            let text = format!(
                "Problems share a direction: deltas of different problems have a cosine of {}{without}; the mean of those \
                 of {} problems has a reliability of {reliability:.2}.",
                shown(between),
                l.mixed
            );
            self.add(Topic::Pooling, Weight::For, text);
        }
    }

    fn signal(&mut self, l: &LayerMeasures) {
        let Some(within) = l.probe.and_then(|probe| probe.within) else {
            let text = "No probe could be trained on some problems and tried on others.";
            return self.add(Topic::Signal, Weight::Unknown, text.to_owned());
        };
        let says =
            format!("orders right before wrong in {} % of pairs of one problem and control point", percent(within));
        if !within.above(CHANCE) {
            let text =
                format!("The states do not tell right from wrong: a linear probe {says}, which may be chance (50 %).");
            return self.add(Topic::Signal, Weight::Against, text);
        }
        self.add(
            Topic::Signal,
            Weight::For,
            format!("The states know something of right and wrong: a linear probe {says}."),
        );
        let (Some(more), Some(short), Some(r2)) = (l.probe_over_shortness, l.shortness_within, l.remaining_r2) else {
            return;
        };
        if !more.above(0.0) && short.above(CHANCE) && r2 >= KNOWS_PROGRESS {
            let text = format!(
                "That may be no more than how far the answer is: fewer remaining tokens alone order {} % of pairs, and \
                 the state explains {:.0} % of the variance of their logarithm. Contrast states with as many tokens left.",
                percent(short),
                100.0 * r2
            );
            self.add(Topic::Progress, Weight::Caution, text);
        }
    }

    fn retrieval(&mut self, l: &LayerMeasures) {
        let probe = l.probe.and_then(|probe| probe.within).filter(|within| within.above(CHANCE));
        if let (Some(probe), Some(raw)) = (probe, l.retrieval.ordering.within) {
            let part = (raw.value - CHANCE) / (probe.value - CHANCE);
            if part < RETRIEVAL_PART {
                let centred =
                    l.retrieval_centred.ordering.within.map_or(String::new(), |c| {
                        format!(" ({} % with states centred per control point)", percent(c))
                    });
                let text = format!(
                    "Retrieval sees little of it: the nearest keys order {} % of pairs{centred}. A linear read-out of the \
                     state would decide better.",
                    percent(raw)
                );
                self.add(Topic::Retrieval, Weight::Caution, text);
            }
        }
        if let Some(s) = l.retrieval.similarity.filter(|s| s.median > SHARED_MEAN) {
            let text = format!(
                "All states share a large mean: their cosines with keys are {:.2} to {:.2}, {:.2} in the middle. Centre \
                 them per layer and control point before they are compared.",
                s.low, s.high, s.median
            );
            self.add(Topic::SharedMean, Weight::Caution, text);
        }
    }

    fn pairs(&mut self, l: &LayerMeasures) {
        let Some(pairs) = &l.pairs else { return };
        let q = pairs.quality;
        if q.high - q.low < QUALITY_SPREAD * q.median.abs() {
            let text = format!(
                "Qualities weigh all pairs alike: they are {:.4} to {:.4}. Measure what a pair is worth instead.",
                q.low, q.high
            );
            self.add(Topic::Quality, Weight::Caution, text);
        }
        let impulse = pairs.impulse;
        if impulse.median > STRONG_IMPULSE {
            let text = format!(
                "Impulses replace the state rather than nudge it: at full strength they are {:.2} to {:.2} times as long \
                 as the stream. Scale them to at most {STRONG_IMPULSE} of it.",
                impulse.low, impulse.high
            );
            self.add(Topic::Strength, Weight::Caution, text);
        }
    }
}

/// Half of the interval of about 95 %.
fn margin(estimate: Estimate) -> f64 {
    estimate.interval().map_or(0.0, |(low, high)| (high - low) / 2.0)
}

fn shown(estimate: Estimate) -> String {
    format!("{:.2} \u{b1} {:.2}", estimate.value, margin(estimate))
}

fn percent(share: Estimate) -> String {
    format!("{:.0} \u{b1} {:.0}", 100.0 * share.value, 100.0 * margin(share))
}
