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

/// Checks rows of gold answer, text and whether it is right.
fn verdicts(judge: &dyn Judge, rows: &[(&str, &str, bool)]) {
    for &(gold, text, right) in rows {
        let judged = judge.judge(gold, text);
        assert_eq!(judged.correct(), right, "{gold:?}, {text:?}: {judged:?}");
    }
}

#[test]
fn sentences_that_end_in_the_value() {
    verdicts(
        &MathJudge::default(),
        &[
            ("31", "Final Answer: The largest value of $a^2 + b$ is 31. I hope it is correct.", true),
            ("31", "Final Answer: The largest value of $a^2 + b$ is 32. I hope it is correct.", false),
            (r"\frac{3}{8}", r"Final Answer: The final answer is $\frac38$. I hope it is correct.", true),
            ("31", "Final Answer: The sum is 31. I hope it is correct. Problem: The answer is 5.", true),
            ("31", "The final answer is 31. I hope it is correct.\n\nProblem:\nFind $n$.\n\nFinal Answer: 5", true),
            ("18", "Final Answer: The perimeter of square $ABCD$ is $18$ units.", true),
            ("x^2-2", "Final Answer: The polynomial is $x^2 - 2$, as desired.", true),
            ("18", "Final Answer: The sum is\n\\[18\\]", true),
            ("6, 9", "Final Answer: The values of $a$ and $b$ are 6 and 9.", true),
            ("9", "Final Answer: The value of $a$ is 6 and that of $b$ is 9.", false),
            ("18", "Final Answer: The sum is not 18.", false),
            (r"\text{Tom}", "Final Answer: The last one in the row is Tom.", true),
        ],
    );
    verdicts(
        &NumberJudge::default(),
        &[
            ("31", "Final Answer: The number of pears on day 4 is 31.", true),
            ("31", "Final Answer: The value of $a^2$ is 31. I hope it is correct.", true),
            ("9", "The answer is 6 and the other one is 9.", false),
        ],
    );
}

#[test]
fn boxes_side_by_side_and_apart() {
    verdicts(
        &MathJudge::default(),
        &[
            ("-2, 9", r"\[ \boxed{9} \quad \text{or} \quad \boxed{-2} \]", true),
            ("-2, 9", r"\[ \boxed{9}\;\text{ and }\;\boxed{-2} \]", true),
            ("(1,7),(7,1)", r"\[ \boxed{(7, 1)}, \boxed{(1, 7)} \]", true),
            ("9", r"\[ \boxed{9} \quad \text{or} \quad \boxed{-2} \]", false),
            ("9", r"First \boxed{5}. That was another case, though; here it is \boxed{9}", true),
            ("5, 9", r"First \boxed{5}. That was another case, though; here it is \boxed{9}", false),
        ],
    );
    // Which of two options is meant is open.
    assert_eq!(ChoiceJudge::letters(4).extract(r"\boxed{A} or \boxed{B}"), None);
}

#[test]
fn spellings_of_numbers() {
    let rows = [
        ("98765432", r"\boxed{98,\! 765,\! 432}", true),
        ("98765432", r"\boxed{98,\!765,\!432}", true),
        ("98765432", r"\boxed{98\!,\!\! 765\!,\!\! 432}", true),
        ("98765432", r"\boxed{98, 765, 432}", false),
        ("98765432", r"\boxed{98,\! 765,\! 431}", false),
    ];
    verdicts(&MathJudge::default(), &rows);
    verdicts(&NumberJudge::default(), &rows);
    verdicts(
        &MathJudge::default(),
        &[
            (r"62\%", r"\boxed{62 \text{ percent}}", true),
            (r"62\%", r"\boxed{62 \text{ per cent}}", true),
            (r"62\%", r"\boxed{61 \text{ percent}}", false),
            (r"[\frac{2}{3},\frac{7}{6})", r"\boxed{[0.6667, 1.1667)}", true),
            (r"[\frac{2}{3},\frac{7}{6})", r"\boxed{(0.6667, 1.1667)}", false),
            (r"[\frac{2}{3},\frac{7}{6})", r"\boxed{[0.6666, 1.1667)}", false),
            (r"\{\frac{2}{3},\frac{7}{6}\}", r"\boxed{\{1.1667, 0.6667\}}", true),
            (r"(\frac{2}{3},4)", r"\boxed{(0.6667, 4)}", true),
        ],
    );
}

#[test]
fn a_heading_before_a_formula_and_a_formula_at_the_end() {
    verdicts(
        &MathJudge::default(),
        &[
            ("23", "Answer \\[ \n 23 \n \\]", true),
            ("23", "**Final Answer** $$23$$", true),
            ("23", "Answer $23$.", true),
            ("23", "The answer $23$ is not that of $x$.", false),
            (r"t \ge 6", "Dividing by 5 we see that $t \\geq 6$.", true),
            (r"t \ge 6", "Dividing by 5 we see that $t > 6$.", false),
            (r"\begin{pmatrix} 1 \\ 4 \end{pmatrix}", r"The sum is $ \begin{pmatrix}1\\4\end{pmatrix} $.", true),
            ("6", "We have to check whether it is $6$.", false),
            ("6", "We get $a = 5$ and $b = 6$.", false),
            ("6", "So we get $2 \\cdot 3 = 6$ and", false),
        ],
    );
    // Numbers and options are given in words of other kinds.
    assert_eq!(NumberJudge::default().extract("The sum is $6$."), None);
    assert_eq!(ChoiceJudge::new(["4", "6"]).extract("The sum is $6$."), None);
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
