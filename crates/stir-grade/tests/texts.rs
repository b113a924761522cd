//! Whole texts of the kind that models write, through extraction and comparison.
#![allow(clippy::unwrap_used)]

use stir_grade::{AnswerForm, ChoiceJudge, Judge, MathJudge, NumberJudge, YesNoJudge, extract::Fallback};

/// Checks rows of gold answer, text, the answer to be found and whether it is right.
fn check(judge: &dyn Judge, rows: &[(&str, &str, Option<&str>, bool)]) {
    for &(gold, text, answer, right) in rows {
        let judged = judge.judge(gold, text);
        assert_eq!((judged.answer.as_deref(), judged.correct()), (answer, right), "{gold:?}, {text:?}: {judged:?}");
    }
}

#[test]
fn word_problems() {
    check(
        &NumberJudge::default(),
        &[
            ("42", "He packs 6 boxes of 7 pears.\n6 * 7 = 42\nA: 42", Some("42"), true),
            ("42", "He packs 6 boxes of 7 pears, which makes 42", None, false),
            ("1250", "5 * 250 = 1250\n#### $1,250.00", Some("1250"), true),
            ("1250", "5 * 250 = 1250, so **the answer is 1,250 kilometres**.", Some("1250"), true),
            ("7", "First I thought of \\boxed{6}. But one is left: \\boxed{7}", Some("7"), true),
            ("7", "\\boxed{7}, no: \\boxed{8", None, false),
            ("12", "<think>\\boxed{11}?</think>Three rows of four are \\boxed{12}.", Some("12"), true),
            ("12", "The answer is 12.\n\nQuestion: What is 2 + 2?\nThe answer is 4.", Some("12"), true),
            ("3", "If the answer is 3, nothing is left. The answer is not 3.", None, false),
        ],
    );
}

#[test]
fn formulas_with_boxes() {
    check(
        &MathJudge::default(),
        &[
            (r"\frac{3}{4}", r"Hence $p = \boxed{\dfrac{3}{4}}$.", Some(r"\dfrac{3}{4}"), true),
            (r"\frac{3}{4}", r"Hence \[p = \boxed{0.75}\]", Some("0.75"), true),
            (r"\frac{3}{4}", r"Hence \[p = \boxed{\frac{4}{3}}\]", Some(r"\frac{4}{3}"), false),
            ("(2,5]", r"Final answer: $x \in (2, 5]$", Some(r"x \in (2, 5]"), true),
            ("1, 3", r"The roots are $\boxed{3}$ and $\boxed{1}$.", Some("3, 1"), true),
            (r"4:30 \text{ p.m.}", r"They meet at \boxed{4\!:\!30 \text{ p.m.}}", Some(r"4\!:\!30 \text{ p.m.}"), true),
            ("6", r"So we get $2 \cdot 3 = 6$", None, false),
        ],
    );
}

#[test]
fn options_and_truth_values() {
    let options = ChoiceJudge::new(["iron", "a feather", "a stone"]);
    check(
        &options,
        &[
            ("B", "It weighs least.\n\n**Answer: (B)**", Some("B"), true),
            ("B", "The correct option is 2.", None, false),
            ("B", "The answer is a feather.", Some("B"), true),
            ("B", "B is wrong, so \\boxed{\\text{C}}", Some("C"), false),
            ("B", "It is B or C", None, false),
        ],
    );
    check(
        &YesNoJudge::default(),
        &[
            ("yes", "Copper conducts.\nSo the answer is yes.", Some("yes"), true),
            ("no", "Yes, it floats.", Some("yes"), false),
            ("no", "There is no information.", None, false),
        ],
    );
}

#[test]
fn a_guess_is_made_only_on_request() {
    let text = "6 * 7 = 42, and two are left: 44";
    for (form, right) in [(AnswerForm::Number, true), (AnswerForm::Math, true)] {
        assert!(!form.judge::<&str>(&[], Fallback::None).judge("44", text).correct());
        assert_eq!(form.judge::<&str>(&[], Fallback::LastNumber).judge("44", text).correct(), right);
    }
}
