//! Finds the part of a text that speaks to the reader.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// What ends an answer: tokens, where a decoder has spelled them out, and the last words of the few-shot prompt for MATH.
const ENDS: [&str; 11] = [
    "<|user|>",
    "[INST]",
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<end_of_turn>",
    "</s>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
    "I hope it is correct",
];

/// The start of a line, before a colon, where a model continues with somebody else's words.
const SPEAKERS: [&str; 7] = ["Question", "Problem", "Exercise", "Instruction", "Q", "User", "Human"];

/// Returns the text that is not thinking: everything after the last `</think>`, up to a `<think>` that is never closed.
pub(crate) fn outside_thinking(text: &str) -> &str {
    let said = text.rsplit_once(CLOSE).map_or(text, |(_, said)| said);
    said.split_once(OPEN).map_or(said, |(said, _)| said)
}

/// Returns the stretches between the marks that begin a new question or turn, in order.
pub(crate) fn parts(text: &str) -> Vec<&str> {
    let mut cuts: Vec<usize> = ENDS.iter().flat_map(|token| text.match_indices(token)).map(|(at, _)| at).collect();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if is_speaker(line) {
            cuts.push(at);
        }
        at += line.len();
    }
    cuts.push(text.len());
    cuts.sort_unstable();
    let mut start = 0;
    cuts.into_iter()
        .map(|cut| {
            let part = &text[start..cut];
            start = cut;
            part
        })
        .collect()
}

/// Returns whether a line is of the kind `Question: ..`, `**Problem 2:** ..`, `Q: ..`, `USER: ..`, `## Problem 2`.
fn is_speaker(line: &str) -> bool {
    let is_heading = line.starts_with('#');
    let line = line.trim_start_matches(['#', '*', '>', ' ', '\t']);
    SPEAKERS.iter().any(|speaker| {
        let head = line.get(..speaker.len()).filter(|head| head.eq_ignore_ascii_case(speaker));
        head.is_some_and(|head| {
            let number = line[head.len()..].trim_start_matches([' ', '*']);
            let rest = number.trim_start_matches(|c: char| c == ' ' || c == '*' || c.is_ascii_digit());
            rest.starts_with(':') || is_heading && rest.trim_end().is_empty() && rest.len() < number.len()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_is_left_out() {
        for (text, said) in [
            ("plain", "plain"),
            ("<think>a</think>b", "b"),
            ("a</think>b", "b"),
            ("<think>a", ""),
            ("a<think>b</think>c<think>d", "c"),
            ("<think>a</think>b</think>c", "c"),
            ("</think>", ""),
            ("", ""),
        ] {
            assert_eq!(outside_thinking(text), said, "{text:?}");
        }
    }

    #[test]
    fn new_questions_and_turns_cut() {
        assert_eq!(parts("a\nQuestion: b\nc"), ["a\n", "Question: b\nc"]);
        assert_eq!(parts("a\n**Problem 2:** b"), ["a\n", "**Problem 2:** b"]);
        assert_eq!(parts("a<|im_end|>\nUser: b"), ["a", "<|im_end|>\n", "User: b"]);
        assert_eq!(parts("a\n## Problem 2\nb"), ["a\n", "## Problem 2\nb"]);
        assert_eq!(parts("a\nUSER: b"), ["a\n", "USER: b"]);
        assert_eq!(parts("a [INST] b"), ["a ", "[INST] b"]);
        assert_eq!(parts("## Problem\na"), ["## Problem\na"]);
        assert_eq!(parts("Question the result: a\nQuestions: b"), ["Question the result: a\nQuestions: b"]);
        assert_eq!(parts(""), [""]);
        assert_eq!(parts("é\nQ: ü"), ["é\n", "Q: ü"]);
    }
}
