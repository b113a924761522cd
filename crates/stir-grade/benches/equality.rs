//! Measures how many pairs of answers are compared in a second on one core, and how long the slowest input takes.
//!
//! With `STIR_SHARED_DATA` set, the pairs are made of the gold answers of MATH-500, otherwise of a few formulas.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use stir_grade::{Verdict, equality::equal};

/// The same answer in other spellings, and other answers.
fn variants(golds: &[String]) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (i, gold) in golds.iter().enumerate() {
        let spelled = gold.replace("\\frac", "\\dfrac ").replace('+', " + ").replace(',', ", ");
        for pred in [
            gold.clone(),
            spelled,
            format!("$\\boxed{{{gold}}}$"),
            format!("x = {gold}"),
            format!("{gold}+0"),
            golds[(i + 1) % golds.len()].clone(),
            golds[(i * 7 + 3) % golds.len()].clone(),
            format!("\\text{{{gold}}}"),
        ] {
            pairs.push((gold.clone(), pred));
        }
    }
    pairs
}

fn hostile() -> Vec<String> {
    vec![
        "9^{9^{9^9}}".to_owned(),
        "(a+b+c+d+e)^{60}".to_owned(),
        "(x+1)^{500}".to_owned(),
        r"(\sqrt2+\sqrt3+\sqrt5+\sqrt7+\sqrt{11}+\sqrt{13})^{9}".to_owned(),
        (2..40).map(|k| format!(r"\sqrt{{{k}+\sqrt{{{k}}}}}")).collect::<Vec<_>>().join("+"),
        (2..200).map(|k| format!(r"\frac{{1}}{{{k}}}")).collect::<Vec<_>>().join("+"),
        (2..60).map(|k| format!(r"\frac{{1}}{{x+{k}}}")).collect::<Vec<_>>().join("+"),
        (0..2000).map(|k| k.to_string()).collect::<Vec<_>>().join(", "),
        format!("\\{{{}\\}}", (0..3000).map(|k| k.to_string()).collect::<Vec<_>>().join(",")),
        (0..400).map(|k| format!("(x+{k})")).collect(),
        format!("(x+1)^{{400}}{}", "+0".repeat(2000)),
        (0..400).map(|k| format!(r"\sin((x+1)^{{20}}+{k})")).collect::<Vec<_>>().join(", "),
        format!("{}/{}", "7".repeat(4000), "3".repeat(4001)),
        r"\frac".repeat(3000) + &"1".repeat(4000),
        "{".repeat(8000),
        r"\sqrt{".repeat(2000) + "2",
        r"\sqrt[64]{2}+\sqrt[63]{3}+\sqrt[61]{5}".to_owned(),
        "1".repeat(1 << 20),
    ]
}

/// Prints how many pairs are compared in a second.
fn rate(name: &str, pairs: &[(String, String)]) {
    let run = || pairs.iter().filter(|(gold, pred)| equal(gold, black_box(pred)).verdict == Verdict::Equal).count();
    let equals = run();
    let (start, mut rounds) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(3) {
        black_box(run());
        rounds += 1;
    }
    let rate = (rounds * pairs.len()) as f64 / start.elapsed().as_secs_f64();
    println!("{rate:.0} pairs/s on one core: {name} ({} pairs, {equals} equal)", pairs.len());
}

fn main() {
    let golds: Vec<String> = match std::env::var_os("STIR_SHARED_DATA") {
        Some(_) => common::shared_rows("math500/test.jsonl")
            .iter()
            .map(|row| row["answer"].as_str().unwrap().to_owned())
            .collect(),
        None => {
            [r"\frac{1}{2}", "x^2+2x+1", r"3\sqrt{13}", "(1,2)", "[0,1)", r"\text{(C)}", "17"].map(String::from).into()
        }
    };
    let pairs = variants(&golds);
    rate("all", &pairs);
    let spelled = |(gold, pred): &&(String, String)| equal(gold, pred).rule != "identical";
    rate("those not spelled alike", &pairs.iter().filter(spelled).cloned().collect::<Vec<_>>());
    for text in hostile() {
        let best = (0..3).map(|_| {
            let start = Instant::now();
            black_box(equal(&text, &format!("{text}+0")));
            let there = start.elapsed();
            black_box(equal("7, 8", &format!("{text}, 9")));
            there.max(start.elapsed() - there)
        });
        println!("{:>9.3} ms  {:.50}", best.min().unwrap_or_default().as_secs_f64() * 1e3, text);
    }
}
