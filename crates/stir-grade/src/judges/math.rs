use crate::{
    Grade, Judge,
    equality::Options,
    extract::{Extractor, Fallback, value},
};

/// A judge of problems whose answer is a formula: MATH-500, AIME, AMC.
///
/// ```
/// use stir_grade::{Judge, MathJudge};
/// let judge = MathJudge::default();
/// assert!(judge.judge("12", "There are 3 rows of 4.\n\n\\[\\boxed{12}\\]").correct());
/// assert!(!judge.judge("12", "There are 3 rows of 4, so 12").correct(), "no answer, only a number");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MathJudge {
    /// The extractor of answers; [`Extractor::math`] by default.
    pub extractor: Extractor,
    /// The options of the comparison.
    pub options: Options,
}

impl MathJudge {
    /// Creates the default judge with this fallback for texts that give no answer.
    pub fn falling_back(fallback: Fallback) -> Self {
        Self { extractor: Extractor { fallback, ..Extractor::math() }, options: Options::default() }
    }
}

impl Default for MathJudge {
    fn default() -> Self {
        Self::falling_back(Fallback::None)
    }
}

impl Judge for MathJudge {
    /// Returns the answer of `text`. Of a sentence such as "The smallest value is 57" it is the value.
    fn extract(&self, text: &str) -> Option<String> {
        self.extractor.extract_with(text, |answer| Some(value(answer).unwrap_or(answer).to_owned()))
    }

    /// Compares by the rules of [`equal`](crate::equality::equal).
    fn grade(&self, gold: &str, answer: &str) -> Grade {
        self.options.equal(gold, answer)
    }
}
