use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::{Judge, MathJudge};

fn math(text: &str) -> Option<String> {
    Extractor::math().extract(text)
}

fn guess(text: &str) -> Option<String> {
    Extractor { fallback: Fallback::LastNumber, ..Extractor::number() }.extract_with(text, number::read)
}

#[test]
fn phrases() {
    for (text, answer) in [
        ("The final answer is 42", "42"),
        ("The answer is: 42.", "42"),
        ("the answer is 3.\nActually, the final answer is 4", "4"),
        ("Final Answer: 14/3", "14/3"),
        ("**Final Answer**\n\n\\[ x = 42 \\]\n", "x = 42"),
        ("### Answer\n\n$\\frac{1}{2}$", "\\frac{1}{2}"),
        ("**Answer:** 5", "5"),
        ("**Answer**: **5**.", "5"),
        ("Therefore, the answer is $5$ dollars.", "5"),
        ("The answer is $x = 1$ and $y = 2$.", "$x = 1$ and $y = 2$"),
        ("The answer is therefore 3.5. That is all.", "3.5"),
        ("The answer is 5 because 2 + 3 = 5.", "5"),
        ("The answer is 5, since 2 + 3 = 5.", "5"),
        ("The answer to the second question is 7.", "7"),
        ("My answer:\n7", "7"),
        ("So the ANSWER IS (3, 4).", "(3, 4)"),
        ("The answer is approximately 3.14.", "3.14"),
        ("The answer is 7. This answer is correct.", "7"),
        ("The meeting is at 5 p.m. The answer is 5 p.m. sharp.", "5 p.m. sharp"),
        ("The answer is $18.", "$18"),
        ("Die Antwort: the answer is \u{3c0}.", "\u{3c0}"),
    ] {
        assert_eq!(math(text).as_deref(), Some(answer), "{text:?}");
    }
}

#[test]
fn what_only_looks_like_an_answer_is_none() {
    for text in [
        "",
        "7",
        "The answer is",
        "The answer is **",
        "Final Answer:",
        "**Final Answer**\n\n\\[ 4",
        "If the answer is 5, we are done",
        "We check whether the answer is 5.",
        "The answer is not 5.",
        "The answer is 5. Wait, I forgot the minus. Let me see",
        "The answers are below",
        "No valid answer here",
        "This answers: nothing",
        "#### Step 4: Compute\nthe sum 1 + 2",
        "<think>The answer is 5. \\boxed{5}",
        "<think>\\boxed{5}</think>",
        "So \\boxed{5} and then \\boxed{6",
        "####",
    ] {
        assert_eq!(math(text), None, "{text:?}");
    }
}

#[test]
fn forms_come_in_order_and_unreadable_ones_are_passed_over() {
    assert_eq!(math("The answer is 1.\n#### 2\n\\boxed{3}").as_deref(), Some("3"));
    assert_eq!(math("The answer is 1.\n#### 2").as_deref(), Some("2"));
    assert_eq!(math("#### Summary\n\nThe answer is 1.").as_deref(), Some("1"));
    assert_eq!(math("#### x + 1\n").as_deref(), Some("x + 1"));
    let number = |text: &str| Extractor::number().extract_with(text, number::read);
    assert_eq!(number("2 + 2 = 4\nA: 4").as_deref(), Some("4"));
    assert_eq!(number("A: 4\nno\nA: $1,005.00").as_deref(), Some("1005"));
    assert_eq!(number("A: 4\nA:"), None);
    assert_eq!(number("\\boxed{\\text{no idea}}\nA: 4").as_deref(), Some("4"));
    assert_eq!(number("#### 2. Add\n5 + 21 = 26\nThe answer is 26.").as_deref(), Some("26"));
    assert_eq!(number("#### 1st step\n\n#### 2nd step\n\nThe answer is 26").as_deref(), Some("26"));
    assert_eq!(number("#### 1. First\n5\n\n#### 2. Second\n21\n\n**Total: 26**"), None);
    assert_eq!(number("#### 18. \n").as_deref(), Some("18"));
    assert_eq!(number("The answer is Rs. 100.").as_deref(), Some("100"));
    assert_eq!(number("The answer in dollars is $5.").as_deref(), Some("5"));
    assert_eq!(number("The answer is 5. Actually, 6."), None);
    assert_eq!(number("The answer is 5 which is wrong."), None);
}

#[test]
fn an_exclamation_mark_belongs_to_what_is_boxed() {
    for (text, answer) in [
        ("\\boxed{10!}", "10!"),
        ("It is \\boxed{10}!", "10"),
        ("\\boxed{ n! }", "n!"),
        ("The answer is 10!", "10"),
        ("The answer is $5!$.", "5!"),
        ("**Answer: 10!**", "10"),
    ] {
        assert_eq!(math(text).as_deref(), Some(answer), "{text:?}");
    }
}

#[test]
fn words_of_others_do_not_count() {
    assert_eq!(math("It is \\boxed{1}.\n\nQuestion: 2 + 2?\nIt is \\boxed{4}.").as_deref(), Some("1"));
    assert_eq!(math("Problem: 1 + 1?\nSolution: \\boxed{2}\n\nProblem: 2 + 2? \\boxed{4}").as_deref(), Some("2"));
    assert_eq!(math("\\boxed{1}<|im_end|>\n<|im_start|>user\nand \\boxed{2}?").as_deref(), Some("1"));
    assert_eq!(math("Let me see.</think>\n\\boxed{1}").as_deref(), Some("1"));
}

#[test]
fn the_last_number_only_on_request() {
    assert_eq!(guess("All done. 1 \nFinal 2 answer: ").as_deref(), Some("2"));
    assert_eq!(guess("so 7 - 3 makes 4 and"), Some("4".into()));
    assert_eq!(guess("<think>5"), None);
    assert_eq!(guess("no number"), None);
}

#[test]
fn huge_and_hostile_texts_take_linear_time() {
    let start = Instant::now();
    let size = 1 << 20;
    for unit in [
        "\\boxed{",
        "\\boxed{}",
        "\\boxed{1},",
        "{",
        "}",
        "\\",
        "$",
        "answer ",
        "answer is ",
        "the answer: ",
        "####",
        "#### ",
        "A:",
        "A:\n",
        "<think>",
        "</think>",
        "Q: \n",
        "1",
        "1,",
        "1,000",
        ".",
        "1.",
        "-",
        " ",
        "\n",
        "**",
        "\u{e9}",
        "answer to is ",
        "wait. ",
        "\\text{",
        "\\boxed{\\phantom{",
        "=",
        "if answer",
        "$x$ is ",
        "it is 5 or it is just ",
        "$1 for two and ",
        "$1",
        "\\( ",
        "\\boxed{1} \\text{or} ",
        "Answer \\[ ",
        "so $1$. ",
        "1,\\! ",
    ] {
        let text = unit.repeat(size / unit.len());
        for text in [
            text.clone(),
            format!("\\boxed{{{text}"),
            format!("The answer is {text}"),
            format!("The answer is x{text}y"),
            format!("{text}}}"),
            format!("Final answer: The sum {text}is $5$."),
            format!("{text}$ so $5$."),
        ] {
            math(&text);
            MathJudge::default().extract(&text);
            guess(&text);
        }
    }
    // A few seconds in practice; quadratic time would be hours.
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in any::<String>(), odd in "(\\\\boxed\\{|\\}|\\$|####|answer| is |:|A:|\n|é|-|[0-9.,]|\\*\\*|</?think>|Q:){0,30}") {
        for text in [&text, &odd] {
            math(text);
            guess(text);
        }
    }

    #[test]
    fn a_box_is_found_whatever_stands_before_it(text in "[^\\\\<{}]{0,80}") {
        prop_assume!(!text.contains("Q") && !text.contains(':'));
        prop_assert_eq!(math(&format!("{text} \\boxed{{17}}")), Some("17".to_owned()));
    }
}
