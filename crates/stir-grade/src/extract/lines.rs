//! Answers that are on their own line: `#### 7` and `A: 7`.

use super::{found::Found, number};
use crate::final_number::final_answer;

/// Finds the answer after the last `####`.
pub(crate) fn hashes(text: &str) -> Found<'_> {
    let Some((_, after)) = text.rsplit_once("####") else { return Found::Nothing };
    match final_answer(text) {
        Some(answer) => {
            let is_last = after.trim_start().lines().skip(1).all(|line| line.trim().is_empty());
            // "Step 4: add" is a heading with a number in it, "2. Add" and "1st step" are numbered ones.
            let is_number = !answer.starts_with(char::is_alphabetic) && number::read(answer).is_some();
            let is_answer = (is_last || is_number) && !is_numbered(answer);
            if is_answer { Found::Answer(answer.into()) } else { Found::Nothing }
        }
        None if after.trim().is_empty() => Found::Unfinished,
        None => Found::Nothing,
    }
}

/// Returns whether a line begins as the headings of a list do: `2. Add`, `1) Add`, `3rd step`.
fn is_numbered(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let words = rest.strip_prefix(['.', ')', ':']).filter(|rest| rest.starts_with(' '));
    let ordinal = ["st ", "nd ", "rd ", "th "].iter().any(|end| rest.starts_with(end));
    rest.len() < line.len() && (ordinal || words.is_some_and(|words| words.contains(char::is_alphabetic)))
}

/// Finds the answer in the last line that begins with `A:`.
pub(crate) fn answer_line(text: &str) -> Found<'_> {
    let begins = |line: &&str| line.trim_start().starts_with("A:");
    let Some(line) = text.lines().rev().find(begins) else { return Found::Nothing };
    match line.trim_start().trim_start_matches("A:").trim() {
        "" => Found::Unfinished,
        answer => Found::Answer(answer.into()),
    }
}
