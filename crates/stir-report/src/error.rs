/// What cannot be scored or compared, and why.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EvalError {
    /// A proportion of no trials.
    #[error("a proportion needs at least one trial")]
    NoTrials,
    /// More successes than trials.
    #[error("{successes} successes in {n} trials")]
    TooManySuccesses {
        /// Successes given.
        successes: usize,
        /// Trials given.
        n: usize,
    },
    /// A confidence that is not strictly between 0 and 1.
    #[error("confidence must lie strictly between 0 and 1, not {value}")]
    Confidence {
        /// What was given.
        value: f64,
    },
    /// An error rate or a power that is not strictly between 0 and 1.
    #[error("{rate} must lie strictly between 0 and 1, not {value}")]
    Rate {
        /// Which: `alpha` or `power`.
        rate: &'static str,
        /// What was given.
        value: f64,
    },
    /// Paired samples that cannot be paired.
    #[error("paired samples differ in length: {baseline} and {method}")]
    UnequalLengths {
        /// Values of the baseline.
        baseline: usize,
        /// Values of the method.
        method: usize,
    },
    /// Paired samples without a value.
    #[error("paired samples are empty")]
    NoPairs,
    /// A difference of paired values that is NaN or infinite.
    #[error("difference {index} is {value}, which is not finite")]
    NotFinite {
        /// Place of the pair, from 0.
        index: usize,
        /// The difference.
        value: f64,
    },
    /// A bootstrap without resamples.
    #[error("a bootstrap needs at least one resample")]
    NoResamples,
    /// A p-value outside [0, 1].
    #[error("p-value {index} is {value}, outside [0, 1]")]
    PValue {
        /// Its place, from 0.
        index: usize,
        /// What was given.
        value: f64,
    },
    /// A baseline without answers: there is nothing to compare on.
    #[error("method {method:?} has no answers")]
    NoAnswers {
        /// The method's name.
        method: String,
    },
    /// Nothing to report on.
    #[error("there are no runs")]
    NoRuns,
    /// A task that the baseline did not answer, so that nothing can be compared on it.
    #[error("no run of the baseline {baseline:?} with model {model:?} on task {task:?}")]
    NoBaseline {
        /// The baseline's name.
        baseline: String,
        /// The model.
        model: String,
        /// The task.
        task: String,
    },
    /// Runs that cannot stand in one table.
    #[error("method {method:?} was run with {field} {found:?}, the baseline with {expected:?}")]
    Apart {
        /// The method's name.
        method: String,
        /// The setting that differs: `model` or `task`.
        field: &'static str,
        /// Its value in the baseline's run.
        expected: String,
        /// Its value in the method's run.
        found: String,
    },
    /// Two runs that differ in nothing, or two methods under one name.
    #[error("two methods are named {method:?}, or one was run twice with the same settings and seed")]
    DuplicateMethod {
        /// The name.
        method: String,
    },
    /// Two answers to one problem.
    #[error("method {method:?} answers problem {id:?} twice")]
    DuplicateId {
        /// The method's name.
        method: String,
        /// The problem.
        id: String,
    },
    /// A problem that the baseline answers and the method does not.
    #[error("method {method:?} does not answer problem {id:?}, which the baseline answers")]
    MissingId {
        /// The method's name.
        method: String,
        /// The problem.
        id: String,
    },
    /// A problem that the method answers and the baseline does not.
    #[error("method {method:?} answers problem {id:?}, which the baseline does not")]
    UnknownId {
        /// The method's name.
        method: String,
        /// The problem.
        id: String,
    },
    /// A wall time that is negative or not finite.
    #[error("method {method:?} took {value} seconds")]
    Seconds {
        /// The method's name.
        method: String,
        /// What was given.
        value: f64,
    },
}
