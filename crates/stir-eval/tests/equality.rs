//! Answer equality, from outside.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng, seq::IndexedRandom};
use stir_eval::{
    Verdict::{self, Different, Equal, Unclear},
    equality::{Options, equal},
};

use common::{answer, boxes, shared_rows};

/// Checks rows of gold answer, prediction, verdict and rule.
fn check(rows: &[(&str, &str, Verdict, &str)]) {
    for &(gold, pred, verdict, rule) in rows {
        let grade = equal(gold, pred);
        assert_eq!((grade.verdict, grade.rule.as_str()), (verdict, rule), "{gold:?} and {pred:?}: {grade:?}");
        assert_eq!(grade.why.is_some(), verdict == Unclear, "{gold:?} and {pred:?}: {grade:?}");
    }
}

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
        (r"30\text{ km/h}", "30 mph", Unclear, "unit"),
        ("5a/b", "5", Different, "expression"),
    ]);
}

#[test]
fn chains_of_numbers_give_the_one_before_the_approximation() {
    check(&[
        (r"10\pi", r"10\pi \approx 31.4", Equal, "assignment"),
        (r"\sqrt2", r"\sqrt{2} \approx 1.414", Equal, "assignment"),
        (r"\frac13", r"\frac13 \approx 0.333", Equal, "assignment"),
        ("0.33", r"\frac13\approx 0.33", Equal, "assignment"),
        ("31.4", r"10\pi \approx 31.4", Equal, "assignment"),
        ("31", r"10\pi \approx 31", Unclear, "assignment"),
        (r"10\pi \approx 31.4", r"10\pi", Equal, "assignment"),
        (r"10\pi \approx 31.4", "31.4", Unclear, "assignment"),
        (r"10\pi", r"11\pi \approx 34.6", Different, "assignment"),
        (r"2\pi", r"x \approx 6.28", Different, "assignment"),
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

#[test]
fn all_real_numbers() {
    check(&[
        (r"(-\infty,\infty)", r"\text{all real numbers}", Equal, "tuple"),
        (r"\mathbb{R}", "all real numbers", Equal, "tuple"),
        ("all reals", r"\text{the set of all real numbers}", Equal, "text"),
        (r"x \in \mathbb{R}", "all reals", Equal, "assignment"),
        ("all real numbers except 2", r"\mathbb{R}", Unclear, "unread"),
        (r"(0,\infty)", "all real numbers", Different, "tuple"),
        ("all real numbers", "none", Different, "text"),
    ]);
}

#[test]
fn two_signs_may_go_together_or_not() {
    check(&[
        (r"\pm1\pm2", r"\pm3", Unclear, "unread"),
        (r"3, 1, -1, -3", r"\pm1\pm2", Unclear, "unread"),
        (r"\pm1\mp2", r"\pm1", Equal, "list"),
        (r"(\pm1, \pm2)", r"(\pm 1, \pm 2)", Equal, "tuple"),
    ]);
}

#[test]
fn numbers_are_exact() {
    check(&[
        ("1/2", "0.5", Equal, "number"),
        (r"\frac12", ".50", Equal, "number"),
        (r"\frac 34", r"\frac{3}4", Equal, "number"),
        (r"2\frac{1}{2}", "5/2", Equal, "number"),
        ("3 1/4", "3.25", Equal, "number"),
        (r"0.\overline{27}", "3/11", Equal, "number"),
        (r"4.5 \times 10^{-3}", "0.0045", Equal, "number"),
        ("1e3", "1000", Equal, "number"),
        ("12,345", r"12{,}345", Equal, "number"),
        ("1 234 567", "1234567", Equal, "number"),
        ("1,234.5", "1234.5", Equal, "number"),
        ("10!", "3628800", Equal, "number"),
        (r"\binom{6}{2}", "15", Equal, "number"),
        (r"{6 \choose 2}", "15", Equal, "number"),
        ("2^{10}", "1024", Equal, "number"),
        ("-7", "\u{2212}7", Equal, "number"),
        ("twelve", "12", Equal, "number"),
        ("7", "8", Different, "number"),
        ("2^{64}", "18446744073709551617", Different, "number"),
        (r"\left\lfloor \frac{7}{2} \right\rfloor", "3", Equal, "number"),
        (r"|{-3}|", "3", Equal, "number"),
        (r"\lfloor 10\pi \rfloor + \lceil \sqrt2 \rceil", "33", Equal, "number"),
        ("5 million", "5,000,000", Equal, "number"),
        ("2 squared", "2", Unclear, "unread"),
        (r"|3+4i|", "5", Equal, "number"),
        ("2024-05-06", "2013", Unclear, "unread"),
        ("0x10", "0", Unclear, "unread"),
    ]);
}

#[test]
fn roots_are_decided_for_certain() {
    check(&[
        (r"\sqrt{50}", r"5\sqrt2", Equal, "number"),
        (r"\frac{1}{\sqrt{3}}", r"\frac{\sqrt{3}}{3}", Equal, "number"),
        (r"\frac{1}{\sqrt3-\sqrt2}", r"\sqrt3+\sqrt2", Equal, "number"),
        // Nested roots, equal to simple ones.
        (r"\sqrt{7+4\sqrt{3}}", r"2+\sqrt3", Equal, "number"),
        (r"\sqrt[3]{7+5\sqrt2}", r"1+\sqrt2", Equal, "number"),
        (r"\sqrt[4]{9}", r"\sqrt{3}", Equal, "number"),
        (r"\sqrt{5-2\sqrt6}", r"\sqrt2-\sqrt3", Different, "number"),
        // These agree in the first 20 digits.
        (r"\sqrt{10^{40}+1}", "10^{20}", Different, "number"),
        (r"\sqrt{-4}", "2i", Equal, "number"),
        (r"\sqrt[3]{-8}", "-2", Equal, "number"),
        (r"\frac{5}{2-i}", "2+i", Equal, "number"),
        (r"8^{2/3}", "4", Equal, "number"),
    ]);
}

#[test]
fn functions_have_their_known_values() {
    check(&[
        (r"\sin 60^\circ", r"\frac{\sqrt3}{2}", Equal, "number"),
        (r"\cos\frac{\pi}{5}", r"\frac{1+\sqrt5}{4}", Equal, "number"),
        (r"\tan\frac{\pi}{8}", r"\sqrt2-1", Equal, "number"),
        (r"\arcsin\frac12", r"\frac{\pi}{6}", Equal, "number"),
        (r"\sin^{-1} 1", r"\pi/2", Equal, "number"),
        (r"\log_3 81", "4", Equal, "number"),
        (r"\log_4 8", "1.5", Equal, "number"),
        (r"\ln\sqrt{e^3}", r"\frac32", Unclear, "number"),
        (r"\ln 12", r"2\ln2+\ln3", Equal, "number"),
        (r"e^{i\pi}", "-1", Equal, "number"),
        (r"\frac{20000}{\pi}", "20000/pi", Equal, "number"),
        (r"\pi", r"\frac{22}{7}", Different, "number"),
        (r"\tan 90^\circ", "5", Unclear, "limits"),
        // Equal, as far as can be computed; there is no proof here.
        (r"4\arctan\frac15-\arctan\frac{1}{239}", r"\frac{\pi}{4}", Unclear, "number"),
        (r"e^{2\ln 3}", "9", Equal, "number"),
        (r"2^{\ln 3}", "3", Different, "number"),
    ]);
}

#[test]
fn decimals_are_met_at_the_gold_answers_precision() {
    check(&[
        ("0.33", "1/3", Equal, "rounded"),
        ("3.14", r"\pi", Equal, "rounded"),
        ("1.41", r"\sqrt{2}", Equal, "rounded"),
        ("0.667", "0.66667", Equal, "rounded"),
        (r"\$2.67", r"\frac{8}{3}", Equal, "unit"),
        ("0.12", "0.125", Equal, "rounded"),
        ("0.13", "0.125", Equal, "rounded"),
        // Cut, not rounded.
        ("0.66", "2/3", Different, "number"),
        // One digit after the point is as likely exact.
        ("4.5", "4.52", Different, "number"),
        ("2", "2.0001", Different, "number"),
        // An exact gold answer, or a longer one, is not met by a shorter decimal.
        ("1/3", "0.33", Different, "number"),
        (r"\pi", "3.14159", Different, "number"),
        ("0.3333", "0.33", Different, "number"),
        ("(0.33, 1)", "(1/3, 1)", Equal, "tuple"),
    ]);
}

#[test]
fn expressions_are_equal_as_functions() {
    check(&[
        ("(a+5)(b+2)", "ab+2a+5b+10", Equal, "expression"),
        ("x^2-1", "(x-1)(x+1)", Equal, "expression"),
        (r"\frac{x^2-1}{x-1}", "x+1", Equal, "expression"),
        (r"\frac{x+2}{7}", r"\frac{x}{7}+\frac27", Equal, "expression"),
        ("2k+2", "2k+3", Different, "expression"),
        ("2k+2", "2n+2", Different, "expression"),
        ("x", "X", Different, "expression"),
        (r"\sin 2x", r"2\sin x\cos x", Equal, "expression"),
        (r"\tan x", r"\frac{\sin x}{\cos x}", Equal, "expression"),
        (r"\sec^2 t - \tan^2 t", "1", Equal, "expression"),
        (r"\sin x", r"\cos x", Different, "expression"),
        ("2^{n+3}", r"8\cdot2^n", Equal, "expression"),
        ("9^n", "3^{2n}", Equal, "expression"),
        (r"x\sqrt{x}", "x^{3/2}", Equal, "expression"),
        (r"\sqrt{x^3}", r"x\sqrt{x}", Equal, "expression"),
        (r"\sqrt{-x^3}", r"x\sqrt{-x}", Different, "expression"),
        (r"\frac{\pi r}{h+r}", r"\frac{r\pi}{r+h}", Equal, "expression"),
        (r"1\sqrt{19}x", "x", Different, "expression"),
        ("sqrt(x)/2", r"\frac{1}{2}\sqrt{x}", Equal, "expression"),
        // Not the same where x is negative.
        (r"\sqrt{x^2}", "x", Different, "expression"),
        ("f(x)+1", "1+f(x)", Equal, "expression"),
        ("f(x)", "f(y)", Unclear, "expression"),
        ("x_1+x_2", "x_2+x_{1}", Equal, "expression"),
        // The sign of the divisor is not known.
        (r"\sqrt{\frac{x-1}{x-2}}", r"\frac{\sqrt{(x-1)(x-2)}}{x-2}", Different, "expression"),
    ]);
}

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
        ("5", "5m", Equal, "unit"),
        (r"36^\circ", r"\$36", Unclear, "unit"),
        ("0.5", "0.5%", Unclear, "percent"),
        (r"\$5 million", "5000000 dollars", Equal, "number"),
    ]);
}

#[test]
fn bases_are_named() {
    check(&[
        ("52_8", "52_{8}", Equal, "base"),
        ("4210_5", "4211_5", Different, "base"),
        ("10_8", "10_9", Different, "base"),
        ("52_8", "52", Unclear, "base"),
        ("52_8", "42", Unclear, "base"),
        ("52_8", "53", Different, "base"),
        ("17_{10}", "17", Equal, "number"),
    ]);
}

#[test]
fn tuples_lists_and_sets() {
    check(&[
        ("(1,2)", "(1, 2)", Equal, "identical"),
        ("(1,0.5)", r"(1, \frac12)", Equal, "tuple"),
        ("(1,2)", "(2,1)", Different, "tuple"),
        ("(1,2)", "(1,2,3)", Different, "tuple"),
        ("(1,2)", "1,2", Equal, "tuple"),
        ("1,2", "(1,2)", Unclear, "tuple"),
        ("1,2,3", "3, 1, 2", Equal, "list"),
        ("1,2,3", "1,2", Different, "list"),
        ("1,1,2", "1,2", Different, "list"),
        ("1,2", "1,2,2", Equal, "list"),
        ("1 and 2", "2 or 1", Equal, "list"),
        (r"\{1,2\}", r"\{2,1,2\}", Equal, "set"),
        (r"\{1,2\}", "2,1", Equal, "set"),
        (r"\{5\}", "5", Equal, "set"),
        (r"\{\}", r"\emptyset", Equal, "set"),
        (r"\pm 3", "3,-3", Equal, "list"),
        (r"\pm 3", "3", Different, "forms"),
        (r"1 \pm \sqrt{19}", r"1+\sqrt{19}, 1-\sqrt{19}", Equal, "list"),
        (r"\{1\pm\sqrt5,-2\}", r"-2, 1-\sqrt5, 1+\sqrt5", Equal, "set"),
        (r"\frac{1\pm\sqrt5}{2}", r"\frac{1\mp\sqrt5}{2}", Equal, "list"),
        ("(1,2), (3,4)", "(3,4) and (1,2)", Equal, "list"),
        ("100,200", "200, 100", Equal, "list"),
        ("2,5", "2.5", Different, "forms"),
        ("2,75", "2.75", Equal, "number"),
    ]);
    let ordered = Options { ordered_lists: true };
    assert_eq!(ordered.equal("1,2,3", "3,1,2").verdict, Different);
    assert_eq!(ordered.equal("1,2,3", "1, 2, 3").verdict, Equal);
    assert_eq!(ordered.equal(r"\{1,2\}", r"\{2,1\}").verdict, Equal);
}

#[test]
fn intervals_and_inequalities() {
    check(&[
        ("[0,1)", "[0, 1)", Equal, "identical"),
        ("[0,1)", r"[0, \frac22)", Equal, "interval"),
        ("[0,1)", "(0,1)", Different, "interval"),
        (r"(-\infty, 0]", r"(-\infty,0)", Different, "interval"),
        (r"(1,2)\cup(3,\infty)", r"(3,\infty) \cup (1,2)", Equal, "interval"),
        (r"x \in [-2,7]", "[-2,7]", Equal, "assignment"),
        (r"-2 \le x \le 7", r"x \in [-2,7]", Equal, "inequality"),
        ("x > 5", r"(5,\infty)", Equal, "assignment"),
        ("x > 5", "5 < x", Equal, "inequality"),
        ("x >= 5", r"x \leq 5", Different, "inequality"),
        ("x > 5", "y > 5", Different, "inequality"),
        ("2x > 4", "x > 2", Equal, "inequality"),
        ("2x > 4", "-x > -2", Different, "inequality"),
        (r"x \ne 3", r"(-\infty,3)\cup(3,\infty)", Equal, "assignment"),
        (r"\mathbb{R}\setminus\{2,1\}", r"(-\infty,1)\cup(1,2)\cup(2,\infty)", Equal, "interval"),
        (r"|x| < 2", "(-2,2)", Equal, "assignment"),
        (r"1\le|z|\le2", r"z\in[-2,-1]\cup[1,2]", Equal, "inequality"),
        (r"\mathbb{R}", r"(-\infty,\infty)", Equal, "tuple"),
        ("x < 1 or x > 3", r"(-\infty,1)\cup(3,\infty)", Equal, "interval"),
        // What holds together is no list of solutions.
        ("x > 1 and x < 3", "x > 1 or x < 3", Unclear, "limits"),
        ("1 < x < 3", "x > 1, x < 3", Unclear, "forms"),
        (r"[1,2]\cup[2,3]", "[1,3]", Equal, "interval"),
        (r"[1,2)\cup(2,3]", "[1,3]", Different, "interval"),
        (r"[1,2)\cup\{2\}\cup(2,\sqrt{10}]", r"[1,\sqrt{10}]", Equal, "interval"),
        (r"(-\infty,a)\cup(a,\infty)", r"(a,\infty)\cup(-\infty,a)", Equal, "interval"),
        (r"(-\infty,a)\cup(b,\infty)", r"(-\infty,a)\cup(a,\infty)", Unclear, "interval"),
        (r"[1,2]\cup[3,4]", r"[1,2]\cup[3,4)", Different, "interval"),
        // Infinity is an end and no number.
        (r"\infty", "infinity", Equal, "expression"),
        (r"\infty-\infty", "0", Unclear, "limits"),
        (r"\frac{\infty}{\infty}", "1", Unclear, "limits"),
    ]);
}

#[test]
fn equations_and_assignments() {
    check(&[
        ("x=5", "5", Equal, "assignment"),
        ("5", "k = 5", Equal, "assignment"),
        ("x=5", "x = 2+3 = 5", Equal, "assignment"),
        (r"x=\frac13", r"x = 1/3 \approx 0.33", Equal, "assignment"),
        ("x=5", "y=5", Unclear, "assignment"),
        ("x=5", "x=6", Different, "assignment"),
        ("y = 2x + 3", "2x - y + 3 = 0", Equal, "equation"),
        ("5x - 7y + 11z + 4 = 0", "14y - 10x - 22z = 8", Equal, "equation"),
        ("x^2+y^2=4", r"\frac{x^2}{4}+\frac{y^2}{4}=1", Equal, "equation"),
        ("y=2x", "y=3x", Different, "assignment"),
        ("x+y=1", "x+y=2", Different, "equation"),
        ("x^2+y^2=4", "x^2+y^2=9", Unclear, "equation"),
        ("a+3z=0", "0", Different, "forms"),
        ("(p,q)=(3,2)", "(3,2)", Equal, "assignment"),
        ("x=1, y=2", "y=2, x=1", Equal, "assignment"),
        ("x=1, y=2", "x=2, y=1", Different, "assignment"),
        ("x=1, y=2", "(1,2)", Equal, "tuple"),
        ("AB=4, CD=5", "4, 5", Equal, "assignment"),
        ("AB=4, CD=5", "5, 4", Different, "assignment"),
        ("x=1, x=2", "2, 1", Equal, "list"),
        ("x_1=1, x_2=2", "2, 1", Equal, "list"),
        ("x=1,2", "x=2 or x=1", Equal, "list"),
        ("p=1,q=2; p=3,q=4", "(3,4),(1,2)", Equal, "list"),
        ("f(x)=2x", "2x", Equal, "assignment"),
        ("7:32", r"\frac{7}{32}", Equal, "ratio"),
        ("2:4", "1:2", Equal, "ratio"),
        ("V_1:V_2=11:21", "11:21", Equal, "assignment"),
        ("12:00", "1:00", Different, "ratio"),
        ("5:30", "10:60", Unclear, "ratio"),
        ("5:30 pm", "5:30 am", Different, "ratio"),
        ("xy=0", "0", Different, "forms"),
        ("a_1=1, a_2=2", "2, 1", Different, "assignment"),
        ("a=1,b=2,a=2,b=1", "a=1,b=1,a=2,b=2", Unclear, "assignment"),
        ("x=2, y=3", "(x,y)=(2,3)", Equal, "assignment"),
        ("6:00 pm", r"6:00 \text{ p.m.}", Equal, "ratio"),
    ]);
}

#[test]
fn matrices() {
    let identity = r"\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix}";
    check(&[
        (identity, r"\begin{bmatrix}1&0\\0&1\\\end{bmatrix}", Equal, "matrix"),
        (identity, r"\begin{pmatrix} 0 & 1 \\ 1 & 0 \end{pmatrix}", Different, "matrix"),
        (identity, r"\frac12\begin{pmatrix} 2 & 0 \\ 0 & 2 \end{pmatrix}", Equal, "matrix"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", "(1,2)", Equal, "matrix"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}", Unclear, "matrix"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1\\2\\3\end{pmatrix}", Different, "matrix"),
        (
            r"\begin{pmatrix} 0 & 2 \\ 3 & 0 \end{pmatrix}",
            r"\begin{pmatrix} 0 & 1 \\ 1 & 0 \end{pmatrix}\begin{pmatrix} 3 & 0 \\ 0 & 2 \end{pmatrix}",
            Equal,
            "matrix",
        ),
        (identity, r"\begin{pmatrix}1&1\\0&0\end{pmatrix}-\begin{pmatrix}0&1\\0&-1\end{pmatrix}", Equal, "matrix"),
        (r"\begin{vmatrix}1&2\\3&4\end{vmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", Unclear, "unread"),
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
fn hostile_answers_are_answered_in_time() {
    let deep = |open: &str, close: &str, n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
    let mut hostile = vec![
        "9^{9^{9^9}}".to_owned(),
        "9^9^9^9^9".to_owned(),
        "(((10!)!)!)!".to_owned(),
        "1200!/1199!".to_owned(),
        r"\binom{1000000}{500000}".to_owned(),
        "(a+b+c+d+e)^{60}".to_owned(),
        "(x+1)^{100000}".to_owned(),
        r"\sqrt{2}^{100000}".to_owned(),
        r"(\sqrt2+\sqrt3+\sqrt5+\sqrt7+\sqrt{11}+\sqrt{13})^{9}".to_owned(),
        (2..40).map(|k| format!(r"\sqrt{{{k}+\sqrt{{{k}}}}}")).collect::<Vec<_>>().join("+"),
        (2..200).map(|k| format!(r"\frac{{1}}{{{k}}}")).collect::<Vec<_>>().join("+"),
        (2..60).map(|k| format!(r"\frac{{1}}{{x+{k}}}")).collect::<Vec<_>>().join("+"),
        (0..2000).map(|k| k.to_string()).collect::<Vec<_>>().join(", "),
        (0..600).map(|k| format!("a_{{{k}}}")).collect::<Vec<_>>().join(", "),
        "1+".repeat(4000) + "1",
        "1-".repeat(10_000),
        "1e999999999".to_owned(),
        "1e-99999".to_owned(),
        "9".repeat(10_000),
        format!("0.{}", "9".repeat(4000)),
        format!("{}/{}", "7".repeat(4000), "3".repeat(4001)),
        r"\sqrt".repeat(3000),
        r"\frac".repeat(3000) + &"1".repeat(4000),
        r"\sin".repeat(2000) + "x",
        "2^".repeat(3000) + "2",
        "-".repeat(8000) + "1",
        "|".repeat(3001),
        "5%".to_owned() + &"%".repeat(5000),
        "!".repeat(5000),
        "\\".repeat(9000),
        "\\text{".repeat(2000),
        "$".repeat(16_000),
        "\\begin{pmatrix}".repeat(500),
        "a&b\\\\".repeat(2000),
        "1,".repeat(8000),
        r"\pm 1".repeat(1500),
        "x=".repeat(4000) + "1",
        "\u{202e}\0\u{fffd}🦀１２³ⅷ".repeat(300),
        "NaN".to_owned(),
        r"\infty-\infty".to_owned(),
        "0^0".to_owned(),
        "1".repeat(1 << 20),
        r"\sin(10^{300})+\cos(10^{300})".to_owned(),
        r"\sin(24\sin(24\sin(24\sin(24x))))".to_owned(),
        r"\sqrt[3]{(\sin(2\sqrt{2}+\sqrt{2}))^{(0.75)^{12}}}".to_owned(),
        r"(x+\sqrt2)^{0.123456789}".to_owned(),
        r"\sqrt[64]{2}+\sqrt[63]{3}+\sqrt[61]{5}".to_owned(),
    ];
    for (open, close) in
        [("{", "}"), ("(", ")"), ("[", "]"), (r"\{", r"\}"), (r"\sqrt{", "}"), (r"\frac{1}{", "}"), ("|", "|")]
    {
        hostile.extend([40, 1000, 5000].map(|n| deep(open, close, n)));
        hostile.push(open.repeat(6000));
        hostile.push(close.repeat(6000));
    }
    for text in &hostile {
        for (gold, pred) in [(text.as_str(), "7"), ("7", text), (text, &format!("{text}+0")), (text, text)] {
            let start = Instant::now();
            let grade = equal(gold, pred);
            // 50 ms are promised; tests run beside others, on slow machines.
            assert!(start.elapsed() < Duration::from_millis(500), "{:?}: {:.60}", start.elapsed(), text);
            assert!(
                gold != pred || text.trim().is_empty() || grade.verdict != Different || text.contains('$'),
                "{text:.60}"
            );
        }
    }
}

/// What answers are made of, and what they are not.
const PIECES: [&str; 75] = [
    "1",
    "2",
    "3",
    "10",
    "0",
    "7",
    "0.5",
    ".25",
    "1,234",
    "x",
    "y",
    "n",
    "a",
    "e",
    "i",
    "\\pi",
    "\\frac",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "\\{",
    "\\}",
    "\\sqrt",
    "+",
    "-",
    "*",
    "/",
    "^",
    "_",
    "=",
    "<",
    "\\le",
    ",",
    ";",
    ":",
    " ",
    "\\pm",
    "\\cup",
    "\\infty",
    "\\%",
    "^\\circ",
    "\\$",
    "$",
    "\\text{",
    "cm",
    "and",
    "\\sin",
    "\\cos",
    "\\tan",
    "\\ln",
    "\\log",
    "!",
    "|",
    "\\binom",
    "\\begin{pmatrix}",
    "\\end{pmatrix}",
    "&",
    "\\\\",
    "\\left",
    "\\right",
    "\\in",
    "\\neq",
    "\\!",
    "\\boxed{",
    "f(x)",
    "\\overline{3}",
    "x^2",
    "\\sqrt{2}",
    "\\frac12",
    "99",
    "\\arcsin",
    "-1",
];

/// A random answer: pieces at random, or a formula with a few pieces changed.
fn random_answer(rng: &mut ChaCha8Rng) -> String {
    let pieces = rng.random_range(1..12);
    if rng.random_bool(0.5) {
        return (0..pieces).map(|_| *PIECES.choose(rng).unwrap()).collect();
    }
    let mut formula = random_formula(rng, 4);
    for _ in 0..rng.random_range(0..3) {
        let at = (0..=rng.random_range(0..=formula.len())).rev().find(|&i| formula.is_char_boundary(i)).unwrap();
        match rng.random_range(0..3) {
            0 => formula.insert_str(at, PIECES.choose(rng).unwrap()),
            1 => formula.truncate(at),
            _ => formula = formula[at..].to_owned() + &formula[..at],
        }
    }
    formula
}

fn random_formula(rng: &mut ChaCha8Rng, depth: usize) -> String {
    if depth == 0 || rng.random_bool(0.2) {
        return (*["1", "2", "3", "5", "12", "x", "y", "\\pi", "e", "i", "0.75", "\\sqrt{2}"].choose(rng).unwrap())
            .to_owned();
    }
    let a = random_formula(rng, depth - 1);
    let b = random_formula(rng, depth - 1);
    match rng.random_range(0..16) {
        0 | 1 => format!("{a}+{b}"),
        2 => format!("{a}-{b}"),
        3 => format!("{a} \\cdot {b}"),
        4 => format!("\\frac{{{a}}}{{{b}}}"),
        5 => format!("({a})^{{{b}}}"),
        6 => format!("\\sqrt{{{a}}}"),
        7 => format!("\\sqrt[3]{{{a}}}"),
        8 => format!("\\sin({a})"),
        9 => format!("\\ln({a})"),
        10 => format!("({a})({b})"),
        11 => format!("({a}, {b})"),
        12 => format!("{a} = {b}"),
        13 => format!("|{a}|"),
        14 => format!("({a})^2"),
        _ => format!("{a} \\pm {b}"),
    }
}

/// Random answers, 20,000 pairs of them; `STIR_FUZZ` sets another number. Prints the slowest.
#[test]
fn random_answers_are_answered_in_time() {
    let count = std::env::var("STIR_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let seed = std::env::var("STIR_FUZZ_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut slowest = (Duration::ZERO, String::new(), String::new());
    for _ in 0..count {
        let gold = random_answer(&mut rng);
        let pred = if rng.random_bool(0.3) { format!("{gold}+0") } else { random_answer(&mut rng) };
        let start = Instant::now();
        let there = equal(&gold, &pred).verdict;
        let time = start.elapsed();
        if time > slowest.0 {
            slowest = (time, gold.clone(), pred.clone());
        }
        // No order of the two makes equal what is different the other way round, but for rounding and repetition.
        let back = equal(&pred, &gold);
        let opposite = (there == Equal && back.verdict == Different) || (there == Different && back.verdict == Equal);
        let directed =
            |text: &str| [".", ",", ";", "and", "&", "\\pm", "\\boxed"].iter().any(|mark| text.contains(mark));
        let directed = directed(&gold) || directed(&pred);
        assert!(!opposite || directed, "{gold:?} and {pred:?}: {there:?}, {back:?}");
    }
    println!("slowest of {count}: {:?} for {:?} and {:?}", slowest.0, slowest.1, slowest.2);
    assert!(slowest.0 < Duration::from_millis(500), "{slowest:?}");
}

/// Where formulas are evaluated in floating point: values of x.
const POINTS: [f64; 3] = [3.0 / 7.0, 1.7, -0.9];

type Formula = (String, [f64; 3]);

fn at(text: &str, value: impl Fn(f64) -> f64) -> Formula {
    (text.to_owned(), POINTS.map(value))
}

/// Formulas with their values, NaN where they have none: an independent account of what they mean.
fn formulas() -> impl Strategy<Value = Formula> {
    let leaf = prop_oneof![
        (-9i32..10).prop_map(|n| at(&if n < 0 { format!("({n})") } else { n.to_string() }, |_| f64::from(n))),
        Just(at("x", |x| x)),
        Just(at("\\sqrt{2}", |_| 2f64.sqrt())),
        Just(at("\\pi", |_| std::f64::consts::PI)),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        let pair = (inner.clone(), inner.clone());
        let two = |text: fn(&str, &str) -> String, value: fn(f64, f64) -> f64| {
            pair.clone().prop_map(move |((a, x), (b, y))| (text(&a, &b), std::array::from_fn(|i| value(x[i], y[i]))))
        };
        let one = |text: fn(&str) -> String, value: fn(f64) -> f64| {
            inner.clone().prop_map(move |(a, x)| (text(&a), x.map(value)))
        };
        prop_oneof![
            two(|a, b| format!("({a}+{b})"), |x, y| x + y),
            two(|a, b| format!("({a}-{b})"), |x, y| x - y),
            two(|a, b| format!("{a} \\cdot {b}"), |x, y| x * y),
            two(|a, b| format!("\\frac{{{a}}}{{{b}}}"), |x, y| if y.abs() < 1e-9 { f64::NAN } else { x / y }),
            one(|a| format!("({a})^{{2}}"), |x| x * x),
            one(|a| format!("\\frac{{{a}}}{{3}}"), |x| x / 3.0),
            one(|a| format!("\\sqrt{{{a}}}"), |x| if x.abs() < 1e-9 { f64::NAN } else { x.sqrt() }),
            one(|a| format!("\\sqrt[3]{{{a}}}"), |x| if x.abs() < 1e-9 { f64::NAN } else { x.cbrt() }),
            one(|a| format!("|{a}|"), f64::abs),
            one(|a| format!("\\sin({a})"), f64::sin),
            one(|a| format!("\\cos({a})"), f64::cos),
            one(|a| format!("\\ln({a})"), |x| if x > 1e-9 { x.ln() } else { f64::NAN }),
            one(|a| format!("e^{{{a}}}"), f64::exp),
        ]
    })
}

/// Whether two formulas agree where both have a value, and where that is.
fn agree(x: &[f64; 3], y: &[f64; 3]) -> Option<bool> {
    let both = x.iter().zip(y).filter(|(x, y)| x.is_finite() && y.is_finite() && x.abs() < 1e6 && y.abs() < 1e6);
    let mut some = None;
    for (x, y) in both {
        some = Some(some.unwrap_or(true) && (x - y).abs() <= 1e-6 * (1.0 + x.abs().max(y.abs())));
    }
    some
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases * 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_equals_itself_or_is_empty(text in any::<String>()) {
        let grade = equal(&text, &text);
        prop_assert!(grade.verdict == Equal || grade.rule == "text", "{grade:?}");
    }

    #[test]
    fn what_is_called_equal_has_equal_values((a, x) in formulas(), (b, y) in formulas()) {
        if equal(&a, &b).verdict == Equal {
            prop_assert!(agree(&x, &y) != Some(false), "{a} {x:?} and {b} {y:?}");
        }
        // Forms that say the same, and some that do only where they are defined.
        let every = x.iter().all(|x| x.is_finite());
        for same in [format!("0+{a}"), format!("({a}+1)-1"), format!("\\frac{{2 \\cdot ({a})}}{{2}}"), format!("-(-({a}))")] {
            let grade = equal(&a, &same);
            prop_assert!(grade.verdict != Different, "{a} and {same}: {grade:?}");
            prop_assert!(grade.verdict == Equal || grade.rule == "limits" || !every, "{a} and {same}: {grade:?}");
        }
        let (left, right) = (format!("({a})^2-({b})^2"), format!("({a}-{b})({a}+{b})"));
        let grade = equal(&left, &right);
        prop_assert!(grade.verdict != Different, "{left} and {right}: {grade:?}");
        let off = equal(&a, &format!("{a}+\\frac{{1}}{{7}}"));
        prop_assert!(off.verdict != Equal, "{a} {off:?}");
    }

    #[test]
    fn equality_without_decimals_goes_both_ways((a, _) in formulas(), (b, _) in formulas()) {
        prop_assert_eq!(equal(&a, &b).verdict, equal(&b, &a).verdict);
    }
}

/// Runs a suite of pairs with verdicts; says where it disagrees and returns how many rows there are and how many agree.
fn suite(name: &str, options: &Options) -> Option<(usize, usize)> {
    let rows = shared_rows(&format!("grader_cases/{name}"))?;
    let mut agree = 0;
    for (line, row) in rows.iter().enumerate() {
        let (gold, pred) = (answer(row["gold"].as_str().unwrap()), answer(row["pred"].as_str().unwrap()));
        let grade = options.equal(&gold, &pred);
        let right = (grade.verdict == Equal) == row["equal"].as_bool().unwrap();
        agree += usize::from(right);
        if !right {
            println!("{name} row {}: {gold:.80} | {pred:.80} | {grade:?}", line + 1);
        }
    }
    println!("{name}: {agree} of {} rows", rows.len());
    Some((rows.len(), agree))
}

#[test]
fn suites_of_other_graders_agree() {
    if let Some((rows, agree)) = suite("math_verify_half.jsonl", &Options::default()) {
        assert!(agree * 100 >= rows * 95, "{agree} of {rows}");
    }
    // This suite holds lists for ordered; without that option two of its rows come out the other way.
    if let Some((rows, agree)) = suite("hendrycks_math.jsonl", &Options { ordered_lists: true }) {
        assert_eq!(agree, rows);
    }
    if let Some((rows, agree)) = suite("hendrycks_math.jsonl", &Options::default()) {
        assert_eq!(agree + 2, rows);
    }
}

#[test]
fn solutions_of_math_500_are_right() {
    let Some(rows) = shared_rows("math500/test.jsonl") else { return };
    for row in &rows {
        let boxes = boxes(row["solution"].as_str().unwrap());
        let grade = equal(row["answer"].as_str().unwrap(), boxes.last().unwrap().2);
        assert_eq!(grade.verdict, Equal, "{}: {grade:?}", row["answer"]);
    }
    assert_eq!(rows.len(), 500);
}

#[test]
fn different_golds_of_math_500_are_different() {
    let Some(rows) = shared_rows("math500/test.jsonl") else { return };
    let golds: BTreeSet<&str> = rows.iter().map(|row| row["answer"].as_str().unwrap()).collect();
    let golds: Vec<&str> = golds.into_iter().collect();
    // What one answer leaves out and the other says (a unit, a degree sign, a name) makes no difference, nor does
    // spelling. So these are no different answers, and there are few.
    let mut same = Vec::new();
    for gold in &golds {
        for pred in golds.iter().filter(|pred| *pred != gold) {
            let grade = equal(gold, pred);
            if grade.verdict == Equal {
                same.push(format!("{gold} | {pred} | {}", grade.rule));
            }
        }
    }
    let spelled =
        |pair: &&String| !["degrees", "unit", "assignment", "list", "tuple"].iter().any(|rule| pair.ends_with(rule));
    println!("{} of {} pairs are equal: {same:#?}", same.len(), golds.len() * (golds.len() - 1));
    assert!(same.len() <= 26, "{same:#?}");
    // Equal by value are only three numbers that are spelled in two ways.
    assert!(same.iter().filter(spelled).count() <= 6, "{same:#?}");

    // Random pairs, as often as they come: those that differ in more than what one leaves out must be rare.
    let all: Vec<&str> = rows.iter().map(|row| row["answer"].as_str().unwrap()).collect();
    for seed in 0..3 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut equals, mut left_out) = (Vec::new(), 0);
        for _ in 0..20_000 {
            let pair = loop {
                let (a, b) = (*all.choose(&mut rng).unwrap(), *all.choose(&mut rng).unwrap());
                if a != b {
                    break (a, b);
                }
            };
            let grade = equal(pair.0, pair.1);
            if grade.verdict != Equal {
                continue;
            }
            if ["identical", "number", "degrees", "unit"].contains(&grade.rule.as_str()) {
                left_out += 1;
            } else {
                equals.push(format!("{} | {} | {}", pair.0, pair.1, grade.rule));
            }
        }
        println!(
            "of 20,000 random pairs: {left_out} are the same number, spelled or marked in another way; {equals:?}"
        );
        assert!(equals.len() <= 6, "{equals:?}");
    }
}
