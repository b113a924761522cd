//! The answer convention of GSM8K, for models that were trained on it (Cobbe et al. 2021, "Training Verifiers to Solve
//! Math Word Problems").
//!
//! The answer is the rest of the line after `####`. A text without that line has no answer, whatever numbers it
//! contains; picking one of them would credit a method for answers that it did not give.

use crate::{Grade, Judge, Verdict, extract::outside_thinking};

/// The mark before the final answer.
const MARKER: &str = "####";

/// Returns the final answer of a text: the rest of the line after its last `####`, without a closing full stop.
///
/// Returns `None` if there is no `####`, if no white space follows it, or if the line ends there. The last `####`
/// decides even if an earlier one is complete: a text that is cut off while it restates its answer has not settled on
/// one.
///
/// ```
/// use stir_grade::final_number::final_answer;
/// assert_eq!(final_answer("So 3 + 4 = 7.\n#### 7."), Some("7"));
/// assert_eq!(final_answer("#### 6\nNo, wait.\n#### $7\nDone."), Some("$7"));
/// assert_eq!(final_answer("The answer is 7."), None);
/// assert_eq!(final_answer("The answer is 7.\n####"), None);
/// ```
pub fn final_answer(text: &str) -> Option<&str> {
    let (_, after) = text.rsplit_once(MARKER)?;
    let line = after.lines().next()?;
    if !line.starts_with(char::is_whitespace) {
        return None;
    }
    Some(trim(line)).filter(|answer| !answer.is_empty())
}

/// Returns the canonical spelling of an answer.
///
/// If the text has a `####` line, as a full gold solution does, its [`final_answer`] is used. A number becomes its
/// shortest plain decimal: no `$`, no `+`, no thousands separators (commas before groups of exactly three digits), no
/// leading zeros, no trailing zeros after the point, no `-0`. U+2212 counts as a minus sign. Every digit is kept, so
/// equal spellings mean equal numbers at any length. Everything else, including exponents, fractions and units, is text,
/// in which each run of white space becomes one space.
///
/// ```
/// use stir_grade::final_number::canonical;
/// assert_eq!(canonical("-$01,234.50"), "-1234.5");
/// assert_eq!(canonical("48 / 2 = 24\n#### 24"), "24");
/// assert_eq!(canonical("  x  >\t2. "), "x > 2");
/// assert_eq!(canonical("1,2"), "1,2"); // two numbers, or a decimal comma, but not twelve
/// ```
pub fn canonical(answer: &str) -> String {
    let answer = trim(final_answer(answer).unwrap_or(answer));
    decimal(answer).unwrap_or_else(|| answer.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Returns true if two answers have the same [`canonical`] spelling. This is exact for numbers, and an equivalence
/// relation: reflexive, symmetric and transitive.
///
/// ```
/// use stir_grade::final_number::answers_equal;
/// assert!(answers_equal("6 * 200 = 1200\n#### 1,200", "$1200.00"));
/// assert!(!answers_equal("0.1", "0.1000000000000000055"));
/// ```
pub fn answers_equal(gold: &str, pred: &str) -> bool {
    canonical(gold) == canonical(pred)
}

/// A judge of problems whose answer is one number (or one line of text) after `####`. Text before `</think>`, or after a
/// `<think>` that is never closed, is not looked at.
///
/// For a function, use `|gold: &str, text: &str| FinalNumber.correct(gold, text)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FinalNumber;

impl FinalNumber {
    /// Returns true if the [`final_answer`] of `text` equals `gold`, which is a bare answer or a solution that ends with
    /// one.
    ///
    /// ```
    /// use stir_grade::FinalNumber;
    /// assert!(FinalNumber.correct("54", "40 - 12 = 28\n\n28 + 26 = 54\n#### 54."));
    /// assert!(!FinalNumber.correct("54", "40 - 12 = 28\n\n28 + 26 = 54"));
    /// ```
    pub fn correct(&self, gold: &str, text: &str) -> bool {
        self.judge(gold, text).correct()
    }
}

impl Judge for FinalNumber {
    fn extract(&self, text: &str) -> Option<String> {
        final_answer(outside_thinking(text)).map(str::to_owned)
    }

    /// Compares the canonical spellings; the rule is `spelling`.
    fn grade(&self, gold: &str, answer: &str) -> Grade {
        let verdict = if answers_equal(gold, answer) { Verdict::Equal } else { Verdict::Different };
        Grade { verdict, rule: "spelling".to_owned(), why: None }
    }
}

/// Removes surrounding white space and one full stop at the end.
fn trim(answer: &str) -> &str {
    let answer = answer.trim();
    answer.strip_suffix('.').unwrap_or(answer).trim_end()
}

/// Returns the shortest plain decimal of a number, or `None` for anything else, in time linear in the length of `text`.
///
/// ```
/// use stir_grade::final_number::decimal;
/// assert_eq!(decimal("$1,200.50").as_deref(), Some("1200.5"));
/// assert_eq!(decimal("5 apples"), None);
/// ```
pub fn decimal(text: &str) -> Option<String> {
    // Both `-$5` and `$-5` are written; `-$-5` is neither.
    let (negative, magnitude) = match text.strip_prefix('$') {
        Some(amount) => take_sign(amount.trim_start()),
        None => {
            let (negative, rest) = take_sign(text);
            (negative, rest.strip_prefix('$').unwrap_or(rest))
        }
    };
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let whole = ungroup(whole)?;
    let is_digits = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(&whole) || !is_digits(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let sign = if negative && whole.len() + fraction.len() > 0 { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    Some([sign, whole, point, fraction].concat())
}

/// Returns whether a minus sign leads, and the text after the sign if there is one.
fn take_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Returns `1,234,567` without its commas; `None` when they do not set off thousands.
fn ungroup(whole: &str) -> Option<String> {
    let Some((first, rest)) = whole.split_once(',') else { return Some(whole.to_owned()) };
    let grouped = (1..=3).contains(&first.len()) && rest.split(',').all(|group| group.len() == 3);
    grouped.then(|| whole.replace(',', ""))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_complete_last_marker_gives_an_answer() {
        for (text, expected) in [
            ("", None),
            ("7", None),
            ("####", None),
            ("#### ", None),
            ("####\n7", None),
            ("#### \t \n7", None),
            ("####7", None),
            ("### 7", None),
            ("#### .", None),
            ("#### 7\n####", None),
            ("#### 7", Some("7")),
            ("##### 7", Some("7")),
            ("####\t7\r\nmore", Some("7")),
            ("The answer is #### 7 .", Some("7")),
            ("#### 1\n#### 2\n#### 3\n", Some("3")),
            ("#### no idea", Some("no idea")),
            ("#### 答えは７", Some("答えは７")),
            ("🦀####\u{a0}7", Some("7")),
        ] {
            assert_eq!(final_answer(text), expected, "{text:?}");
        }
    }

    #[test]
    fn spellings_of_one_number_are_one() {
        for (spelling, expected) in [
            ("7", "7"),
            ("+7.", "7"),
            ("007.00", "7"),
            (".5", "0.5"),
            ("0.50", "0.5"),
            ("-0.0", "0"),
            ("00", "0"),
            ("$ 1,234,567.8900", "1234567.89"),
            ("$-5", "-5"),
            ("-$5", "-5"),
            ("\u{2212}5", "-5"),
            ("1000", "1000"),
        ] {
            assert_eq!(canonical(spelling), expected, "{spelling:?}");
        }
    }

    #[test]
    fn what_is_not_a_number_stays_text() {
        for text in ["", "-", "$", ",", "1,2", "1,2345", ",123", "1234,567", "1.2.3", "1.234,5", "--5", "-$-5", "$$5"] {
            assert_eq!(canonical(text), text);
        }
        for text in ["1e400", "1/2", "5%", "5 apples", "٣", "７", "NaN", "inf", "0x10", "- 5", "#### ####"] {
            assert_eq!(canonical(text), text);
        }
        assert!(!answers_equal("5", "5 apples"));
        assert!(!answers_equal("10", "1e1"));
    }

    #[test]
    fn long_numbers_are_compared_digit_by_digit() {
        let (one, two) = ("1".repeat(400), format!("{}2", "1".repeat(399)));
        assert!(answers_equal(&one, &format!("$000{one}.000")));
        assert!(!answers_equal(&one, &two));
        assert!(!answers_equal(&format!("0.{one}"), &format!("0.{two}")));
    }

    #[test]
    fn huge_texts_take_linear_time() {
        let start = Instant::now();
        let size = 4 << 20;
        let (zeros, marks, commas) = ("0".repeat(size), "#".repeat(size), "1".to_owned() + &",000".repeat(size / 4));
        assert!(FinalNumber.correct(&format!("{zeros}7"), &format!("#### {zeros}7.{zeros}")));
        assert!(!FinalNumber.correct("7", &marks));
        assert!(FinalNumber.correct(&commas, &format!("{marks} {commas}")));
        assert!(!FinalNumber.correct("7", &"#### ".repeat(size / 5)));
        // Tens of milliseconds in practice; quadratic time would be hours.
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn gold_may_be_a_solution_and_an_empty_one_matches_nothing() {
        assert!(FinalNumber.correct("6 * 9 = 54\n#### 54", "#### 54.0"));
        assert!(!FinalNumber.correct("6 * 9 = 54\n#### 54", "6 * 9 = 54"));
        assert!(!FinalNumber.correct("", ""));
        assert!(!FinalNumber.correct("", "#### "));
        assert!(FinalNumber.correct(" option  B ", "#### option B."));
        assert!(!FinalNumber.correct("B", "#### b"));
    }

    /// Texts in which markers, numbers and white space are common.
    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![any::<String>(), "(####|[ \n.,$+0-9-]|é){0,24}"]
    }

    proptest! {
        #[test]
        fn equality_is_reflexive_and_symmetric(a in texts(), b in texts()) {
            prop_assert!(answers_equal(&a, &a));
            prop_assert_eq!(answers_equal(&a, &b), answers_equal(&b, &a));
        }

        /// Whole cents fit an integer, which is the independent measure of equality here.
        #[test]
        fn decimals_are_equal_when_their_numbers_are(a in -2000i64..2000, b in -2000i64..2000, zeros in 0usize..3) {
            let spell = |cents: i64| {
                let sign = if cents < 0 { "-" } else { "" };
                format!("{sign}{}{}.{:02}", "0".repeat(zeros), cents.abs() / 100, cents.abs() % 100)
            };
            prop_assert_eq!(answers_equal(&spell(a), &spell(b)), a == b);
            prop_assert_eq!(canonical(&spell(a)).parse::<f64>().unwrap(), a as f64 / 100.0);
        }
    }
}
