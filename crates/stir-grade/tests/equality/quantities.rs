//! Units, money, percent and degrees.

use stir_grade::{
    Verdict::{Different, Equal, Unclear},
    equality::{Options, equal},
};

use super::check;

#[test]
fn percent_degrees_units_and_money() {
    check(&[
        (r"28\%", "28", Equal, "percent"),
        ("28", "28 percent", Equal, "percent"),
        (r"50\%", r"\frac12", Equal, "percent"),
        ("0.5", r"50\%", Equal, "percent"),
        (r"50\%", "5", Different, "number"),
        (r"90^\circ", "90", Equal, "degrees"),
        (r"\frac{\pi}{3}", r"60^{\circ}", Equal, "degrees"),
        ("45 degrees", "45°", Equal, "number"),
        (r"10\text{ cm}", "10", Equal, "unit"),
        ("10", "10 cm", Equal, "unit"),
        (r"10\text{ cm}", r"0.1\text{ m}", Equal, "unit"),
        (r"15\mbox{ cm}^2", "15 square centimeters", Equal, "number"),
        (r"15\mbox{ cm}^2", r"15\text{ cm}", Unclear, "unit"),
        ("3 hours", "180 minutes", Equal, "unit"),
        ("3 hours", "3 minutes", Different, "unit"),
        ("3 apples", "3 oranges", Unclear, "unit"),
        (r"\$18.90", "18.9", Equal, "unit"),
        ("$1,234.50", r"\$1234.5", Equal, "unit"),
        (r"\$0.25", "25 cents", Equal, "unit"),
        (r"36^\circ", r"\$36", Unclear, "unit"),
        ("0.5", "0.5%", Unclear, "percent"),
        (r"\$5 million", "5000000 dollars", Equal, "number"),
        (r"\frac{1}{2}\text{ cup}", "0.5 cups", Equal, "number"),
        ("1 cup", "1", Equal, "unit"),
        (r"\{1\} cup \{2\}", r"\{1,2\}", Equal, "set"),
    ]);
}

#[test]
fn currencies_differ() {
    check(&[
        (r"\$5", "\u{20ac}5", Unclear, "unit"),
        (r"\$5", "\u{a3}5", Unclear, "unit"),
        ("\u{a5}5", "\u{a3}5", Unclear, "unit"),
        ("5", "\u{20ac}5", Equal, "unit"),
        ("5 euros", "\u{20ac}5", Equal, "number"),
        ("\u{20ac}1,200", "1200", Equal, "unit"),
        ("80 ounces", "\u{a3}5", Different, "number"),
        (r"\$5", "5 dollars", Equal, "number"),
    ]);
}

#[test]
fn compound_units_may_be_missing() {
    check(&[
        (r"9.8\text{ m/s}^2", "9.8", Equal, "unit"),
        (r"5\text{ m/s}", "5", Equal, "unit"),
        ("5 m/s", r"5\text{ m/s}", Equal, "number"),
        ("9.8 m/s^2", r"9.8\text{ m/s}^2", Equal, "number"),
        (r"5\text{ m/s}", r"5\text{ m/s}^2", Unclear, "unit"),
        ("30", "30 km/h", Equal, "unit"),
        ("30", "31 km/h", Different, "number"),
        (r"30\text{ km/h}", "30 km/h", Equal, "number"),
        (r"30\text{ km/h}", "30 mph", Different, "unit"),
        (r"36\text{ km/h}", r"10\text{ m/s}", Equal, "unit"),
        (r"70 \text{ mph}", "70 miles/hour", Equal, "number"),
        (r"70 \text{ mph}", r"70\text{ miles per hour}", Equal, "number"),
        (r"70\text{ mph}", r"70\text{ m/s}^2", Unclear, "unit"),
        ("5a/b", "5", Different, "expression"),
    ]);
}

#[test]
fn letters_behind_a_digit_may_be_variables() {
    check(&[
        ("5", "5m", Unclear, "unit"),
        ("5m", "5", Unclear, "unit"),
        ("5", "5 m", Unclear, "unit"),
        ("5", "5m/s", Unclear, "unit"),
        ("6", "6mg/s", Unclear, "unit"),
        ("6", "6mg", Unclear, "unit"),
        ("2", "2hr", Unclear, "unit"),
        ("3", "3in", Unclear, "unit"),
        ("9.8", "9.8m/s^2", Unclear, "unit"),
        ("5", "6m", Different, "number"),
        ("2hr", "2rh", Equal, "expression"),
        ("2hr", r"2 \cdot h \cdot r", Equal, "expression"),
        ("3mg", "3gs", Different, "expression"),
        // The other answer says that it is a unit.
        (r"5\text{ m}", "5m", Equal, "number"),
        (r"5\text{ m/s}", "5m/s", Equal, "number"),
        (r"9.8\text{ m/s}^2", "9.8m/s^2", Equal, "number"),
        (r"6\text{ mg}", "6mg", Equal, "number"),
        (r"3\text{ ft}^2", "3ft^2", Equal, "number"),
        (r"3\text{ in}", "3in", Equal, "number"),
        (r"3\text{ cm}", "3ms", Unclear, "unit"),
        (r"3\text{ ms}", "3ms", Equal, "number"),
        (r"3\text{ ms}", "3 m", Unclear, "unit"),
        (r"3000\text{ ms}", r"3\text{ s}", Equal, "unit"),
        ("500cm", "5m", Equal, "unit"),
        // What is a text is a unit.
        ("5", r"5\text{ m}", Equal, "unit"),
        ("9", r"9\,\mathrm{m}^2", Equal, "unit"),
        (r"\frac12", r"\frac{1}{2}\text{ h}", Equal, "unit"),
        ("5", r"5\text{ m}/\text{s}", Equal, "unit"),
        ("5 m/s", r"5\,\mathrm{m}/\mathrm{s}", Equal, "number"),
        (r"5\text{ m/s}", r"5\text{ m}/\text{h}", Different, "unit"),
        (r"2\text{e}", "2e", Equal, "number"),
        // These are never meant as products.
        ("10", "10cm", Equal, "unit"),
        ("5", "5 mg", Equal, "unit"),
        ("5", "5 m/s", Equal, "unit"),
        ("30", "30km/h", Equal, "unit"),
    ]);
}

#[test]
fn what_one_answer_leaves_out_may_count() {
    let complete = Options { complete: true, ..Options::default() };
    for (gold, pred) in [
        ("90", r"90^\circ"),
        (r"90^\circ", "90"),
        (r"\$36", "36"),
        ("10", "10 cm"),
        (r"28\%", "28"),
        ("5", "x=5"),
        ("x=5", "5"),
        ("27", r"27 \pmod{100}"),
    ] {
        assert_eq!(equal(gold, pred).verdict, Equal, "{gold} and {pred}");
        let grade = complete.equal(gold, pred);
        assert_eq!((grade.verdict, grade.why.is_some()), (Unclear, true), "{gold} and {pred}: {grade:?}");
    }
    for (gold, pred) in [
        ("90", "90.0"),
        (r"180^\circ", r"\pi"),
        (r"50\%", "0.5"),
        (r"10\text{ cm}", "0.1 m"),
        ("x=5", "x=4+1"),
        (r"x \in [1,2]", "[1,2]"),
        (r"27 \pmod{100}", r"27 \pmod{100}"),
    ] {
        assert_eq!(complete.equal(gold, pred).verdict, Equal, "{gold} and {pred}");
    }
    assert_eq!(complete.equal("90", r"91^\circ").verdict, Different);
}

#[test]
fn words_behind_numbers_are_not_all_units() {
    check(&[
        ("5", "5 thirds", Unclear, "unread"),
        ("3", "three quarters", Unclear, "unread"),
        ("2", "two thirds", Unclear, "unread"),
        ("7", "seven eighths", Unclear, "unread"),
        ("5", "5 halves", Unclear, "unread"),
        ("5", "5 is wrong", Unclear, "unread"),
        ("5", r"5\text{ doubled}", Unclear, "unread"),
        ("5", "5 millionths", Unclear, "unread"),
        ("5", "5 to the fourth", Unclear, "unread"),
        ("5", "5 apples", Equal, "unit"),
        ("A", r"\text{A star}", Unclear, "unread"),
        ("C", "C minor", Unclear, "unread"),
        ("2x", r"2x\text{ meters}", Equal, "unit"),
    ]);
}
