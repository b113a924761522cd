use super::*;

fn sky() -> ChoiceJudge {
    ChoiceJudge::new(["the sun", "the moon", "a star", "A. the full moon itself"])
}

#[test]
fn ways_to_write_a_letter() {
    for text in [
        "B",
        "(B)",
        "**B**",
        "B.",
        "B) the moon",
        "**B. the moon**",
        "Answer: B",
        "Answer: (b)",
        "**Answer:** B",
        "The answer is B",
        "The correct answer is B) the moon.",
        "The best answer is option B.",
        "The correct answer is:\n\n**B. the moon**",
        "Final Answer\n\\boxed{B}",
        "\\boxed{\\text{B}}",
        "\\boxed{\\textbf{(B)}}",
        "\\boxed{\\text{B. the moon}}",
        "\\boxed{2}",
        "#### B",
        "#### 2",
        "The answer is the moon",
        "The answer is the moon, because it shines.",
        "So the answer must be \"the moon\".",
        "The sun is too bright.\n\nThe moon.",
        "The moon",
        "It shines at night. Because B is valid",
        "It shines. So option B is the correct one.",
        "I choose B",
        "Option B: the moon is the correct answer.",
        "(B) the moon is correct",
        "The answer is most likely B.",
        "The best answer is **B. the moon** because it shines.",
        "The correct answer is **B**: the moon",
        "**Final Answer:** The correct option is **B**.",
        "Therefore, the correct answer is:\n\n**Answer: B**",
        "I would go with option B here",
        "The correct option: **B**",
        "The correct choice is B.",
        "A is incorrect. B is the most appropriate answer.",
        "B. Because A is not valid",
        "It shines at night, so\n\n(B)",
        "<think>A is correct. The answer is A.</think>\nB",
        "Answer\u{ff1a}B",
        "Thus, B.",
        "So B.",
        "Answer: B. Because A is not valid",
        "Answer: B is correct",
        "Choice B",
        "choice (B)",
        "B - the moon",
        "Answer: 'B'",
        "Answer: <B>",
        "Choice A would be too bright. The answer is B as choice C is not in the sky.",
    ] {
        assert_eq!(sky().extract(text).as_deref(), Some("B"), "{text:?}");
    }
    assert_eq!(sky().extract("The answer is a star.").as_deref(), Some("C"));
    assert_eq!(sky().extract("The answer is A star.").as_deref(), Some("C"));
    assert_eq!(sky().extract("The answer is A").as_deref(), Some("A"));
    assert_eq!(sky().extract("A. Because B is not valid").as_deref(), Some("A"));
}

#[test]
fn what_chooses_nothing_is_no_answer() {
    for text in [
        "",
        "No valid answer here",
        "A star shines",
        "A plant needs light. I see.",
        "The answer is",
        "The answer is A or B",
        "The answer is A and C.",
        "\\boxed{A, B}",
        "\\boxed{A} and \\boxed{B}",
        "A. the sun\nB. the moon\nC. a star",
        "The answer is E",
        "\\boxed{5}",
        "\\boxed{0}",
        "The answer is the sun and not the moon.",
        "<think>The answer is B",
        "Option B is not correct",
        "Option B: the moon is not the correct answer",
        "Vitamin C is in it",
        "Answer: B is wrong",
        "Answer: B isn't right",
        "Answer: B is not the answer",
        "Answer: B) the moon is wrong",
        "Answer: B or the sun",
        "Answer: B and the sun",
        "The wrong answer is B",
        "The incorrect answer is B.",
        "I don't choose B",
        "The answer is B? No, C.",
    ] {
        assert_eq!(sky().extract(text), None, "{text:?}");
    }
}

#[test]
fn options_of_digits_and_options_that_contain_each_other() {
    let numbers = ChoiceJudge::new(["4", "3", "2", "1"]);
    assert_eq!(numbers.extract("The answer is 2").as_deref(), Some("C"));
    assert_eq!(ChoiceJudge::new(["1 cm", "2 cm"]).extract("\\boxed{1}"), None);
    let nested = ChoiceJudge::new(["water", "salt water", "salt water"]);
    assert_eq!(nested.extract("The answer is water.").as_deref(), Some("A"));
    assert_eq!(nested.extract("The answer is salt water."), None, "two options say the same");
    assert_eq!(
        ChoiceJudge::new(["water", "salt water"]).extract("It is clear: the answer is salt water.").as_deref(),
        Some("B")
    );
}

#[test]
fn signs_and_decimals_belong_to_a_number() {
    let numbers = ChoiceJudge::new(["5", "25"]);
    for text in ["-5", "- 5", "0.5", ".5", "1/5", "5%", "5/2", "5.5", "1,5", "minus 5", "5 million", "-$5"] {
        assert_eq!(numbers.extract(&format!("The answer is {text}.")), None, "{text:?}");
        assert_ne!(numbers.grade("A", text).verdict, Verdict::Equal, "{text:?}");
    }
    for text in ["5", "5.", "$5", "5, as 2 + 3 = 5", "that she has 5 apples", "exactly 5"] {
        assert_eq!(numbers.extract(&format!("The answer is {text}")).as_deref(), Some("A"), "{text:?}");
    }
    let lengths = ChoiceJudge::new(["5 m", "25 m"]);
    for (text, answer) in [("1.5 m", None), ("-5 m", None), ("5 m", Some("A")), ("a length of 25 m", Some("B"))] {
        assert_eq!(lengths.extract(&format!("The answer is {text}.")).as_deref(), answer, "{text:?}");
    }
}

#[test]
fn options_whose_texts_are_letters() {
    let blood = ChoiceJudge::new(["B", "A", "AB", "O"]);
    assert!(blood.judge("A", "Answer: A").correct());
    assert!(!blood.judge("A", "Answer: B").correct());
    assert_eq!(blood.extract("Answer: AB").as_deref(), Some("C"));
    assert_eq!(blood.extract("Answer: O").as_deref(), Some("D"));
}

#[test]
fn letters_alone_and_the_number_of_options() {
    let judge = ChoiceJudge::letters(5);
    assert!(judge.judge("E", "The answer is (E)").correct());
    assert!(judge.judge("5", "\\boxed{E}").correct());
    assert_eq!(judge.extract("The answer is F"), None);
    assert_eq!(ChoiceJudge::letters(0).extract("A"), None);
    assert_eq!(ChoiceJudge::letters(99).extract("Z").as_deref(), Some("Z"));
    assert_eq!(judge.grade("the moon", "B").verdict, Verdict::Unclear);
    assert_eq!(judge.grade("B", "(B) the moon").verdict, Verdict::Equal);
    assert_eq!(judge.grade("B", "none").verdict, Verdict::Different);
    assert_eq!(ChoiceJudge::new::<&str>([]).extract("B"), None);
}

#[test]
fn huge_and_hostile_texts_take_linear_time() {
    let start = std::time::Instant::now();
    for unit in ["A", "B ", "B is ", "A.\n", "(", "**", "option ", "\\text{", "the moon ", "B is the ", "\u{e9}", "\n"]
    {
        let text = unit.repeat((1 << 20) / unit.len());
        for text in [text.clone(), format!("The answer is {text}"), format!("\\boxed{{{text}}}")] {
            sky().extract(&text);
            sky().grade("A", &text);
        }
    }
    assert!(start.elapsed() < std::time::Duration::from_secs(30), "{:?}", start.elapsed());
}
