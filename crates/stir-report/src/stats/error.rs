/// An error in the arguments of a statistic.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatsError {
    /// A proportion has no trials.
    #[error("a proportion needs at least one trial")]
    NoTrials,
    /// A proportion has more successes than trials.
    #[error("{successes} successes are more than {n} trials")]
    TooManySuccesses {
        /// The number of successes.
        successes: usize,
        /// The number of trials.
        n: usize,
    },
    /// A confidence is not strictly between 0 and 1.
    #[error("confidence must lie strictly between 0 and 1, not {value}")]
    Confidence {
        /// The value that was given.
        value: f64,
    },
    /// An error rate, a power or a share is outside its bounds, which are 0 and 1.
    #[error("{rate} must lie strictly between 0 and 1, not {value}")]
    Rate {
        /// The name of the argument: `alpha`, `power` or `discordant`.
        rate: &'static str,
        /// The value that was given.
        value: f64,
    },
    /// Paired samples differ in length.
    #[error("paired samples have different lengths, {baseline} and {method}")]
    UnequalLengths {
        /// The number of values of the baseline.
        baseline: usize,
        /// The number of values of the method.
        method: usize,
    },
    /// Paired samples are empty.
    #[error("paired samples are empty")]
    NoPairs,
    /// A difference of paired values is NaN or infinite.
    #[error("difference {index} is {value}, which is not finite")]
    NotFinite {
        /// The index of the pair, from 0.
        index: usize,
        /// The difference.
        value: f64,
    },
    /// A bootstrap has no resamples.
    #[error("a bootstrap needs at least one resample")]
    NoResamples,
    /// A p-value is outside [0, 1].
    #[error("p-value {index} is {value}, outside [0, 1]")]
    PValue {
        /// The index of the p-value, from 0.
        index: usize,
        /// The value that was given.
        value: f64,
    },
}
