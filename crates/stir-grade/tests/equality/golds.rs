//! Gold answers of all kinds against each other.

use stir_grade::{
    Verdict::Equal,
    equality::{Options, equal},
};

/// Answers of which no two say the same.
const GOLDS: [&str; 44] = [
    "0",
    "1",
    "-1",
    "2",
    "10",
    "100",
    "1000",
    "0.5",
    "0.05",
    "1.5",
    r"\frac{1}{3}",
    r"\frac{2}{3}",
    r"-\frac{1}{3}",
    r"\sqrt{2}",
    r"2\sqrt{2}",
    r"\sqrt{3}",
    r"1+\sqrt{2}",
    r"1-\sqrt{2}",
    r"\pi",
    r"2\pi",
    r"\frac{\pi}{3}",
    "e",
    "i",
    "1+i",
    "2^{10}",
    "x",
    "x+1",
    "x^2",
    "x^2+1",
    "2x",
    r"\frac{1}{x}",
    r"\sin x",
    r"\cos x",
    "(1,2)",
    "(2,1)",
    "[1,2]",
    "(1,2]",
    r"\{1,2\}",
    r"\{1,2,3\}",
    r"\emptyset",
    "x > 2",
    r"x \ge 2",
    r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
    r"\text{Monday}",
];

/// Pairs that differ only in what one of the two leaves out, and pairs that differ in spelling.
const PAIRS: [(&str, &str); 12] = [
    ("90", r"90^\circ"),
    ("50", r"50\%"),
    ("5", r"5 \text{ cm}"),
    (r"5 \text{ cm}", r"50 \text{ mm}"),
    ("x = 5", "5"),
    (r"27 \pmod{100}", "27"),
    ("1, 2", "2, 1"),
    ("0.33", r"\frac13"),
    ("1024", "2^{10}"),
    (r"\$5", "5"),
    ("12", "twelve"),
    (r"\frac{1}{2}", "0.5"),
];

#[test]
fn every_gold_answer_equals_itself_and_no_other() {
    for gold in GOLDS {
        for pred in GOLDS {
            let grade = equal(gold, pred);
            assert_eq!(grade.verdict == Equal, gold == pred, "{gold} and {pred}: {grade:?}");
        }
    }
}

#[test]
fn complete_answers_are_a_part_of_the_equal_ones() {
    let complete = Options { complete: true, ..Options::default() };
    let (mut lenient, mut strict) = (0, 0);
    let all = GOLDS.iter().flat_map(|gold| GOLDS.iter().map(move |pred| (*gold, *pred))).chain(PAIRS);
    for (gold, pred) in all {
        let (there, all) = (equal(gold, pred).verdict, complete.equal(gold, pred).verdict);
        assert!(there == Equal || all != Equal, "{gold} and {pred}");
        lenient += usize::from(there == Equal);
        strict += usize::from(all == Equal);
    }
    assert!(strict < lenient, "{strict} of {lenient}");
}
