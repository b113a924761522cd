//! Pairs of a gold answer and one to be graded, line by line: what the program `grade` does.

use std::io::{self, BufRead, Write};

use serde_json::{Map, Number, Value};

use crate::{AnswerForm, Grade, Judge, Judged, MathJudge, Verdict, equality::Options, extract::Fallback};

/// Why pairs cannot be graded.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The input ends in an error.
    #[error("cannot read line {line}")]
    Read {
        /// The line, from 1.
        line: usize,
        /// What the system says.
        source: io::Error,
    },
    /// A line that is not a JSON object.
    #[error("line {line} is no JSON object")]
    Json {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A line without a field, or with one that cannot be used.
    #[error("line {line}: {field} must be {expected}")]
    Field {
        /// The line, from 1.
        line: usize,
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// The output cannot be written.
    #[error("cannot write the verdict on line {line}")]
    Write {
        /// The line, from 1.
        line: usize,
        /// What the system says.
        source: io::Error,
    },
}

/// How pairs are graded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pairs {
    /// What the answers look like.
    pub form: AnswerForm,
    /// Whether `pred` is a whole text that an answer has to be found in; a bare answer otherwise.
    pub is_text: bool,
    /// What counts where a text gives no answer.
    pub fallback: Fallback,
    /// How strictly formulas are compared; for [`AnswerForm::Math`].
    pub options: Options,
}

/// How many pairs came to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Shown to be equal.
    pub equal: usize,
    /// Shown to differ, or without an answer.
    pub different: usize,
    /// Neither was shown.
    pub unclear: usize,
}

impl Pairs {
    /// Reads JSON objects with `gold` and `pred`, a line each, and writes them with the verdict; blank lines are skipped.
    /// One line is in memory at a time.
    ///
    /// Fields of a line: `gold` and `pred`, texts or numbers (a `pred` that is `null` is no answer); `choices`, the
    /// options of multiple choice, where answers may be their texts. Fields that are added: `equal` (`null` where
    /// nothing could be decided), `rule` (what decided; `no_answer` where there is none), `answer` (what was compared),
    /// and `why` where nothing could be decided. They replace fields of these names; all else is passed on. A number of
    /// more digits than 64 bits hold is compared, and passed on, as a text.
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
    /// The first line that cannot be read, understood or answered; what comes before it is written.
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
            let mut pair: Map<String, Value> =
                serde_json::from_slice(&exact(&text)).map_err(|source| PairError::Json { line, source })?;
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

/// A line of JSON where numbers that would be rounded when they are read are texts.
fn exact(line: &[u8]) -> Vec<u8> {
    let (mut out, mut at, mut in_text) = (Vec::with_capacity(line.len()), 0, false);
    while let Some(&byte) = line.get(at) {
        let is_number = !in_text && (byte == b'-' || byte.is_ascii_digit());
        let len = match byte {
            _ if is_number => line[at..].iter().take_while(|byte| b"+-.eE0123456789".contains(byte)).count(),
            b'\\' if in_text => 2,
            _ => 1,
        };
        in_text ^= byte == b'"';
        let piece = &line[at..line.len().min(at + len)];
        let quote: &[u8] = if is_number && is_rounded(piece) { b"\"" } else { b"" };
        [quote, piece, quote].iter().for_each(|part| out.extend_from_slice(part));
        at += len;
    }
    out
}

/// Whether a number is another one once it is read. What is none is left to the reader to refuse.
fn is_rounded(number: &[u8]) -> bool {
    let read = serde_json::from_slice::<Number>(number);
    read.is_ok_and(|read| value_of(&read.to_string()) != value_of(&String::from_utf8_lossy(number)))
}

/// What a number says however it is written: its sign, its digits without zeros around them, and the place of the first.
fn value_of(number: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let unsigned = mantissa.trim_start_matches('-');
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return (false, String::new(), 0);
    }
    let place = whole.len() as i64 - (digits.len() - significant.len()) as i64;
    // An exponent beyond 64 bits does not come back from reading.
    let place = exponent.parse().map_or(i64::MAX, |exponent: i64| exponent.saturating_add(place));
    (unsigned.len() < mantissa.len(), significant.trim_end_matches('0').to_owned(), place)
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
