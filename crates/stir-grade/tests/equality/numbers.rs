//! Numbers, expressions and functions.

use stir_grade::Verdict::{Different, Equal, Unclear};

use super::check;

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
fn numbers_in_other_characters() {
    check(&[
        ("1234", "\u{ff11}\u{ff12}\u{ff13}\u{ff14}", Equal, "identical"),
        ("1234", "\u{ff11}\u{ff0c}\u{ff12}\u{ff13}\u{ff14}", Equal, "number"),
        ("x=5", "\u{ff58}\u{ff1d}\u{ff15}", Equal, "identical"),
        ("(1,2)", "\u{ff08}1\u{ff0c}2\u{ff09}", Equal, "identical"),
        (r"50\%", "50\u{ff05}", Equal, "number"),
        ("12", "\u{ff11}\u{ff13}", Different, "number"),
        ("0.5", "\u{bd}", Equal, "number"),
        (r"\frac52", "2\u{bd}", Equal, "number"),
        (r"\frac{7}{8}", "\u{215e}", Equal, "identical"),
        ("1", "\u{bd}", Different, "number"),
    ]);
}

#[test]
fn numbers_in_words() {
    check(&[
        ("21", "twenty-one", Equal, "number"),
        ("19", "twenty-one", Different, "number"),
        ("40", "Forty", Equal, "number"),
        ("100", "a hundred", Equal, "number"),
        ("105", "one hundred and five", Equal, "number"),
        ("100, 5", "one hundred and five", Different, "forms"),
        ("2013", r"\text{two thousand thirteen}", Equal, "number"),
        ("2,005", "two thousand and five", Equal, "number"),
        ("1234567", "one million two hundred thirty-four thousand five hundred sixty-seven", Equal, "number"),
        ("twenty one", "Twenty-one", Equal, "number"),
        ("twenty-one", "twenty-two", Different, "number"),
        // Two numbers, or none.
        ("2300", "two thousand and three hundred", Different, "forms"),
        ("203", "two hundred and three hundred", Different, "forms"),
        ("19", "twenty-one apples", Unclear, "unread"),
        ("23", "twenty three four", Unclear, "unread"),
        ("20", "twenty zero", Unclear, "unread"),
    ]);
}

#[test]
fn numbers_with_a_modulus() {
    check(&[
        ("27", r"27 \pmod{100}", Equal, "modulus"),
        ("27", "27 (mod 100)", Equal, "modulus"),
        ("27", r"27\ (\text{mod } 100)", Equal, "modulus"),
        ("204", r"204\text{ (mod 1000)}", Equal, "modulus"),
        ("204", r"205\text{ (mod 1000)}", Different, "modulus"),
        (r"27 \pmod{100}", r"127\text{ (mod 100)}", Equal, "modulus"),
        (r"27 \pmod{100}", "27", Equal, "modulus"),
        (r"27 \pmod{100}", r"127 \pmod{100}", Equal, "modulus"),
        (r"27 \pmod{100}", r"128 \pmod{100}", Different, "modulus"),
        (r"27 \pmod{100}", r"27 \pmod{50}", Unclear, "modulus"),
        (r"27 \pmod{100}", "127", Unclear, "modulus"),
        ("27", "28 (mod 100)", Different, "modulus"),
        ("27", r"127 \bmod 100", Unclear, "unread"),
        ("27", "27 (mod 0)", Equal, "modulus"),
        ("27", "28 (mod 0)", Unclear, "modulus"),
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
        // A fraction may be given as a decimal of four digits, three of which tell.
        ("1/3", "0.3333", Equal, "rounded"),
        ("-1/12", "-0.0833", Equal, "rounded"),
        ("1/3", "0.3334", Different, "number"),
        ("2/3", "0.6666", Different, "number"),
        ("1/120", "0.0083", Different, "number"),
        ("1/2", "0.50001", Different, "number"),
        ("3", "3.0001", Different, "number"),
        ("0", "0.0001", Different, "number"),
        ("(0.33, 1)", "(1/3, 1)", Equal, "tuple"),
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
        // What does not hold gives nothing.
        ("5.0", r"4 \approx 5", Unclear, "assignment"),
        ("5.0", r"4.96 \approx 5", Equal, "assignment"),
        ("5.0", r"4.9 \approx 5", Unclear, "assignment"),
        ("31.45", r"10\pi \approx 31.45", Unclear, "assignment"),
        ("31.5", r"10\pi \approx 31.5", Unclear, "assignment"),
        ("5", "4 = 5", Unclear, "assignment"),
        ("4", "4 = 5", Unclear, "assignment"),
        ("5", "2+3 = 5", Equal, "assignment"),
        ("6", "2+3 = 5", Different, "assignment"),
        ("0.33", r"\frac13 = 0.33", Equal, "assignment"),
        (r"\frac13", r"\frac13 = 0.33", Unclear, "assignment"),
        ("31.4", r"x = 10\pi \approx 31.4", Equal, "assignment"),
        ("31.5", r"x = 10\pi \approx 31.5", Unclear, "assignment"),
        (r"x = 10\pi \approx 31.4", "31.4", Unclear, "assignment"),
        ("5.0", "x < 5", Different, "assignment"),
        ("5.0", r"x \approx 4 \approx 5", Unclear, "assignment"),
        ("31.4", r"x \approx 31.416 \approx 31.4", Equal, "assignment"),
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
