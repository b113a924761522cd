//! Whether sets of problems have anything in common.

use std::{collections::HashMap, fmt};

use super::spec::Set;
use crate::questions::Questions;

/// The number of pairs that a message names.
const NAMED: usize = 8;

/// Problems that two sets have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// Every pair: the set and the id of one problem, those of the other.
    pub pairs: Vec<(Set, String, Set, String)>,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pairs } = self;
        write!(f, "sets have {} problem{} in common: ", pairs.len(), if pairs.len() == 1 { "" } else { "s" })?;
        for (i, (first, id, second, other)) in pairs.iter().take(NAMED).enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{id:?} of {} is {other:?} of {}", first.name(), second.name())?;
        }
        if pairs.len() > NAMED { write!(f, ", ..") } else { Ok(()) }
    }
}

/// Returns the problems that two of `sets` have in common: by text, whatever its case and spacing, and by id, unless the
/// ids of one of the two only count rows.
pub(super) fn overlap(sets: &[(Set, Questions)]) -> Option<Overlap> {
    let mut pairs = Vec::new();
    for (place, (set, questions)) in sets.iter().enumerate() {
        for (earlier, others) in &sets[..place] {
            let by_text: HashMap<String, &str> =
                others.questions.iter().map(|question| (normal(&question.user), question.id.as_str())).collect();
            let is_numbered = questions.is_numbered || others.is_numbered;
            let ids = others.questions.iter().map(|question| question.id.as_str());
            let by_id: HashMap<&str, &str> =
                ids.filter(|id| !is_numbered && !is_number(id)).map(|id| (id, id)).collect();
            for question in &questions.questions {
                let other = by_text.get(&normal(&question.user)).or_else(|| by_id.get(question.id.as_str()));
                pairs.extend(other.map(|&other| (*earlier, other.to_owned(), *set, question.id.clone())));
            }
        }
    }
    (!pairs.is_empty()).then_some(Overlap { pairs })
}

/// Returns whether an id is a number, as data sets count their rows: it says nothing about those of another file.
fn is_number(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns a text in lower case with single spaces. Signs stay: problems may differ by one of them.
fn normal(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{method::Question, questions::final_number};

    fn set(set: Set, problems: &[(&str, &str)], is_numbered: bool) -> (Set, Questions) {
        let ask = |&(id, user): &(&str, &str)| Question { id: id.into(), user: user.into(), ..Question::default() };
        (set, Questions { is_numbered, ..Questions::new(problems.iter().map(ask).collect(), final_number()) })
    }

    #[test]
    fn problems_are_the_same_by_text_and_by_ids_that_say_something() {
        let mine = set(Set::Mine, &[("a", "2 + 2?"), ("b", "Three  apples\nand one")], false);
        let apart = set(Set::Test, &[("c", "2 - 2?"), ("d", "3 apples and one")], false);
        assert_eq!(overlap(&[mine, apart]), None);

        let mine = || set(Set::Mine, &[("a", "2 + 2?"), ("b", "Three  apples\nand one")], false);
        let same = set(Set::Test, &[("c", "three APPLES and one "), ("a", "other words")], false);
        let found = overlap(&[mine(), same]).unwrap();
        assert_eq!(found.pairs.len(), 2);
        let words = "sets have 2 problems in common: \"b\" of mine is \"c\" of test, \"a\" of mine is \"a\" of test";
        assert_eq!(found.to_string(), words);

        // Rows of another file have the same numbers.
        let counted = |kind| set(kind, &[("17", if kind == Set::Mine { "x" } else { "y" })], false);
        assert_eq!(overlap(&[counted(Set::Mine), counted(Set::Test)]), None);
        let numbered = |kind| set(kind, &[("gsm8k/0", if kind == Set::Mine { "x" } else { "y" })], true);
        assert_eq!(overlap(&[numbered(Set::Mine), numbered(Set::Test)]), None);
    }
}
