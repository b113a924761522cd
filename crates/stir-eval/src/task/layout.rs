//! Rows of published data sets as problems. What a row is made of decides how it is read, not which task it is for.

use serde_json::Value;

use stir_grade::{
    AnswerForm, ChoiceJudge, Extractor, Judge, YesNoJudge,
    extract::Marker,
    final_number::{decimal, final_answer},
};

use super::{Place, Problem, TaskError, rows::Row};

const ID: [&str; 7] = ["id", "unique_id", "qid", "ID", "idx", "question_id", "problem_id"];
const QUESTION: [&str; 9] =
    ["question_concat", "question", "question_stem", "problem", "Problem", "query", "prompt", "Question", "input"];
const GOLD: [&str; 11] = [
    "answerKey",
    "gold",
    "answer",
    "Answer",
    "expected_answer",
    "final_answer",
    "result",
    "label",
    "target",
    "solution",
    "Solution",
];
const CHOICES: [&str; 2] = ["choices", "options"];
const SUBJECT: [&str; 4] = ["subject", "type", "Type", "category"];
const LEVEL: [&str; 2] = ["level", "difficulty"];
/// The end of the prompts in some published files.
const INSTRUCTION: &str = "Please reason step by step, and put your final answer within \\boxed{}.";

/// The way the rows of a task are read.
pub(super) struct Reading<'a> {
    pub(super) task: &'a str,
    pub(super) form: AnswerForm,
    /// True if a field `prompt` is a whole prompt and not a question.
    pub(super) whole_prompts: bool,
}

impl Reading<'_> {
    /// Returns the problem in a row, the `index`-th of its task from 0.
    pub(super) fn problem(&self, index: usize, place: &Place, row: &Row) -> Result<Problem, TaskError> {
        let cell = Cell { place, row };
        let (question, is_prompt) = self.question(cell)?;
        let options = cell.options()?;
        let is_choice = self.form == AnswerForm::Choice;
        let (name, gold) = cell.first(&GOLD).ok_or_else(|| cell.missing("answer", &GOLD))?;
        let gold = match self.form {
            AnswerForm::Choice => {
                let labels: Vec<&str> = options.iter().map(|option| option.label.as_str()).collect();
                let texts: Vec<&str> = options.iter().map(|option| option.text.as_str()).collect();
                let place = place_of(gold, &labels, &texts);
                place
                    .map(|place| ChoiceJudge::letter_at(place).to_string())
                    .ok_or_else(|| cell.refused(name, gold, "one of the options"))?
            }
            AnswerForm::YesNo => YesNoJudge::default()
                .extract(&cell.text(name, gold)?)
                .filter(|answer| !answer.is_empty())
                .ok_or_else(|| cell.refused(name, gold, "yes, no or a truth value"))?,
            AnswerForm::Number => {
                let gold = answer_of(&cell.text(name, gold)?, name);
                decimal(&gold).unwrap_or(gold)
            }
            AnswerForm::Math => {
                let gold = answer_of(&cell.text(name, gold)?, name);
                if gold.bytes().all(|b| b.is_ascii_digit()) { decimal(&gold).unwrap_or(gold) } else { gold }
            }
        };
        if gold.is_empty() {
            let value = row.get(name).unwrap_or(&Value::Null);
            return Err(cell.refused(name, value, "an answer, which is not empty"));
        }
        let id = match cell.first(&ID) {
            Some((name, id)) => cell.text(name, id)?,
            None => format!("{}/{index}", self.task),
        };
        let level = cell.optional(&LEVEL).map(|level| level.trim_start_matches("Level ").to_owned());
        let choices = if is_choice { options.into_iter().map(|option| option.text).collect() } else { Vec::new() };
        Ok(Problem { id, question, choices, gold, subject: cell.optional(&SUBJECT), level, is_prompt })
    }

    /// Returns the question, and whether it is a whole prompt.
    fn question(&self, cell: Cell<'_>) -> Result<(String, bool), TaskError> {
        if let (Some(Value::String(body)), Some(Value::String(question))) =
            (cell.row.get("Body"), cell.row.get("Question"))
        {
            return Ok((format!("{} {}", body.trim(), question.trim()), false));
        }
        let (name, value) = cell.first(&QUESTION).ok_or_else(|| cell.missing("question", &QUESTION))?;
        let text = match value {
            Value::Object(nested) => nested
                .get("stem")
                .and_then(Value::as_str)
                .ok_or_else(|| cell.refused(name, value, "an object with a stem"))?,
            Value::String(text) => text,
            _ => return Err(cell.refused(name, value, "a text")),
        };
        let is_prompt = name == "prompt" && self.whole_prompts;
        let text = if is_prompt { text } else { without_instruction(text).trim() };
        if text.is_empty() {
            return Err(cell.refused(name, value, "a question, which is not empty"));
        }
        Ok((text.to_owned(), is_prompt))
    }
}

/// Returns the form of the answers of rows: see [`Task::custom`](super::Task::custom).
pub(super) fn form_of(rows: &[(Place, Row)]) -> AnswerForm {
    let cells = || rows.iter().map(|(place, row)| Cell { place, row });
    let texts = || cells().map(|cell| cell.optional(&GOLD).unwrap_or_default());
    let is_word = |gold: String| ["yes", "no", "true", "false"].iter().any(|word| gold.eq_ignore_ascii_case(word));
    if rows.is_empty() {
        AnswerForm::Math
    } else if cells().all(|cell| cell.options().is_ok_and(|options| !options.is_empty())) {
        AnswerForm::Choice
    } else if texts().all(is_word) {
        AnswerForm::YesNo
    } else if texts().all(|gold| decimal(final_answer(&gold).unwrap_or(&gold)).is_some()) {
        AnswerForm::Number
    } else {
        AnswerForm::Math
    }
}

/// An option as a data set gives it.
struct Choice {
    label: String,
    text: String,
}

/// A row and its place.
#[derive(Clone, Copy)]
struct Cell<'a> {
    place: &'a Place,
    row: &'a Row,
}

impl<'a> Cell<'a> {
    /// Returns the first of these fields that is there and not null.
    fn first(self, names: &[&'static str]) -> Option<(&'static str, &'a Value)> {
        names.iter().find_map(|name| Some((*name, self.row.get(*name).filter(|value| !value.is_null())?)))
    }

    fn optional(self, names: &[&'static str]) -> Option<String> {
        let (name, value) = self.first(names)?;
        self.text(name, value).ok().filter(|text| !text.is_empty())
    }

    /// Returns a text, a number in its shortest decimal, or a truth value.
    fn text(self, name: &str, value: &Value) -> Result<String, TaskError> {
        match value {
            Value::String(text) => Ok(text.trim().to_owned()),
            Value::Number(number) => {
                let text = number.as_f64().filter(|_| number.is_f64()).map_or(number.to_string(), |f| f.to_string());
                Ok(decimal(&text).unwrap_or(text))
            }
            Value::Bool(truth) => Ok(truth.to_string()),
            _ => Err(self.refused(name, value, "a text, a number or a truth value")),
        }
    }

    /// Returns the options of the row, which may be part of its question; empty where it has none.
    fn options(self) -> Result<Vec<Choice>, TaskError> {
        let nested = self.row.get("question").and_then(Value::as_object);
        let inside = nested.and_then(|question| question.get("choices"));
        let Some((name, value)) = inside.map(|value| ("choices", value)).or_else(|| self.first(&CHOICES)) else {
            return Ok(Vec::new());
        };
        let refused = || self.refused(name, value, "a list of 2 to 26 different options, or their labels and texts");
        let string = |value: &Value| value.as_str().map(str::to_owned);
        let options: Option<Vec<Choice>> = match value {
            Value::Array(items) => {
                let option = |(place, item): (usize, &Value)| match item {
                    Value::Object(item) => {
                        Some(Choice { label: string(item.get("label")?)?, text: string(item.get("text")?)? })
                    }
                    item => {
                        let text = self.text(name, item).ok()?;
                        Some(Choice { label: ChoiceJudge::letter_at(place).to_string(), text })
                    }
                };
                items.iter().enumerate().map(option).collect()
            }
            Value::Object(columns) => match (columns.get("label"), columns.get("text")) {
                (Some(Value::Array(labels)), Some(Value::Array(texts))) if labels.len() == texts.len() => {
                    let pairs = labels.iter().zip(texts);
                    pairs.map(|(label, text)| Some(Choice { label: string(label)?, text: string(text)? })).collect()
                }
                _ => None,
            },
            _ => None,
        };
        let options = options.ok_or_else(refused)?;
        let labels: std::collections::BTreeSet<&str> = options.iter().map(|option| option.label.as_str()).collect();
        let is_good = (2..=ChoiceJudge::MOST).contains(&options.len()) && labels.len() == options.len();
        if is_good { Ok(options) } else { Err(refused()) }
    }

    fn missing(self, field: &'static str, names: &'static [&'static str]) -> TaskError {
        TaskError::NoField { place: self.place.clone(), field, names }
    }

    fn refused(self, field: &str, value: &Value, expected: &'static str) -> TaskError {
        let mut value = value.to_string();
        if value.len() > 100 {
            value = value.chars().take(100).chain("..".chars()).collect();
        }
        TaskError::Field { place: self.place.clone(), field: field.to_owned(), value, expected }
    }
}

/// Returns the place of the right option: by its label; by its place, where that is a number (from 0) or the label is a
/// digit (from 1); by its text.
fn place_of(gold: &Value, labels: &[&str], texts: &[&str]) -> Option<usize> {
    match gold {
        Value::Number(place) => {
            place.as_u64().and_then(|place| usize::try_from(place).ok()).filter(|&p| p < labels.len())
        }
        Value::String(gold) => {
            let gold = gold.trim();
            let by_label = labels.iter().position(|label| label.eq_ignore_ascii_case(gold));
            let by_text = || {
                let mut places = (0..texts.len()).filter(|&place| texts[place].trim() == gold);
                places.next().filter(|_| places.next().is_none())
            };
            let by_number = || {
                let place = gold.parse::<usize>().ok()?.checked_sub(1)?;
                (place < labels.len()).then_some(place)
            };
            let by_letter = || (0..labels.len()).find(|&place| gold == ChoiceJudge::letter_at(place).to_string());
            by_label.or_else(by_text).or_else(by_number).or_else(by_letter)
        }
        _ => None,
    }
}

/// Returns the answer in a gold field: that of a solution with `####`, or in a box where the field is called a
/// solution.
fn answer_of(gold: &str, field: &str) -> String {
    if let Some(answer) = final_answer(gold) {
        return answer.to_owned();
    }
    let boxed = Extractor { markers: vec![Marker::Boxed], ..Extractor::math() };
    let is_solution = field.eq_ignore_ascii_case("solution");
    match boxed.extract(gold) {
        Some(answer) => answer,
        None if is_solution => String::new(),
        None => gold.to_owned(),
    }
}

fn without_instruction(question: &str) -> &str {
    question.trim_end().strip_suffix(INSTRUCTION).unwrap_or(question)
}
