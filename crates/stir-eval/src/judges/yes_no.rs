use super::graded;
use crate::{
    Grade, Judge, Verdict,
    extract::{Extractor, is_letter, strip_markup},
};

/// The judge of questions that are answered by yes or no: StrategyQA. `true` and `false` count as those.
///
/// Besides what [`Extractor::math`] finds, an answer is a last line or a first word of that kind.
///
/// ```
/// use stir_eval::{Judge, YesNoJudge};
/// let judge = YesNoJudge::default();
/// assert!(judge.judge("no", "A rock sinks.\n\nThe answer is **No**.").correct());
/// assert!(judge.judge("yes", "Yes, as ice is lighter than water.").correct());
/// assert_eq!(judge.extract("One may say yes or no here"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YesNoJudge {
    /// What finds the answer where it is marked as such; [`Extractor::math`] by default.
    pub extractor: Extractor,
}

impl Default for YesNoJudge {
    fn default() -> Self {
        Self { extractor: Extractor::math() }
    }
}

impl Judge for YesNoJudge {
    /// `yes`, `no` or nothing.
    fn extract(&self, text: &str) -> Option<String> {
        let read = |answer: &str| read(answer).map(str::to_owned);
        self.extractor.extract_or(text, read, |part| unmarked(part).map(str::to_owned))
    }

    /// By the rule `yes_no`; a gold answer that is neither decides nothing.
    fn grade(&self, gold: &str, answer: &str) -> Grade {
        match read(gold) {
            Some(gold) => graded("yes_no", read(answer) == Some(gold)),
            None => Grade {
                verdict: Verdict::Unclear,
                rule: "yes_no".to_owned(),
                why: Some("the gold answer is neither yes nor no".to_owned()),
            },
        }
    }
}

/// `yes` or `no`, as the first word of an answer has it.
fn read(answer: &str) -> Option<&'static str> {
    let mut rest = answer.trim_start();
    for wrapper in ["\\text", "\\textbf", "\\mathrm", "\\mathbf"] {
        rest = rest.strip_prefix(wrapper).filter(|rest| rest.starts_with('{')).unwrap_or(rest);
    }
    let rest = rest.trim_start_matches(|c: char| !is_letter(c));
    let word = rest.split(|c: char| !is_letter(c)).next().unwrap_or_default();
    [("yes", "yes"), ("true", "yes"), ("no", "no"), ("false", "no")]
        .into_iter()
        .find_map(|(spelling, answer)| word.eq_ignore_ascii_case(spelling).then_some(answer))
}

/// What a text without a marked answer says in its last line, or else as its first word.
fn unmarked(text: &str) -> Option<&'static str> {
    let mut lines = text.lines().map(strip_markup).filter(|line| !line.is_empty());
    let first = lines.next()?;
    let last = lines.next_back().unwrap_or(first);
    let conclusion = last.trim_start_matches("So ").trim_start_matches("Therefore, ").trim_start_matches("so ");
    opening(conclusion).or_else(|| opening(first))
}

/// `yes` or `no` at the start of a statement ("No. ..", "Yes, ..") and not of a phrase ("No rock floats").
fn opening(line: &str) -> Option<&'static str> {
    let word = line.split(|c: char| !is_letter(c)).next().unwrap_or_default();
    let rest = &line[word.len()..];
    let stands_alone = rest.is_empty() || rest.starts_with([',', '.', ':', ';', '!', '*']) || rest.starts_with(" -");
    if stands_alone { read(word) } else { None }
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
