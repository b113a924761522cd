use crate::{
    Grade, Judge,
    equality::equal,
    extract::{Extractor, number, value},
    final_number::{decimal, final_answer},
};

/// A judge of word problems whose answer is one number: GSM8K, SVAMP.
///
/// The number may have a currency, a unit or a percent sign, and words around it as long as it is the only number.
///
/// ```
/// use stir_grade::{Judge, NumberJudge};
/// let judge = NumberJudge::default();
/// assert!(judge.judge("1200", "6 * 200 = 1200\nA: $1,200.00").correct());
/// assert!(judge.judge("6 * 200 = 1200\n#### 1200", "The answer is 1200 dollars.").correct(), "gold as a solution");
/// assert!(!judge.judge("1200", "6 * 200 = 1200").correct());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberJudge {
    /// The extractor of answers; [`Extractor::number`] by default.
    pub extractor: Extractor,
}

impl Default for NumberJudge {
    fn default() -> Self {
        Self { extractor: Extractor::number() }
    }
}

impl Judge for NumberJudge {
    fn extract(&self, text: &str) -> Option<String> {
        let of_sentence = |answer: &str| number::read(answer).or_else(|| value(answer).and_then(number::read));
        self.extractor.extract_with(text, of_sentence)
    }

    /// Compares two decimals exactly, at any length, by the rule `number`, and everything else by the rules of [`equal`].
    fn grade(&self, gold: &str, answer: &str) -> Grade {
        let gold = final_answer(gold).unwrap_or(gold);
        let read = |answer: &str| number::read(answer).unwrap_or_else(|| answer.trim().to_owned());
        let (gold, answer) = (read(gold), read(answer));
        match (decimal(&gold), decimal(&answer)) {
            (Some(gold), Some(answer)) => Grade::by("number", gold == answer),
            _ => equal(&gold, &answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Verdict, extract::Fallback};

    #[test]
    fn texts_of_models_and_what_they_answer() {
        let judge = NumberJudge::default();
        for (text, answer) in [
            ("5 + 5 = <<5+5=10>>10\nA: 10", Some("10")),
            ("5 + 5 = 10\n#### 10", Some("10")),
            ("\\boxed{10 \\text{ apples}}", Some("10")),
            ("So she pays \\boxed{\\$10.50}.", Some("10.5")),
            ("**Answer:** She has **10** apples.", Some("10")),
            ("The answer is 10 apples.", Some("10")),
            ("The answer is 2 hours and 30 minutes.", None),
            ("5 + 5 = <<5+5=10", None),
            ("", None),
        ] {
            assert_eq!(judge.extract(text).as_deref(), answer, "{text:?}");
        }
        let mut guessing = judge;
        guessing.extractor.fallback = Fallback::LastNumber;
        assert!(guessing.judge("10", "5 + 5 = <<5+5=10").correct());
    }

    #[test]
    fn signs_factors_and_words_are_not_lost() {
        let judge = NumberJudge::default();
        for (gold, text) in
            [("-5", "- 5"), ("-5", "negative 5"), ("-5", "minus 5"), ("1000000", "1 million"), ("120", "5!")]
        {
            assert_eq!(judge.grade(gold, text).verdict, Verdict::Equal, "{gold} | {text}");
        }
        for text in ["- 5", "negative 5", "minus 5", "-\u{20ac}5"] {
            assert_eq!(judge.grade("5", text).verdict, Verdict::Different, "{text:?}");
            assert!(!judge.judge("5", &format!("#### {text}")).correct(), "{text:?}");
        }
        for text in [
            "5 million",
            "5 thousand",
            "5 hundred",
            "5 dozen",
            "5k",
            "5K",
            "5 k",
            "5!",
            "5\u{3c0}",
            "5x",
            "5 x",
            "5 squared",
            "half of 5",
            "twice 5",
            "less than 5",
            "more than 5",
            "isn't 5",
            "never 5",
            "x - 5",
            "5 and a half",
            "x >= 5",
        ] {
            assert_ne!(judge.grade("5", text).verdict, Verdict::Equal, "{text:?}");
            assert!(!judge.judge("5", &format!("\\boxed{{\\text{{{text}}}}}")).correct(), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_compared_exactly() {
        let judge = NumberJudge::default();
        let verdict = |gold: &str, answer: &str| judge.grade(gold, answer).verdict;
        assert_eq!(verdict("10", "10.00"), Verdict::Equal);
        assert_eq!(verdict("70,000", "$70000"), Verdict::Equal);
        assert_eq!(verdict("-2", "\u{2212}2"), Verdict::Equal);
        assert_eq!(verdict("0.3", "0.30000000000000004"), Verdict::Different);
        assert_ne!(verdict("5", "not 5"), Verdict::Equal);
        assert_ne!(verdict("", "5"), Verdict::Equal);
        let long = "9".repeat(400);
        assert_eq!(verdict(&long, &format!("{long}.0")), Verdict::Equal);
        assert_eq!(verdict(&long, &format!("{long}.1")), Verdict::Different);
    }
}
