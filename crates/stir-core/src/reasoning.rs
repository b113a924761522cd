//! Prompts that open the model's reasoning.

use std::borrow::Cow;

/// The tag that opens reasoning.
const OPEN: &str = "<think>";

/// Returns whether `prompt` ends in an open `<think>`, as the prompts of some reasoning models do: the answer then
/// starts inside the reasoning, and a `</think>` in it closes a tag of the prompt.
///
/// ```
/// use stir_core::opens_reasoning;
/// assert!(opens_reasoning("<|Assistant|><think>\n"));
/// assert!(!opens_reasoning("<|Assistant|><think>\n\n</think>\n\n"));
/// ```
pub fn opens_reasoning(prompt: &str) -> bool {
    prompt.trim_end().ends_with(OPEN)
}

/// Returns the text that a judge of `answer` reads: the answer, after the `<think>` with which `prompt` opens the
/// reasoning. Without that tag, an answer that was cut off within its reasoning looks like one that says what it thinks.
///
/// ```
/// use stir_core::judged_text;
/// let (prompt, cut_off) = ("<|Assistant|><think>\n", "Is it 7? I should check");
/// assert_eq!(judged_text(prompt, cut_off), "<think>Is it 7? I should check");
/// assert_eq!(judged_text("<|Assistant|>", cut_off), cut_off);
/// ```
pub fn judged_text<'a>(prompt: &str, answer: &'a str) -> Cow<'a, str> {
    if opens_reasoning(prompt) { Cow::Owned(format!("{OPEN}{answer}")) } else { Cow::Borrowed(answer) }
}
