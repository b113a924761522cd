use serde::{Deserialize, Serialize};

use crate::{ChoiceJudge, Extractor, Judge, MathJudge, NumberJudge, YesNoJudge, extract::Fallback};

/// The form of the answers of a task, which determines their judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerForm {
    /// A formula, judged by [`MathJudge`].
    Math,
    /// A number, judged by [`NumberJudge`].
    Number,
    /// One of several options, judged by [`ChoiceJudge`].
    Choice,
    /// Yes or no, judged by [`YesNoJudge`].
    YesNo,
}

impl AnswerForm {
    /// Every form with its name.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Math, "math"), (Self::Number, "number"), (Self::Choice, "choice"), (Self::YesNo, "yes_no")];

    /// Returns the form of that name (`math`, `number`, `choice`, `yes_no`).
    ///
    /// ```
    /// use stir_grade::AnswerForm;
    /// assert_eq!(AnswerForm::named("yes_no"), Some(AnswerForm::YesNo));
    /// assert_eq!(AnswerForm::named("poetry"), None);
    /// ```
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(form, _)| *form)
    }

    /// Creates the judge of answers of this form to a problem with the options `choices`. Without options, the judge of
    /// [`Choice`](Self::Choice) accepts five letters. `fallback` applies to numbers and formulas.
    pub fn judge<T: AsRef<str>>(self, choices: &[T], fallback: Fallback) -> Box<dyn Judge> {
        match self {
            Self::Math => Box::new(MathJudge::falling_back(fallback)),
            Self::Number => Box::new(NumberJudge { extractor: Extractor { fallback, ..Extractor::number() } }),
            Self::Choice if choices.is_empty() => Box::new(ChoiceJudge::letters(5)),
            Self::Choice => Box::new(ChoiceJudge::new(choices)),
            Self::YesNo => Box::new(YesNoJudge::default()),
        }
    }
}
