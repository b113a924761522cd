use crate::{
    Grade, Judge, Verdict,
    extract::{Extractor, conclusion, head, is_letter, strip_markup},
};

/// A judge of questions that are answered by yes or no: StrategyQA. `true` and `false` count as yes and no.
///
/// The judge looks where [`Extractor::words`] looks, then at the last line and at the first word of the text.
///
/// ```
/// use stir_grade::{Judge, YesNoJudge};
/// let judge = YesNoJudge::default();
/// assert!(judge.judge("no", "A rock sinks.\n\nThe answer is **No**.").correct());
/// assert!(judge.judge("yes", "Yes, as ice is lighter than water.").correct());
/// assert_eq!(judge.extract("One may say yes or no here"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YesNoJudge {
    /// The extractor of marked answers; [`Extractor::words`] by default.
    pub extractor: Extractor,
}

impl Default for YesNoJudge {
    fn default() -> Self {
        Self { extractor: Extractor::words() }
    }
}

impl Judge for YesNoJudge {
    /// Returns `yes`, `no` or `None`.
    fn extract(&self, text: &str) -> Option<String> {
        let read = |answer: &str| read(answer).map(str::to_owned);
        self.extractor.extract_or(text, read, |part| unmarked(part).map(str::to_owned))
    }

    /// Compares two truth values; the rule is `yes_no`. The verdict is unclear if the gold answer is neither yes nor no.
    fn grade(&self, gold: &str, answer: &str) -> Grade {
        match read(gold) {
            Some(gold) => Grade::by("yes_no", read(answer) == Some(gold)),
            None => Grade {
                verdict: Verdict::Unclear,
                rule: "yes_no".to_owned(),
                why: Some("the gold answer is neither yes nor no".to_owned()),
            },
        }
    }
}

/// Reads `yes` or `no` from the first word of an answer.
fn read(answer: &str) -> Option<&'static str> {
    let mut rest = answer.trim_start();
    for wrapper in ["\\text", "\\textbf", "\\mathrm", "\\mathbf"] {
        rest = rest.strip_prefix(wrapper).filter(|rest| rest.starts_with('{')).unwrap_or(rest);
    }
    let rest = rest.trim_start_matches(|c: char| !is_letter(c));
    let word = rest.split(|c: char| !is_letter(c)).next().unwrap_or_default();
    let said = truth(word)?;
    let after = &rest[word.len()..];
    if word.eq_ignore_ascii_case("no") && is_phrase(after) || is_open(said, after) {
        return None;
    }
    Some(said)
}

fn truth(word: &str) -> Option<&'static str> {
    [("yes", "yes"), ("true", "yes"), ("no", "no"), ("false", "no")]
        .into_iter()
        .find_map(|(spelling, answer)| word.eq_ignore_ascii_case(spelling).then_some(answer))
}

/// Returns whether "no" belongs to the word after it: "no information".
fn is_phrase(after: &str) -> bool {
    let Some(rest) = after.strip_prefix([' ', '\t', '-']) else { return false };
    let word = rest.trim_start().split(|c: char| !is_letter(c)).next().unwrap_or_default().to_ascii_lowercase();
    !word.is_empty() && !["because", "since", "as", "it", "they", "he", "she"].contains(&word.as_str())
}

/// Returns whether what follows an answer gives the other one too, or denies it.
fn is_open(said: &str, after: &str) -> bool {
    let words = head(after, 80).split(|c: char| !is_letter(c)).filter(|word| !word.is_empty());
    let words: Vec<String> = words.take(3).map(str::to_ascii_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let is_other = |word: &str| truth(word).is_some_and(|other| other != said);
    let has_sign = after.trim_start_matches([' ', '*', '"', '}']).starts_with(['/', '|', '&']);
    // `yes (no law forbids it)` gives a reason.
    let is_joined = has_sign || after.starts_with(' ') && !after.trim_start().starts_with('(');
    match words.as_slice() {
        ["or" | "and" | "but" | "nor", other, ..] if is_other(other) => true,
        ["and" | "or", _, other] if is_other(other) => true,
        ["is" | "was", "not" | "wrong" | "incorrect", ..] | ["isn", ..] => true,
        [other, ..] => is_joined && is_other(other),
        [] => false,
    }
}

/// Returns the answer of a text without a marked one: that of its last line, or else its first word.
fn unmarked(text: &str) -> Option<&'static str> {
    let mut lines = text.lines().map(strip_markup).filter(|line| !line.is_empty());
    let first = lines.next()?;
    let last = lines.next_back().unwrap_or(first);
    opening(conclusion(last)).or_else(|| opening(first))
}

/// Reads `yes` or `no` at the start of a statement ("No. ..", "Yes, ..") and not of a phrase ("No rock floats").
fn opening(line: &str) -> Option<&'static str> {
    let word = line.split(|c: char| !is_letter(c)).next().unwrap_or_default();
    let rest = &line[word.len()..];
    let stands_alone = rest.is_empty() || rest.starts_with([',', '.', ':', ';', '!', '*']) || rest.starts_with(" -");
    if stands_alone && !word.is_empty() { read(line) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_say_yes_or_no() {
        let judge = YesNoJudge::default();
        for (text, answer) in [
            ("The answer is yes.", Some("yes")),
            ("So the answer is **No**, as it sinks.", Some("no")),
            ("\\boxed{\\text{Yes}}", Some("yes")),
            ("Answer: False", Some("no")),
            ("#### true", Some("yes")),
            ("Rocks sink.\n\nNo.", Some("no")),
            ("Ice is light.\nSo yes, it floats.", Some("yes")),
            ("Yes. Ice floats.\nThat is all there is to it.", Some("yes")),
            ("**Yes**", Some("yes")),
            ("<think>No.</think>Yes", Some("yes")),
            ("<think>The answer is no.", None),
            ("Yes, it floats. Still, the answer is", None),
            ("No rock floats", None),
            ("Nothing", None),
            ("The answer is unknown.", None),
            ("Maybe yes, maybe no", None),
            ("So, yes.", Some("yes")),
            ("Thus, no.", Some("no")),
            ("Answer: No, rocks sink.", Some("no")),
            ("Answer: No (it sinks)", Some("no")),
            ("Answer: no because it sinks", Some("no")),
            ("Answer: yes (no law forbids it)", Some("yes")),
            ("Answer: yes or no", None),
            ("Answer: yes/no", None),
            ("Answer: yes / no", None),
            ("The answer is yes and no.", None),
            ("Yes, or no.", None),
            ("Answer: True or False", None),
            ("Answer: no information", None),
            ("The answer is no one knows", None),
            ("\\boxed{\\text{no idea}}", None),
            ("#### yes is wrong", None),
            ("", None),
        ] {
            assert_eq!(judge.extract(text).as_deref(), answer, "{text:?}");
        }
    }

    #[test]
    fn gold_may_be_a_truth_value() {
        let judge = YesNoJudge::default();
        assert_eq!(judge.grade("true", "Yes").verdict, Verdict::Equal);
        assert_eq!(judge.grade("False", "yes").verdict, Verdict::Different);
        assert_eq!(judge.grade("perhaps", "yes").verdict, Verdict::Unclear);
    }
}
