use super::limits::{MAX_BITS, MAX_BYTES, MAX_DEPTH, MAX_NODES, MAX_TERMS, MAX_WORK};

/// Why an answer could not be read, computed or compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Why {
    #[error("the answer is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("the answer has more than {MAX_NODES} parts")]
    TooManyParts,
    #[error("the answer is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("the answer is no formula that is understood here")]
    Syntax,
    #[error("comparing takes more than {MAX_WORK} steps")]
    TooMuchWork,
    #[error("a number has more than {MAX_BITS} bits")]
    TooManyBits,
    #[error("a polynomial has more than {MAX_TERMS} terms")]
    TooManyTerms,
    #[error("a division by zero")]
    DivisionByZero,
    #[error("a divisor or a sign that may be zero")]
    Undecided,
    #[error("neither equality nor a difference was shown")]
    NotShown,
    #[error("the same number in another base")]
    OtherBase,
    #[error("an operation that has no value here")]
    Undefined,
    #[error("agree within {0:.0e} but no exact proof was found")]
    Close(f64),
    #[error("the digits are the same and one answer names no base")]
    NoBase,
    #[error("the units differ and are not known to be the same")]
    Units,
    #[error("the gold answer is a choice, and the options are not known")]
    Options,
    #[error("one text contains the other")]
    Contained,
    #[error("one answer leaves out what the other says")]
    LeftOut,
    #[error("letters behind a number may be a unit or variables")]
    Letters,
    #[error("neither equation is a multiple of the other")]
    Proportion,
    #[error("a percent sign is missing from a number below one")]
    Percent,
    #[error("several conditions that hold together")]
    Conjunction,
    #[error("a list and a tuple of the same elements")]
    Order,
    #[error("the values are the same and their names are not")]
    Names,
    #[error("clock times or ratios")]
    Clock,
    #[error("the answers have different forms")]
    Forms,
    #[error("one answer could not be read as a formula and the other could")]
    HalfRead,
}
