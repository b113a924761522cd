//! The formula that a text ends with.

use std::ops::Range;

use super::{
    clean::is_letter,
    found::Found,
    number::sign,
    statement::{formulas, outside},
};

/// Words with which a sentence says that what follows holds.
const CLAIMS: [&str; 34] = [
    "is",
    "are",
    "be",
    "equals",
    "equal",
    "becomes",
    "gives",
    "yields",
    "get",
    "obtain",
    "conclude",
    "means",
    "implies",
    "leaves",
    "leaving",
    "thus",
    "so",
    "hence",
    "therefore",
    "have",
    "has",
    "find",
    "see",
    "that",
    "arrive",
    "simplifies",
    "reduces",
    "leads",
    "meet",
    "meets",
    "intersect",
    "there",
    "lies",
    "contains",
];
/// With these a sentence makes no claim: it asks, supposes, plans, doubts or denies.
const NO_CLAIMS: [&str; 36] = [
    "if",
    "whether",
    "unless",
    "when",
    "where",
    "whose",
    "such",
    "suppose",
    "assume",
    "assuming",
    "let",
    "given that",
    "need",
    "want",
    "try",
    "consider",
    "check",
    "verify",
    "to find",
    "to see",
    "find the",
    "compute",
    "determine",
    "calculate",
    "evaluate",
    "what",
    "not",
    "cannot",
    "never",
    "wrong",
    "maybe",
    "perhaps",
    "might",
    "could",
    "wait",
    "actually",
];
/// With these right before it, a formula is not what the sentence is about: "divisible by $5$", "at least $5$".
const RELATIONS: [&str; 14] = [
    "by", "with", "from", "for", "into", "over", "under", "above", "below", "between", "up", "exceeds", "modulo", "mod",
];
/// Most words behind the formula, as in "is $5$ square units".
const MOST_UNITS: usize = 2;

/// Finds the formula at the end of the last sentence, if that sentence is complete and claims nothing else.
pub(super) fn last(text: &str) -> Found<'_> {
    conclusion(text.trim_end().trim_end_matches('*')).map_or(Found::Nothing, |formula| Found::Answer(formula.into()))
}

fn conclusion(text: &str) -> Option<&str> {
    let places = formulas(text);
    let (last, earlier) = places.split_last()?;
    let (formula, after) = (&text[last.clone()], &text[last.end..]);
    let inside = formula.trim_matches(['$', '\\', '(', ')', '[', ']']).trim_end();
    let units = match after.strip_suffix('.') {
        Some(units) => units,
        // The full stop of a displayed formula is inside.
        None if after.is_empty() && inside.ends_with('.') => "",
        None => return None,
    };
    let is_unit = |word: &str| word.chars().all(char::is_alphabetic) && !CLAIMS.contains(&word);
    if units.split_whitespace().count() > MOST_UNITS || !units.split_whitespace().all(is_unit) {
        return None;
    }
    let start = sentence_start(text, last.start, earlier);
    let lead = &text[start.max(earlier.last().map_or(0, |before| before.end))..last.start];
    let words = |text: &str| format!(" {} ", text.to_lowercase().replace(|c: char| !is_letter(c), " "));
    let says = |text: &str, list: &[&str]| list.iter().any(|word| text.contains(&format!(" {word} ")));
    let within: Vec<_> =
        earlier.iter().filter(|place| place.start >= start).map(|p| p.start - start..p.end - start).collect();
    let sentence = words(&outside(&text[start..last.start], &within));
    // "Twice $5$" is not 5.
    let is_whole = sign(lead) == Some(false) && !is_relation(lead);
    (is_whole && says(&words(lead), &CLAIMS) && !says(&sentence, &NO_CLAIMS)).then_some(formula)
}

/// Returns whether words relate what follows to something else: "divisible by", but not "given by".
fn is_relation(words: &str) -> bool {
    let mut words = words.split_whitespace().rev();
    let last = words.next().unwrap_or_default();
    RELATIONS.contains(&last) && !matches!(words.next(), Some("given" | "described" | "represented" | "expressed"))
}

/// Returns where the sentence begins that the formula at `end` is in.
fn sentence_start(text: &str, end: usize, formulas: &[Range<usize>]) -> usize {
    let mut end = text[..end].trim_end().len();
    for formula in formulas.iter().rev().map(Some).chain([None]) {
        let start = formula.map_or(0, |formula| formula.end);
        let gap = &text[start.min(end)..end];
        let stop = ["\n", ". ", "? ", "! ", ": "].iter().filter_map(|stop| Some(gap.rfind(stop)? + stop.len())).max();
        if let Some(stop) = stop {
            return start + stop;
        }
        end = formula.map_or(0, |formula| formula.start);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_of_the_last_sentence() {
        for (text, formula) in [
            ("First, $a = 2$. Adding 3 we conclude that $x < 7$.", "$x < 7$"),
            (
                "The inverse is $\\begin{pmatrix}1 & 2\\\\3 & 7\\end{pmatrix}$.",
                "$\\begin{pmatrix}1 & 2\\\\3 & 7\\end{pmatrix}$",
            ),
            ("Therefore the sum of $a$ and $b$ is \\(\\frac{2}{9}\\).", "\\(\\frac{2}{9}\\)"),
            ("So we get\n\n\\[ x = 8. \\]\n", "\\[ x = 8. \\]"),
            ("Hence the area is $12$ square units.", "$12$"),
            ("**Thus it equals $3$.**", "$3$"),
            ("So the set is given by $[2, 7)$.", "$[2, 7)$"),
        ] {
            assert_eq!(last(text), Found::Answer(formula.into()), "{text:?}");
        }
    }

    #[test]
    fn what_else_a_text_may_end_with() {
        for text in [
            "",
            "So we get $2 \\cdot 3 = 6$",
            "Is it $6$?",
            "We get $x = 1$ and $y = 2$.",
            "Find the value of $x$.",
            "Let us check that it is $5$.",
            "If it is so, the sum is $5$.",
            "We need to find $x$.",
            "The sum is not $5$.",
            "So it isn't $5$.",
            "Hence $x$ is at least $5$.",
            "Hence $x$ is more than $5$.",
            "Hence $x$ is divisible by $5$.",
            "The other factor is a multiple of $5$.",
            "The sum is twice $5$.",
            "So it is minus $5$.",
            "Dividing by $x$.",
            "The sum is $5$ and that of the others is 6.",
            "It costs $5 and then $6.",
            "The sum is $5$. That is all.",
            "The sum is $5$. Wait, it is $6$.",
        ] {
            assert_eq!(last(text), Found::Nothing, "{text:?}");
        }
    }
}
