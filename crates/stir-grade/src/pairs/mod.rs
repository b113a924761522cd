//! Pairs of a gold answer and one to be graded, line by line: what the program `grade` does.

use std::io::{self, BufRead, Write};

mod exact;

use serde_json::{Map, Value};

use crate::{AnswerForm, Grade, Judge, Judged, MathJudge, Verdict, equality::Options, extract::Fallback};

/// An error while grading pairs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PairError {
    /// A line of the input cannot be read.
    #[error("cannot read line {line} of the input")]
    Read {
        /// The line, from 1.
        line: usize,
        /// The error of the system.
        source: io::Error,
    },
    /// A line is not a JSON object.
    #[error("line {line} of the input is not a JSON object")]
    Json {
        /// The line, from 1.
        line: usize,
        /// The syntax error.
        source: JsonError,
    },
    /// A line lacks a field or has an unusable one.
    #[error("the field {field:?} in line {line} of the input must be {expected}")]
    Field {
        /// The line, from 1.
        line: usize,
        /// The name of the field.
        field: &'static str,
        /// The type of value that is needed.
        expected: &'static str,
    },
    /// The output cannot be written.
    #[error("cannot write the verdict on line {line} of the input")]
    Write {
        /// The line, from 1.
        line: usize,
        /// The error of the system.
        source: io::Error,
    },
}

/// A syntax error in JSON, with its column.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct JsonError(serde_json::Error);

/// Grades the pairs of gold answer and prediction in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pairs {
    /// The form of the answers.
    pub form: AnswerForm,
    /// True if each `pred` is a whole text in which the answer must be found, false if it is a bare answer.
    pub is_text: bool,
    /// The answer of a text that gives none.
    pub fallback: Fallback,
    /// The options of the comparison of formulas, for [`AnswerForm::Math`].
    pub options: Options,
}

/// The number of pairs by verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// The number of pairs that were shown to be equal.
    pub equal: usize,
    /// The number of pairs that were shown to differ, or whose prediction holds no answer.
    pub different: usize,
    /// The number of pairs on which the rules do not decide.
    pub unclear: usize,
}

impl Pairs {
    /// Reads JSON objects with `gold` and `pred`, one per line, and writes each with its verdict. Blank lines are skipped.
    /// One line is in memory at a time.
    ///
    /// A line has the fields `gold` and `pred`, which are texts or numbers (`null` as `pred` is no answer). For multiple
    /// choice it may have `choices`, a list of the texts of the options, so that answers may be these texts. The fields
    /// `equal` (`true`, `false`, or `null` if the rules do not decide), `rule` (the rule that decided, or `no_answer`),
    /// `answer` (the answer that was compared) and, if `equal` is `null`, `why` are added, or replaced if they exist. All
    /// other fields are copied. A number with more digits than fit into 64 bits is compared, and copied, as a text. Half a
    /// character (`\ud83d`, which Python writes for a text that was cut inside one) is read as U+FFFD.
    ///
    /// ```
    /// use stir_grade::{AnswerForm, equality::Options, extract::Fallback, pairs::Pairs};
    /// let (form, options) = (AnswerForm::Number, Options::default());
    /// let pairs = Pairs { form, is_text: true, fallback: Fallback::None, options };
    /// let input = r#"{"id": 1, "gold": "73", "pred": "The answer is 73 coins."}"#;
    /// let mut output = Vec::new();
    /// let counts = pairs.grade(input.as_bytes(), &mut output)?;
    /// assert_eq!(counts.equal, 1);
    /// let verdict: serde_json::Value = serde_json::from_slice(&output)?;
    /// assert_eq!((&verdict["equal"], &verdict["answer"], &verdict["id"]), (&true.into(), &"73".into(), &1.into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error for the first line that cannot be read, parsed or written. The lines before it are written.
    pub fn grade(&self, mut input: impl BufRead, mut output: impl Write) -> Result<Counts, PairError> {
        let (mut counts, mut text, mut last) = (Counts::default(), Vec::new(), 0);
        let plain: Box<dyn Judge> = match self.form {
            AnswerForm::Math => Box::new(MathJudge { options: self.options, ..MathJudge::falling_back(self.fallback) }),
            form => form.judge::<&str>(&[], self.fallback),
        };
        for line in 1.. {
            text.clear();
            if input.read_until(b'\n', &mut text).map_err(|source| PairError::Read { line, source })? == 0 {
                break;
            }
            if text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let mut pair: Map<String, Value> = serde_json::from_slice(&exact::exact(&text))
                .map_err(|source| PairError::Json { line, source: JsonError(source) })?;
            let judged = self.judge(&*plain, &pair, line)?;
            tell(&judged, &mut counts, &mut pair);
            serde_json::to_writer(&mut output, &pair)
                .map_err(io::Error::from)
                .and_then(|()| output.write_all(b"\n"))
                .map_err(|source| PairError::Write { line, source })?;
            last = line;
        }
        output.flush().map_err(|source| PairError::Write { line: last, source })?;
        Ok(counts)
    }

    fn judge(&self, plain: &dyn Judge, pair: &Map<String, Value>, line: usize) -> Result<Judged, PairError> {
        let refused = |field, expected| PairError::Field { line, field, expected };
        let text = |field| match pair.get(field) {
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
            Some(Value::Null) => Ok(None),
            _ => Err(refused(field, "a text, a number or a truth value")),
        };
        let gold = text("gold")?.ok_or_else(|| refused("gold", "a text, a number or a truth value"))?;
        let Some(pred) = text("pred")? else { return Ok(Judged { answer: None, grade: None }) };
        let choices = match pair.get("choices") {
            Some(Value::Array(choices)) if self.form == AnswerForm::Choice => choices
                .iter()
                .map(|choice| choice.as_str().ok_or_else(|| refused("choices", "a list of texts")))
                .collect::<Result<Vec<&str>, _>>()?,
            Some(other) if self.form == AnswerForm::Choice && !other.is_null() => {
                return Err(refused("choices", "a list of texts"));
            }
            _ => Vec::new(),
        };
        let own = (!choices.is_empty()).then(|| self.form.judge(&choices, self.fallback));
        let judge = own.as_deref().unwrap_or(plain);
        if self.is_text {
            return Ok(judge.judge(&gold, &pred));
        }
        let grade = judge.grade(&gold, &pred);
        Ok(Judged { answer: Some(pred), grade: Some(grade) })
    }
}

/// Counts what was decided and writes it into the pair.
fn tell(judged: &Judged, counts: &mut Counts, pair: &mut Map<String, Value>) {
    let none = Grade { verdict: Verdict::Different, rule: "no_answer".to_owned(), why: None };
    let grade = judged.grade.as_ref().unwrap_or(&none);
    let (count, equal) = match grade.verdict {
        Verdict::Equal => (&mut counts.equal, Value::Bool(true)),
        Verdict::Different => (&mut counts.different, Value::Bool(false)),
        Verdict::Unclear => (&mut counts.unclear, Value::Null),
    };
    *count += 1;
    pair.insert("equal".to_owned(), equal);
    pair.insert("rule".to_owned(), grade.rule.clone().into());
    pair.insert("answer".to_owned(), judged.answer.clone().into());
    match &grade.why {
        Some(why) => pair.insert("why".to_owned(), why.clone().into()),
        None => pair.remove("why"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graded(form: AnswerForm, is_text: bool, input: &[u8]) -> Result<(Counts, Vec<Value>), PairError> {
        let mut output = Vec::new();
        let counts =
            Pairs { form, is_text, fallback: Fallback::None, options: Options::default() }.grade(input, &mut output)?;
        let lines = String::from_utf8(output).unwrap();
        Ok((counts, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()))
    }

    #[test]
    fn bare_answers_texts_and_missing_ones() {
        let input = b"{\"gold\": 4, \"pred\": \"4.0\", \"more\": [1]}\n\n{\"gold\": \"5\", \"pred\": \"$4\"}\n{\"gold\":\"5\",\"pred\":null}";
        let (counts, lines) = graded(AnswerForm::Number, false, input).unwrap();
        assert_eq!(counts, Counts { equal: 1, different: 2, unclear: 0 });
        assert_eq!((&lines[0]["equal"], &lines[0]["more"][0]), (&true.into(), &1.into()));
        assert_eq!((&lines[1]["equal"], &lines[1]["rule"]), (&false.into(), &"number".into()));
        assert_eq!((&lines[2]["rule"], &lines[2]["answer"]), (&"no_answer".into(), &Value::Null));
        let text = b"{\"gold\": \"4\", \"pred\": \"2 + 2 = 4\"}\n{\"gold\": \"4\", \"pred\": \"\\\\boxed{4}\"}\r\n";
        let (counts, lines) = graded(AnswerForm::Number, true, text).unwrap();
        assert_eq!((counts.equal, counts.different), (1, 1));
        assert_eq!(lines[0]["answer"], Value::Null);
    }

    #[test]
    fn choices_and_gold_answers_that_decide_nothing() {
        let input = br#"{"gold": "B", "pred": "the moon", "choices": ["the sun", "the moon"]}
            {"gold": "B", "pred": "2"}
            {"gold": "?", "pred": "B"}"#;
        let (counts, lines) = graded(AnswerForm::Choice, false, input).unwrap();
        assert_eq!(counts, Counts { equal: 2, different: 0, unclear: 1 });
        assert_eq!(lines[2]["equal"], Value::Null);
        assert!(lines[2]["why"].is_string());
    }

    #[test]
    fn numbers_are_never_rounded() {
        let verdict = |form, gold: &str, pred: &str| {
            let line = format!(r#"{{"gold": {gold}, "pred": {pred}, "id": "\"{pred}"}}"#);
            let (_, lines) = graded(form, false, line.as_bytes()).unwrap();
            assert_eq!(lines[0]["id"], format!("\"{pred}"));
            lines[0]["equal"].clone()
        };
        for form in [AnswerForm::Number, AnswerForm::Math] {
            for (gold, pred, equal) in [
                ("18446744073709551615", "18446744073709551615", true),
                ("18446744073709551615", "18446744073709551614", false),
                ("100000000000000000000000000000000000000001", "100000000000000000000000000000000000000001", true),
                ("100000000000000000000000000000000000000001", "100000000000000000000000000000000000000002", false),
                ("-100000000000000000000001", "-100000000000000000000002", false),
                ("0.10000000000000000000000001", "0.1", false),
                ("0.30000000000000001", "0.3", false),
                ("0.5000000000000000000000", "5e-1", true),
                ("1000000", "1E+6", true),
                ("1e-400", "0", false),
            ] {
                assert_eq!(verdict(form, gold, pred), equal, "{form:?}: {gold} and {pred}");
            }
        }
        let id = "123456789012345678901234567890";
        let line = format!(r#"{{"gold": 1, "pred": 1.50, "id": {id}, "small": [7, -0.25, 1e3]}}"#);
        let (_, lines) = graded(AnswerForm::Number, false, line.as_bytes()).unwrap();
        assert_eq!((&lines[0]["id"], &lines[0]["answer"]), (&id.into(), &"1.5".into()));
        assert_eq!(lines[0]["small"], serde_json::json!([7, -0.25, 1000.0]));
        for bad in ["01", "1-2", "--1", "1e", "1e400"] {
            let refused = graded(AnswerForm::Number, false, format!(r#"{{"gold": {bad}, "pred": 1}}"#).as_bytes());
            assert!(matches!(refused, Err(PairError::Json { line: 1, .. })), "{bad}");
        }
    }

    #[test]
    fn half_a_character_costs_no_line() {
        let input = br#"{"gold": "4", "pred": "\\boxed{4} \ud83d", "id": "\udc00\ud83d\ude00"}
            {"gold": "4", "pred": "\\boxed{4}\uD83D\u0020", "\ud83d": 12345678901234567890123}
            {"gold": "4", "pred": "\\boxed{5}\\ud83d"}"#;
        let (counts, lines) = graded(AnswerForm::Math, true, input).unwrap();
        assert_eq!(counts, Counts { equal: 2, different: 1, unclear: 0 });
        assert_eq!((&lines[0]["pred"], &lines[0]["id"]), (&"\\boxed{4} \u{fffd}".into(), &"\u{fffd}\u{1f600}".into()));
        assert_eq!(
            (&lines[1]["pred"], &lines[1]["\u{fffd}"]),
            (&"\\boxed{4}\u{fffd} ".into(), &"12345678901234567890123".into())
        );
        assert_eq!(lines[2]["pred"], "\\boxed{5}\\ud83d");
        for broken in [r#"{"gold": "1", "pred": "\ud8"#, r#"{"gold": "1", "pred": "\u+d83"}"#] {
            assert!(matches!(graded(AnswerForm::Math, true, broken.as_bytes()), Err(PairError::Json { line: 1, .. })));
        }
    }

    #[test]
    fn no_reason_stays_of_an_earlier_verdict() {
        let (_, lines) = graded(AnswerForm::Math, false, br#"{"gold": "1", "pred": "1", "why": "old"}"#).unwrap();
        assert_eq!(lines[0].get("why"), None);
    }

    #[test]
    fn bad_lines_are_named() {
        let line = |input: &[u8]| graded(AnswerForm::Math, false, input).unwrap_err();
        let good = b"{\"gold\": \"1\", \"pred\": \"1\"}\n";
        let after = |bad: &[u8]| line(&[good.as_slice(), bad].concat());
        assert!(matches!(after(b"{"), PairError::Json { line: 2, .. }));
        assert!(matches!(after(b"[1]"), PairError::Json { line: 2, .. }));
        assert!(matches!(after(b"{\"gold\": \"\xff\", \"pred\": \"\"}"), PairError::Json { line: 2, .. }));
        assert!(matches!(after(b"{\"pred\": \"1\"}"), PairError::Field { line: 2, field: "gold", .. }));
        assert!(matches!(after(b"{\"gold\": null, \"pred\": \"1\"}"), PairError::Field { field: "gold", .. }));
        assert!(matches!(after(b"{\"gold\": \"1\"}"), PairError::Field { field: "pred", .. }));
        assert!(matches!(after(b"{\"gold\": \"1\", \"pred\": []}"), PairError::Field { field: "pred", .. }));
        let choices = b"{\"gold\": \"A\", \"pred\": \"A\", \"choices\": \"the sun\"}";
        let refused = graded(AnswerForm::Choice, false, choices).unwrap_err();
        assert!(matches!(refused, PairError::Field { line: 1, field: "choices", .. }));
        assert_eq!(graded(AnswerForm::Math, true, b"").unwrap().0, Counts::default());
    }
}
