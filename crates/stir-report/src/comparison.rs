use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{
    error::ComparisonError,
    record::{Run, Settings},
    seeds::{Group, Pooled, groups, names},
    stats::{
        Interval, MeanDifference, StatsError, holm, paired_bootstrap, problems_needed, sign_flip, wilson_clustered,
    },
};

/// Coverage of all intervals.
const CONFIDENCE: f64 = 0.95;
/// Resamples of a bootstrap: bounds settle to a few percent of the interval's width.
const RESAMPLES: usize = 4000;
/// Error rate and power of [`Paired::problems_needed`].
const ALPHA: f64 = 0.05;
const POWER: f64 = 0.8;

/// A comparison of methods that answered the same problems with the same model: the baseline first, then the others in
/// the given order.
///
/// Runs that differ only in their seeds are one method, for which a problem counts with its mean over the seeds (see
/// [`stats`](crate::stats)). If a method was run with several settings, its names contain the settings that differ:
/// `stir (k_scale 0.5)`.
///
/// `Display` renders an aligned text table, [`to_markdown`](Self::to_markdown) the same table as Markdown. The
/// serialised form is `{"model": .., "task": .., "problems": N, "methods": {NAME: SUMMARY, ...}}` with the methods in
/// order. (Serialise the comparison itself; a `serde_json::Value` in between sorts the methods by name.)
///
/// ```
/// use stir_report::{Comparison, Run};
/// let run = |method: &str, verdicts: [&str; 2]| -> Result<Run, serde_json::Error> {
///     let record = |(id, verdict): (&str, &str)| serde_json::json!({
///         "id": id, "prompt": "2 + 2?", "gold": "4", "text": "#### 4", "token_ids": [1, 2, 3],
///         "judged": {"answer": "4", "grade": {"verdict": verdict, "rule": "number"}}, "tokens": 3,
///         "probe_tokens": 0, "other_tokens": 0, "forward_passes": 3, "finish": "eos",
///     });
///     let records: Vec<_> = ["p1", "p2"].into_iter().zip(verdicts).map(record).collect();
///     let settings = serde_json::json!({"model": "tiny", "task": "sums", "method": method, "seed": 0});
///     serde_json::from_value(serde_json::json!({"settings": settings, "records": records, "seconds": 1.5}))
/// };
/// let (plain, stir) = (run("plain", ["different", "equal"])?, run("stir", ["equal", "equal"])?);
/// let comparison = Comparison::new(&plain, &[stir])?;
/// let stir = comparison.get("stir").and_then(|method| method.paired);
/// assert_eq!(stir.map(|p| (p.wins, p.losses, p.mcnemar_p)), Some((1, 0, 1.0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The name of the model.
    pub model: String,
    /// The name of the task.
    pub task: String,
    /// The number of problems, all of which every method answered.
    pub problems: usize,
    /// The summaries of the methods.
    #[serde(serialize_with = "by_name")]
    pub methods: Vec<MethodSummary>,
}

/// The results of one method.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MethodSummary {
    /// The name of the method with the settings that distinguish it from others in the table; the key when serialised.
    #[serde(skip)]
    pub name: String,
    /// The name of the method alone.
    pub method: String,
    /// The task that the library was mined from, if the method uses a library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mined_from: Option<String>,
    /// All other settings of the runs.
    pub params: BTreeMap<String, Value>,
    /// The seeds of the pooled runs.
    pub seeds: Vec<u64>,
    /// The fraction of right answers, in [0, 1].
    pub accuracy: f64,
    /// The 95 % interval of the accuracy, by [`wilson_clustered`].
    pub ci95: Interval,
    /// The mean number of committed tokens per answer.
    pub tokens: f64,
    /// The 95 % interval of `tokens`, by a bootstrap over the problems.
    pub tokens_ci95: Interval,
    /// The mean number of probe tokens per answer.
    pub probe_tokens: f64,
    /// The mean number of other tokens per answer that were generated and discarded.
    pub other_tokens: f64,
    /// The wall time of the whole run in seconds, averaged over the seeds.
    pub seconds: f64,
    /// The fraction of answers that the token budget cut off.
    pub cut_off: f64,
    /// The fraction of texts without an answer, which count as wrong.
    pub unanswered: f64,
    /// The fraction of answers that the grading rules do not decide, which count as wrong.
    pub unclear: f64,
    /// The comparison with the baseline, problem by problem; `None` for the baseline itself. Its fields are serialised
    /// among those of the summary.
    #[serde(flatten)]
    pub paired: Option<Paired>,
}

/// A paired comparison of a method with the baseline on the same problems.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Paired {
    /// The number of problems that the method solves in more of its runs than the baseline does. With one seed, the
    /// problems that only the method solves.
    pub wins: usize,
    /// The number of problems that the baseline solves in more of its runs than the method does.
    pub losses: usize,
    /// The exact two-sided p-value of [`sign_flip`], which with one seed is McNemar's test.
    pub mcnemar_p: f64,
    /// `mcnemar_p`, adjusted by [`holm`] for the number of methods that were compared with a baseline.
    pub holm_p: f64,
    /// The difference in accuracy (method minus baseline) with a 95 % interval by a bootstrap over the problems.
    pub accuracy_difference: MeanDifference,
    /// The difference in mean committed tokens, with the same kind of interval.
    pub tokens_difference: MeanDifference,
    /// The difference in mean seconds per answer, with the same kind of interval; `None` if answers were not timed. The
    /// time of an answer is counted from the end of the previous one, so that all of them add up to the time of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_difference: Option<MeanDifference>,
    /// The number of problems that would show this difference in accuracy at the 5 % level with a power of 80 %
    /// ([`problems_needed`]); `None` if there is no difference.
    pub problems_needed: Option<usize>,
}

impl Comparison {
    /// Compares the runs in `others` with the run of the baseline, pairing answers by problem id. Runs with the settings
    /// of the baseline and another seed are further runs of the baseline.
    ///
    /// # Errors
    /// [`ComparisonError::NoAnswers`] for an empty baseline, [`ComparisonError::SettingsDiffer`] for another model or task,
    /// [`ComparisonError::DuplicateMethod`], [`ComparisonError::DuplicateId`], [`ComparisonError::MissingId`] and
    /// [`ComparisonError::UnknownId`] for answers that do not pair one to one, and [`ComparisonError::Seconds`] for a time that is
    /// negative or not finite. Each names the first offender.
    pub fn new<'r>(baseline: &'r Run, others: impl IntoIterator<Item = &'r Run>) -> Result<Self, ComparisonError> {
        let mut comparison = Self::of(&groups(std::iter::once(baseline).chain(others)))?;
        Self::adjust([&mut comparison])?;
        Ok(comparison)
    }

    /// Compares `groups` with the first of them; p-values are not adjusted yet.
    pub(crate) fn of(groups: &[Group<'_>]) -> Result<Self, ComparisonError> {
        let Some(baseline) = groups.first().map(|group| group[0]) else { return Err(ComparisonError::NoRuns) };
        let Settings { model, task, .. } = &baseline.settings;
        let names = names(groups);
        let mut taken = BTreeSet::new();
        for (name, group) in names.iter().zip(groups) {
            if !taken.insert(name) {
                return Err(ComparisonError::DuplicateMethod { method: name.clone() });
            }
            let found = &group[0].settings;
            for (field, expected, found) in [("model", model, &found.model), ("task", task, &found.task)] {
                if expected != found {
                    let (expected, found) = (expected.clone(), found.clone());
                    return Err(ComparisonError::SettingsDiffer { method: name.clone(), field, expected, found });
                }
            }
        }
        let ids: Vec<&str> = baseline.records.iter().map(|record| record.id.as_str()).collect();
        if ids.is_empty() {
            return Err(ComparisonError::NoAnswers { method: names[0].clone() });
        }
        let mut reference = None;
        let mut methods = Vec::with_capacity(groups.len());
        for (name, group) in names.into_iter().zip(groups) {
            let pooled = Pooled::new(&name, group, &ids)?;
            let paired = reference.as_ref().map(|reference| Paired::new(reference, &pooled)).transpose()?;
            methods.push(MethodSummary::new(name, group, &pooled, paired)?);
            reference.get_or_insert(pooled);
        }
        Ok(Self { model: model.clone(), task: task.clone(), problems: ids.len(), methods })
    }

    /// Adjusts the p-values of all comparisons together, as one family of tests.
    pub(crate) fn adjust<'c>(all: impl IntoIterator<Item = &'c mut Self>) -> Result<(), ComparisonError> {
        let mut paired: Vec<&mut Paired> = all
            .into_iter()
            .flat_map(|comparison| &mut comparison.methods)
            .filter_map(|method| method.paired.as_mut())
            .collect();
        let raw: Vec<f64> = paired.iter().map(|paired| paired.mcnemar_p).collect();
        for (paired, adjusted) in paired.iter_mut().zip(holm(&raw)?) {
            paired.holm_p = adjusted;
        }
        Ok(())
    }

    /// Returns the summary of the method called `name`.
    pub fn get(&self, name: &str) -> Option<&MethodSummary> {
        self.methods.iter().find(|method| method.name == name)
    }
}

impl MethodSummary {
    fn new(name: String, group: &Group<'_>, pooled: &Pooled, paired: Option<Paired>) -> Result<Self, ComparisonError> {
        let Settings { method, mined_from, params, .. } = &group[0].settings;
        let samples = (pooled.solved.len() * pooled.seeds) as f64;
        let tokens = difference(&vec![0.0; pooled.tokens.len()], &pooled.tokens)?;
        Ok(Self {
            name,
            method: method.clone(),
            mined_from: mined_from.clone(),
            params: params.clone(),
            seeds: group.iter().map(|run| run.settings.seed).collect(),
            accuracy: pooled.solved.iter().sum::<usize>() as f64 / samples,
            ci95: wilson_clustered(&pooled.solved, pooled.seeds, CONFIDENCE)?,
            tokens: tokens.mean,
            tokens_ci95: tokens.interval,
            probe_tokens: pooled.probe_tokens,
            other_tokens: pooled.other_tokens,
            seconds: group.iter().map(|run| run.seconds).sum::<f64>() / pooled.seeds as f64,
            cut_off: pooled.cut_off,
            unanswered: pooled.unanswered,
            unclear: pooled.unclear,
            paired,
        })
    }

    /// Returns the mean number of tokens generated per answer, including discarded ones.
    pub fn spent(&self) -> f64 {
        self.tokens + self.probe_tokens + self.other_tokens
    }
}

impl Paired {
    fn new(baseline: &Pooled, method: &Pooled) -> Result<Self, ComparisonError> {
        // Cross-multiplied: whole numbers also where the two were run with different numbers of seeds.
        let count = |solved: usize, of_the_other: usize| i32::try_from(solved * of_the_other).unwrap_or(i32::MAX);
        let counts = method.solved.iter().zip(&baseline.solved);
        let differences: Vec<i32> = counts.map(|(&m, &b)| count(m, baseline.seeds) - count(b, method.seeds)).collect();
        let (before, after) = (baseline.accuracies(), method.accuracies());
        let gained: Vec<f64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
        let mcnemar_p = sign_flip(&differences);
        // Gains that cancel do so in whole numbers; in floating point a rest may be left.
        let is_apart = differences.iter().map(|&d| i64::from(d)).sum::<i64>() != 0;
        let seconds = baseline.seconds.as_ref().zip(method.seconds.as_ref());
        Ok(Self {
            wins: differences.iter().filter(|&&d| d > 0).count(),
            losses: differences.iter().filter(|&&d| d < 0).count(),
            mcnemar_p,
            holm_p: mcnemar_p,
            accuracy_difference: difference(&before, &after)?,
            tokens_difference: difference(&baseline.tokens, &method.tokens)?,
            seconds_difference: seconds.map(|(before, after)| difference(before, after)).transpose()?,
            problems_needed: if is_apart { problems_needed(&gained, ALPHA, POWER)? } else { None },
        })
    }
}

fn difference(baseline: &[f64], method: &[f64]) -> Result<MeanDifference, StatsError> {
    paired_bootstrap(baseline, method, RESAMPLES, CONFIDENCE, 0)
}

fn by_name<S: Serializer>(methods: &[MethodSummary], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(methods.iter().map(|method| (&method.name, method)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{run, with};

    #[test]
    fn pairs_by_id_whatever_the_order() {
        let plain = run("plain", &[("a", true), ("b", false), ("c", false), ("d", true)]);
        let stir = run("stir", &[("d", false), ("c", true), ("b", true), ("a", true)]);
        let comparison = Comparison::new(&plain, &[stir]).unwrap();
        assert_eq!(comparison.problems, 4);
        let paired = comparison.get("stir").unwrap().paired.unwrap();
        assert_eq!((paired.wins, paired.losses, paired.mcnemar_p), (2, 1, 1.0));
        assert_eq!(paired.accuracy_difference.mean, 0.25);
        assert_eq!(comparison.get("plain").unwrap().paired, None);
        assert_eq!(comparison.get("other"), None);
    }

    #[test]
    fn serialises_methods_in_the_order_given() {
        let plain = run("zero", &[("a", false)]);
        let methods = [run("one", &[("a", true)]), run("half", &[("a", false)])];
        let json = serde_json::to_string(&Comparison::new(&plain, &methods).unwrap()).unwrap();
        let place = |text: &str| json.find(text).unwrap_or_else(|| panic!("{text} in {json}"));
        assert!(json.starts_with(r#"{"model":"tiny","task":"sums","problems":1,"methods":{"zero":{"#), "{json}");
        assert!(place(r#""zero":{"#) < place(r#""one":{"#) && place(r#""one":{"#) < place(r#""half":{"#));
        let value: Value = serde_json::from_str(&json).unwrap();
        let (zero, one) = (&value["methods"]["zero"], &value["methods"]["one"]);
        assert_eq!((&zero["accuracy"], &zero["tokens"], &zero["seconds"]), (&0.0.into(), &10.0.into(), &1.0.into()));
        assert_eq!(zero.get("wins"), None);
        assert_eq!((&one["wins"], &one["losses"], &one["mcnemar_p"]), (&1.into(), &0.into(), &1.0.into()));
        assert_eq!(one["ci95"][1], 1.0);
        assert_eq!(one["tokens_difference"]["interval"], serde_json::json!([0.0, 0.0]));
    }

    #[test]
    fn seeds_are_pooled_by_problem() {
        let seeded = |method: &str, seed, solved: &[(&str, bool)]| with(run(method, solved), |s| s.seed = seed);
        let plain = [[false, false, true], [false, true, true]];
        let stir = [[true, true, true], [true, false, true], [true, true, true]];
        let answers = |solved: [bool; 3]| ["a", "b", "c"].into_iter().zip(solved).collect::<Vec<_>>();
        let runs: Vec<Run> = (plain.iter().enumerate().map(|(seed, &solved)| ("plain", seed, solved)))
            .chain(stir.iter().enumerate().map(|(seed, &solved)| ("stir", seed, solved)))
            .map(|(method, seed, solved)| seeded(method, seed as u64, &answers(solved)))
            .collect();
        let comparison = Comparison::new(&runs[0], &runs[1..]).unwrap();
        assert_eq!(comparison.methods.len(), 2);
        let (plain, stir) = (&comparison.methods[0], &comparison.methods[1]);
        assert_eq!((plain.accuracy, &plain.seeds[..]), (0.5, &[0, 1][..]));
        assert!((stir.accuracy - 8.0 / 9.0).abs() < 1e-12);
        // By problem: 0 and 1, 1/2 and 2/3, 1 and 1. Over sixths: 6, 1 and 0; half of the 4 signs reach 7 or -7.
        let paired = stir.paired.unwrap();
        assert_eq!((paired.wins, paired.losses, paired.mcnemar_p), (2, 0, 0.5));
        assert!((paired.accuracy_difference.mean - 7.0 / 18.0).abs() < 1e-12);
    }

    #[test]
    fn no_number_of_problems_shows_gains_that_cancel() {
        let seeded = |method: &str, seed, a, b| with(run(method, &[("a", a), ("b", b)]), |s| s.seed = seed);
        // 1 - 2/3 and 0 - 1/3, which add up to 5.6e-17.
        let plain = [seeded("plain", 0, true, true), seeded("plain", 1, true, false), seeded("plain", 2, false, false)];
        let stir = [0, 1, 2].map(|seed| seeded("stir", seed, true, false));
        let comparison = Comparison::new(&plain[0], plain[1..].iter().chain(&stir)).unwrap();
        let paired = comparison.get("stir").unwrap().paired.unwrap();
        assert_eq!((paired.wins, paired.losses, paired.problems_needed), (1, 1, None));
    }

    #[test]
    fn settings_tell_runs_of_one_method_apart() {
        let solved = [("a", true), ("b", false)];
        let scaled = |k: f64| with(run("stir", &solved), |s| drop(s.params.insert("k_scale".into(), k.into())));
        let moved = with(scaled(1.0), |s| s.mined_from = Some("other".into()));
        let comparison = Comparison::new(&run("plain", &solved), &[scaled(1.0), scaled(0.5), moved]).unwrap();
        let names: Vec<&str> = comparison.methods.iter().map(|method| method.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "plain",
                "stir (k_scale 1.0, not mined)",
                "stir (k_scale 0.5, not mined)",
                "stir (k_scale 1.0, mined from other)"
            ]
        );
    }

    #[test]
    fn p_values_are_adjusted_for_their_number() {
        let solved = |n: usize| -> Vec<(String, bool)> { (0..40).map(|i| (format!("p{i}"), i < n)).collect() };
        let of = |method: &str, n| {
            let solved = solved(n);
            run(method, &solved.iter().map(|(id, solved)| (id.as_str(), *solved)).collect::<Vec<_>>())
        };
        let comparison = Comparison::new(&of("plain", 10), &[of("a", 20), of("b", 16)]).unwrap();
        let adjusted: Vec<f64> =
            comparison.methods[1..].iter().map(|m| m.paired.map_or(f64::NAN, |p| p.holm_p)).collect();
        assert_eq!(adjusted, [2.0 * 2.0 / 1024.0, 2.0 / 64.0]);
    }

    #[test]
    fn what_does_not_pair_is_named() {
        let plain = run("plain", &[("a", true), ("b", false)]);
        let new = |method: Run| Comparison::new(&plain, &[method]).unwrap_err();
        let (method, id) = ("stir".to_owned(), |id: &str| id.to_owned());
        assert_eq!(
            new(run("stir", &[("b", true)])),
            ComparisonError::MissingId { method: method.clone(), id: id("a") }
        );
        assert_eq!(
            new(run("stir", &[("b", true), ("a", true), ("c", true)])),
            ComparisonError::UnknownId { method: method.clone(), id: id("c") },
        );
        assert_eq!(
            new(run("stir", &[("b", true), ("a", true), ("b", true)])),
            ComparisonError::DuplicateId { method: method.clone(), id: id("b") },
        );
        assert_eq!(new(plain.clone()), ComparisonError::DuplicateMethod { method: id("plain") });
        assert_eq!(Comparison::new(&run("plain", &[]), &[]), Err(ComparisonError::NoAnswers { method: id("plain") }));
        let solved = run("stir", &[("a", true), ("b", true)]);
        let late = Run { seconds: -1.0, ..solved.clone() };
        assert_eq!(new(late), ComparisonError::Seconds { method: method.clone(), value: -1.0 });
        let mut early = solved.clone();
        early.records.iter_mut().for_each(|record| record.seconds = Some(f64::NAN));
        assert!(matches!(new(early), ComparisonError::Seconds { value, .. } if value.is_nan()));
        let elsewhere = with(solved, |s| s.task = "gsm8k".into());
        let (expected, found) = ("sums".to_owned(), "gsm8k".to_owned());
        assert_eq!(new(elsewhere), ComparisonError::SettingsDiffer { method, field: "task", expected, found });
    }

    #[test]
    fn time_is_compared_where_it_was_measured() {
        let ids = [("a", true), ("b", true), ("c", true)];
        let timed = |method: &str, ends: [f64; 3]| {
            let mut run = run(method, &ids);
            run.records.iter_mut().zip(ends).for_each(|(record, end)| record.seconds = Some(end));
            run
        };
        // Finished in the order c, a, b: 1, 2 and 3 seconds.
        let (plain, stir) = (timed("plain", [3.0, 6.0, 1.0]), timed("stir", [1.0, 2.0, 3.0]));
        let comparison = Comparison::new(&plain, &[stir, run("untimed", &ids)]).unwrap();
        let seconds = |name: &str| comparison.get(name).and_then(|m| m.paired).and_then(|p| p.seconds_difference);
        assert_eq!(seconds("stir").unwrap().mean, -1.0);
        assert_eq!(seconds("untimed"), None);
    }
}
