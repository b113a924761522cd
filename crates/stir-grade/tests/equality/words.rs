//! Typesetting, words and choices.

use stir_grade::Verdict::{Different, Equal, Unclear};

use super::check;

#[test]
fn typesetting_says_nothing() {
    check(&[
        (r"\dfrac{1}{2}", r"\frac{1}{2}", Equal, "identical"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})", Equal, "identical"),
        ("$7$", r"\boxed{7}.", Equal, "identical"),
        (r"\\frac{1}{2}", r"\frac12", Equal, "number"),
        (r"\text{2/3}", "2/3", Equal, "identical"),
        ("1 2", "12", Unclear, "unread"),
    ]);
}

#[test]
fn choices_and_words() {
    check(&[
        (r"\text{(B)}", "B", Equal, "choice"),
        (r"\text{(B)}", "(b)", Equal, "choice"),
        ("B", r"\textbf{(B)}", Equal, "choice"),
        ("(B)", "(B) 12", Equal, "choice"),
        ("B", "B. twelve", Equal, "choice"),
        ("(B)", "C", Different, "choice"),
        ("(B)", "12", Unclear, "choice"),
        ("C", "c", Different, "expression"),
        (r"\text{even}", "Even", Equal, "text"),
        (r"\text{Evelyn}", "Navin", Different, "text"),
        ("ellipse", "an ellipse", Unclear, "text"),
        ("east", "west", Different, "text"),
        // As words these are anagrams, as products they would be equal.
        ("no", "on", Different, "text"),
        ("5", "none", Different, "forms"),
        ("", "", Different, "text"),
        ("5", "", Different, "text"),
        ("the set A - B", "the set A + B", Different, "text"),
    ]);
}

#[test]
fn a_choice_may_stand_before_its_text() {
    check(&[
        ("27", r"\textbf{(C)}\ 27", Equal, "choice"),
        ("27", r"\textbf{(C) }27", Equal, "choice"),
        ("27", "(C) 27", Equal, "choice"),
        ("27", "(C) 28", Different, "choice"),
        (r"\frac12", r"\textbf{(A)}\quad 0.5", Equal, "choice"),
        ("1,200", "(B) 1200", Equal, "choice"),
        (r"\text{the moon}", r"(B) The moon", Equal, "choice"),
        ("27C", "(C) 27", Equal, "expression"),
        ("2C", "(C) 27", Different, "expression"),
        ("x+1", "(A)(x+1)", Different, "expression"),
        ("-27", "(C) - 27", Different, "expression"),
        ("27", "(C) 27 (D) 28", Different, "choice"),
    ]);
}
