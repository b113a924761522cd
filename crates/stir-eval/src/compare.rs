use std::collections::{HashMap, HashSet};

use serde::{Serialize, Serializer};

use crate::{
    Answer, EvalError, MethodRun,
    stats::{Interval, mcnemar, wilson},
};

/// Coverage of the accuracy intervals.
const CONFIDENCE: f64 = 0.95;

/// Methods that answered the same problems, side by side: the baseline first, then the others in the order given.
///
/// `Display` renders an aligned table, [`to_markdown`](Self::to_markdown) the same for a document. Serialised, it is
/// `{"problems": N, "methods": {NAME: SUMMARY, ...}}` with the methods in order. (A `serde_json::Value` in between sorts
/// them by name; write the comparison itself.)
///
/// ```
/// use stir_eval::{Answer, Comparison, MethodRun};
/// let run = |name: &str, correct: [bool; 2]| MethodRun {
///     name: name.into(),
///     answers: ["p1", "p2"]
///         .into_iter()
///         .zip(correct)
///         .map(|(id, correct)| Answer { id: id.into(), correct, tokens: 90, probe_tokens: 0 })
///         .collect(),
///     seconds: 1.5,
/// };
/// let comparison = Comparison::new(&run("plain", [false, true]), &[run("stir", [true, true])])?;
/// let stir = comparison.get("stir").and_then(|m| m.paired);
/// assert_eq!(stir.map(|p| (p.wins, p.losses, p.mcnemar_p)), Some((1, 0, 1.0)));
/// # Ok::<(), stir_eval::EvalError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Problems that every method answered.
    pub problems: usize,
    /// One summary per method.
    #[serde(serialize_with = "by_name")]
    pub methods: Vec<MethodSummary>,
}

/// What one method came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MethodSummary {
    /// The method's name; the key when serialised.
    #[serde(skip)]
    pub name: String,
    /// Fraction of problems answered correctly, in [0, 1].
    pub accuracy: f64,
    /// 95 % Wilson interval of the accuracy.
    pub ci95: Interval,
    /// Mean committed tokens per answer.
    pub tokens: f64,
    /// Mean probe tokens per answer.
    pub probe_tokens: f64,
    /// Wall time of the whole run, in seconds.
    pub seconds: f64,
    /// How it fares against the baseline, problem by problem; `None` for the baseline. Serialised, its fields stand
    /// among the others.
    #[serde(flatten)]
    pub paired: Option<Paired>,
}

/// A method against the baseline on the same problems.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Paired {
    /// Problems that only the method solved.
    pub wins: usize,
    /// Problems that only the baseline solved.
    pub losses: usize,
    /// Exact two-sided p-value of [`mcnemar`]; not corrected for the number of methods (see
    /// [`holm`](crate::stats::holm)).
    pub mcnemar_p: f64,
}

impl Comparison {
    /// Compares `methods` with `baseline`, pairing answers by problem id.
    ///
    /// # Errors
    /// [`EvalError::NoAnswers`] for an empty baseline, [`EvalError::DuplicateMethod`], [`EvalError::DuplicateId`],
    /// [`EvalError::MissingId`] and [`EvalError::UnknownId`] for answers that do not pair one to one, and
    /// [`EvalError::Seconds`] for a wall time that is negative or not finite. Each names the first offender.
    pub fn new(baseline: &MethodRun, methods: &[MethodRun]) -> Result<Self, EvalError> {
        let mut names = HashSet::from([baseline.name.as_str()]);
        if let Some(twice) = methods.iter().find(|method| !names.insert(&method.name)) {
            return Err(EvalError::DuplicateMethod { method: twice.name.clone() });
        }
        let reference = index(baseline)?;
        let mut summaries = vec![MethodSummary::new(baseline, None)?];
        for method in methods {
            let paired = Paired::new(baseline, &reference, method)?;
            summaries.push(MethodSummary::new(method, Some(paired))?);
        }
        Ok(Self { problems: baseline.answers.len(), methods: summaries })
    }

    /// The summary of the method called `name`.
    pub fn get(&self, name: &str) -> Option<&MethodSummary> {
        self.methods.iter().find(|method| method.name == name)
    }
}

impl MethodSummary {
    fn new(run: &MethodRun, paired: Option<Paired>) -> Result<Self, EvalError> {
        if !run.seconds.is_finite() || run.seconds < 0.0 {
            return Err(EvalError::Seconds { method: run.name.clone(), value: run.seconds });
        }
        let n = run.answers.len();
        if n == 0 {
            return Err(EvalError::NoAnswers { method: run.name.clone() });
        }
        let correct = run.answers.iter().filter(|answer| answer.correct).count();
        let mean = |count: fn(&Answer) -> usize| run.answers.iter().map(|a| count(a) as f64).sum::<f64>() / n as f64;
        Ok(Self {
            name: run.name.clone(),
            accuracy: correct as f64 / n as f64,
            ci95: wilson(correct, n, CONFIDENCE)?,
            tokens: mean(|answer| answer.tokens),
            probe_tokens: mean(|answer| answer.probe_tokens),
            seconds: run.seconds,
            paired,
        })
    }
}

impl Paired {
    fn new(baseline: &MethodRun, reference: &HashMap<&str, bool>, run: &MethodRun) -> Result<Self, EvalError> {
        let name = || run.name.clone();
        let answers = index(run)?;
        // Both are searched in the order of the files, so that the same runs name the same offender.
        if let Some(missing) = baseline.answers.iter().find(|answer| !answers.contains_key(answer.id.as_str())) {
            return Err(EvalError::MissingId { method: name(), id: missing.id.clone() });
        }
        let (mut wins, mut losses) = (0, 0);
        for Answer { id, correct, .. } in &run.answers {
            match reference.get(id.as_str()) {
                None => return Err(EvalError::UnknownId { method: name(), id: id.clone() }),
                Some(false) if *correct => wins += 1,
                Some(true) if !*correct => losses += 1,
                Some(_) => {}
            }
        }
        Ok(Self { wins, losses, mcnemar_p: mcnemar(wins, losses).exact })
    }
}

/// Whether each problem was solved.
fn index(run: &MethodRun) -> Result<HashMap<&str, bool>, EvalError> {
    let mut solved = HashMap::with_capacity(run.answers.len());
    for answer in &run.answers {
        if solved.insert(answer.id.as_str(), answer.correct).is_some() {
            return Err(EvalError::DuplicateId { method: run.name.clone(), id: answer.id.clone() });
        }
    }
    Ok(solved)
}

fn by_name<S: Serializer>(methods: &[MethodSummary], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(methods.iter().map(|method| (&method.name, method)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, answers: &[(&str, bool)]) -> MethodRun {
        let answer = |&(id, correct): &(&str, bool)| Answer { id: id.into(), correct, tokens: 10, probe_tokens: 3 };
        MethodRun { name: name.into(), answers: answers.iter().map(answer).collect(), seconds: 1.0 }
    }

    #[test]
    fn pairs_by_id_whatever_the_order() {
        let plain = run("plain", &[("a", true), ("b", false), ("c", false), ("d", true)]);
        let stir = run("stir", &[("d", false), ("c", true), ("b", true), ("a", true)]);
        let comparison = Comparison::new(&plain, &[stir]).unwrap();
        assert_eq!(comparison.problems, 4);
        let paired = comparison.get("stir").unwrap().paired.unwrap();
        assert_eq!((paired.wins, paired.losses, paired.mcnemar_p), (2, 1, 1.0));
        assert_eq!(comparison.get("plain").unwrap().paired, None);
        assert_eq!(comparison.get("other"), None);
    }

    #[test]
    fn serialises_methods_in_the_order_given() {
        let plain = run("zero", &[("a", false)]);
        let methods = [run("one", &[("a", true)]), run("half", &[("a", false)])];
        let json = serde_json::to_string(&Comparison::new(&plain, &methods).unwrap()).unwrap();
        let shared = |accuracy: f64| {
            let [low, high] = wilson(accuracy as usize, 1, 0.95).unwrap().into();
            format!(
                r#""accuracy":{accuracy:?},"ci95":[{low:?},{high:?}],"tokens":10.0,"probe_tokens":3.0,"seconds":1.0"#
            )
        };
        let (wrong, right) = (shared(0.0), shared(1.0));
        let expected = [
            format!(r#"{{"problems":1,"methods":{{"zero":{{{wrong}}}"#),
            format!(r#""one":{{{right},"wins":1,"losses":0,"mcnemar_p":1.0}}"#),
            format!(r#""half":{{{wrong},"wins":0,"losses":0,"mcnemar_p":1.0}}}}}}"#),
        ];
        assert_eq!(json, expected.join(","));
    }

    #[test]
    fn what_does_not_pair_is_named() {
        let plain = run("plain", &[("a", true), ("b", false)]);
        let new = |method: MethodRun| Comparison::new(&plain, &[method]).unwrap_err();
        let (method, id) = ("stir".to_owned(), |id: &str| id.to_owned());
        assert_eq!(new(run("stir", &[("b", true)])), EvalError::MissingId { method: method.clone(), id: id("a") },);
        assert_eq!(
            new(run("stir", &[("b", true), ("a", true), ("c", true)])),
            EvalError::UnknownId { method: method.clone(), id: id("c") },
        );
        assert_eq!(
            new(run("stir", &[("b", true), ("a", true), ("b", true)])),
            EvalError::DuplicateId { method: method.clone(), id: id("b") },
        );
        assert_eq!(new(run("plain", &[])), EvalError::DuplicateMethod { method: id("plain") });
        assert_eq!(Comparison::new(&run("plain", &[]), &[]), Err(EvalError::NoAnswers { method: id("plain") }),);
        let late = MethodRun { seconds: -1.0, ..run("stir", &[("a", true), ("b", true)]) };
        assert_eq!(new(late), EvalError::Seconds { method, value: -1.0 });
    }
}
