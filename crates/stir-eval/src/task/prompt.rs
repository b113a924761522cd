use serde::{Deserialize, Serialize};

use super::{AnswerForm, Problem, TaskError};

/// The messages of a prompt, for the chat template of a model.
///
/// ```
/// use stir_eval::task::PromptMessages;
/// let prompt = PromptMessages { system: Some("Be brief.".into()), user: "2 + 2?".into(), is_raw: false };
/// assert_eq!(prompt.without_system().user, "Be brief.\n\n2 + 2?");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptMessages {
    /// The system message, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The user message.
    pub user: String,
    /// True if `user` is the whole prompt, to be used as it is and without a chat template.
    #[serde(default)]
    pub is_raw: bool,
}

impl PromptMessages {
    /// Returns the messages with the system message put in front of the user message, for models whose template has no
    /// system turn.
    pub fn without_system(self) -> Self {
        let user = match self.system {
            Some(system) => format!("{system}\n\n{}", self.user),
            None => self.user,
        };
        Self { system: None, user, is_raw: self.is_raw }
    }
}

/// A template that turns a problem into [`PromptMessages`].
///
/// ```
/// use stir_eval::task::PromptTemplate;
/// assert!(PromptTemplate::new(None, "Q: {question}\n{choices}\nA:").is_ok());
/// assert!(PromptTemplate::new(None, "Q: {qestion}").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptTemplate {
    system: Option<String>,
    user: String,
}

impl PromptTemplate {
    /// Returns a template: `{question}` in `user` is replaced by the question and `{choices}` by the options, a line
    /// each. Without `{choices}` the options of a problem that has some come after everything else.
    ///
    /// # Errors
    /// When there is no `{question}`, or another word in braces.
    pub fn new(system: Option<String>, user: impl Into<String>) -> Result<Self, TaskError> {
        let user = user.into();
        let mut has_question = false;
        for (piece, is_known) in pieces(&user) {
            has_question |= piece == QUESTION;
            if !is_known && has_placeholder(piece) {
                return Err(TaskError::Template { template: user });
            }
        }
        if has_question { Ok(Self { system, user }) } else { Err(TaskError::Template { template: user }) }
    }

    /// Returns the template of the built-in tasks with answers of this form.
    pub fn of(form: AnswerForm) -> Self {
        let (system, user) = match form {
            AnswerForm::Math => (
                "You solve mathematical problems. Think step by step. End with the final answer, and nothing but the \
                 answer, in \\boxed{}.",
                QUESTION,
            ),
            AnswerForm::Number => (
                "You solve word problems. Think step by step. End with the final answer in \\boxed{}, as a number \
                 without a unit.",
                QUESTION,
            ),
            AnswerForm::Choice => (
                "You answer multiple-choice questions. Think step by step. End with a line of the form \"Answer: X\", \
                 where X is the letter of the one right option.",
                "{question}\n\n{choices}",
            ),
            AnswerForm::YesNo => (
                "You answer questions by yes or no. Think step by step. End with a line that is \"Answer: yes\" or \
                 \"Answer: no\".",
                QUESTION,
            ),
        };
        Self { system: Some(system.to_owned()), user: user.to_owned() }
    }

    /// Returns the messages of a problem.
    pub fn prompt(&self, problem: &Problem) -> PromptMessages {
        if problem.is_prompt {
            return PromptMessages { system: None, user: problem.question.clone(), is_raw: true };
        }
        let choices = listed(&problem.choices);
        let (mut user, mut is_listed) = (String::new(), choices.is_empty());
        // Piece by piece, so that braces in a question stay what they are.
        for (piece, _) in pieces(&self.user) {
            match piece {
                QUESTION => user.push_str(&problem.question),
                CHOICES => {
                    is_listed = true;
                    user.push_str(&choices);
                }
                text => user.push_str(text),
            }
        }
        if !is_listed {
            user.push_str("\n\n");
            user.push_str(&choices);
        }
        PromptMessages { system: self.system.clone(), user: user.trim_end().to_owned(), is_raw: false }
    }
}

const QUESTION: &str = "{question}";
const CHOICES: &str = "{choices}";

/// Returns a template cut at its placeholders, and whether a piece is one.
fn pieces(template: &str) -> Vec<(&str, bool)> {
    let mut cuts: Vec<(usize, usize)> = [QUESTION, CHOICES]
        .iter()
        .flat_map(|placeholder| template.match_indices(placeholder).map(|(at, found)| (at, at + found.len())))
        .collect();
    cuts.sort_unstable();
    let (mut pieces, mut start) = (Vec::new(), 0);
    for (from, to) in cuts {
        pieces.extend([(&template[start..from], false), (&template[from..to], true)]);
        start = to;
    }
    pieces.push((&template[start..], false));
    pieces
}

/// Returns whether text has a word in braces; `\boxed{}`, `\text{of LaTeX}` and `\frac{1}{2}` have none.
fn has_placeholder(text: &str) -> bool {
    text.match_indices('{').any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + 1..]);
        let is_word = |word: &str| word.len() > 1 && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let is_argument = before.ends_with(|c: char| c.is_alphabetic() || c == '}' || c == '\\');
        !is_argument && after.split_once('}').is_some_and(|(word, _)| is_word(word))
    })
}

/// Returns the options, a line each: `A. ..`.
fn listed(choices: &[String]) -> String {
    let line =
        |(place, text): (usize, &String)| format!("{}. {}", stir_grade::ChoiceJudge::letter_at(place), text.trim());
    choices.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(question: &str, choices: &[&str]) -> Problem {
        Problem {
            id: "1".into(),
            question: question.into(),
            choices: choices.iter().map(|&text| text.into()).collect(),
            gold: "A".into(),
            subject: None,
            level: None,
            is_prompt: false,
        }
    }

    #[test]
    fn placeholders_are_filled_once() {
        let template = PromptTemplate::new(None, "Q: {question}\n{choices}\nA:").unwrap();
        let prompt = template.prompt(&problem("{choices} or {question}?", &["{question}", " two "]));
        assert_eq!(prompt.user, "Q: {choices} or {question}?\nA. {question}\nB. two\nA:");
        let without = PromptTemplate::new(Some("S".into()), "{question}").unwrap();
        assert_eq!(without.prompt(&problem("q", &["x"])).user, "q\n\nA. x");
        assert_eq!(without.prompt(&problem("q", &[])).user, "q");
    }

    #[test]
    fn templates_of_the_forms_are_templates() {
        for form in [AnswerForm::Math, AnswerForm::Number, AnswerForm::Choice, AnswerForm::YesNo] {
            let PromptTemplate { system, user } = PromptTemplate::of(form);
            assert!(PromptTemplate::new(system, user).is_ok());
        }
        assert!(matches!(PromptTemplate::new(None, "no question"), Err(TaskError::Template { .. })));
        assert!(matches!(PromptTemplate::new(None, "{question} {subject}"), Err(TaskError::Template { .. })));
        assert!(PromptTemplate::new(None, "{question} in \\boxed{} or \\text{words}{words}").is_ok());
    }

    #[test]
    fn whole_prompts_stay_as_they_are() {
        let whole = Problem { is_prompt: true, ..problem("Q: 2+2?\nA:", &[]) };
        let prompt = PromptTemplate::of(AnswerForm::Number).prompt(&whole);
        assert_eq!(prompt, PromptMessages { system: None, user: "Q: 2+2?\nA:".into(), is_raw: true });
    }
}
