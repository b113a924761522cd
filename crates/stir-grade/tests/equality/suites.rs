//! Suites of other graders, and the gold answers of MATH-500.

use std::collections::{BTreeMap, BTreeSet};

use rand::{SeedableRng, rngs::ChaCha8Rng, seq::IndexedRandom};
use stir_grade::{
    Judge, MathJudge,
    Verdict::Equal,
    equality::{Options, equal},
};

use super::common::{answer, boxes, shared_rows};

/// Runs a suite of pairs with verdicts; says where it disagrees and returns how many rows there are and how many agree.
fn suite(name: &str, options: &Options) -> (usize, usize) {
    let rows = shared_rows(&format!("grader_cases/{name}"));
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
    (rows.len(), agree)
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn suites_of_other_graders_agree() {
    let (rows, agree) = suite("math_verify_half.jsonl", &Options::default());
    assert!(agree * 100 >= rows * 95, "{agree} of {rows}");
    // This suite holds lists for ordered; without that option two of its rows come out the other way.
    let (rows, agree) = suite("hendrycks_math.jsonl", &Options { ordered_lists: true, ..Options::default() });
    assert_eq!(agree, rows);
    let (rows, agree) = suite("hendrycks_math.jsonl", &Options::default());
    assert_eq!(agree + 2, rows);
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn solutions_of_math_500_are_right() {
    let rows = shared_rows("math500/test.jsonl");
    for row in &rows {
        let boxes = boxes(row["solution"].as_str().unwrap());
        let grade = equal(row["answer"].as_str().unwrap(), boxes.last().unwrap().2);
        assert_eq!(grade.verdict, Equal, "{}: {grade:?}", row["answer"]);
    }
    assert_eq!(rows.len(), 500);
}

/// Pairs of gold answers, as often as they come, that are not spelled alike.
fn random_pairs<'a>(answers: &[&'a str], seed: u64) -> Vec<(&'a str, &'a str)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let pairs = std::iter::repeat_with(|| (*answers.choose(&mut rng).unwrap(), *answers.choose(&mut rng).unwrap()));
    pairs.filter(|(a, b)| a != b).take(20_000).collect()
}

/// The rules that call pairs equal, and how many.
fn equals(pairs: &[(&str, &str)], options: &Options) -> BTreeMap<String, usize> {
    let mut rules = BTreeMap::new();
    for (gold, pred) in pairs {
        let grade = options.equal(gold, pred);
        if grade.verdict == Equal {
            *rules.entry(grade.rule).or_default() += 1;
        }
    }
    rules
}

/// Counts those that are not of the rules for what is spelled in another way (`number`, `identical`), and not of those
/// for what one answer leaves out (a unit, a degree sign, a name).
fn others(rules: &BTreeMap<String, usize>) -> usize {
    let same = ["identical", "number", "degrees", "unit", "assignment"];
    rules.iter().filter(|(rule, _)| !same.contains(&rule.as_str())).map(|(_, count)| count).sum()
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn different_golds_of_math_500_are_different() {
    let rows = shared_rows("math500/test.jsonl");
    let answers: Vec<&str> = rows.iter().map(|row| row["answer"].as_str().unwrap()).collect();
    let golds: BTreeSet<&str> = answers.iter().copied().collect();
    let every: Vec<(&str, &str)> =
        golds.iter().flat_map(|gold| golds.iter().map(move |pred| (*gold, *pred))).filter(|(a, b)| a != b).collect();
    let complete = Options { complete: true, ..Options::default() };
    for (options, most) in [(Options::default(), 25), (complete, 11)] {
        let rules = equals(&every, &options);
        println!("of {} pairs, complete {}: {rules:?}", every.len(), options.complete);
        assert!(rules.values().sum::<usize>() <= most && others(&rules) <= 3, "{rules:?}");
    }
    for seed in 0..5 {
        let pairs = random_pairs(&answers, seed);
        let (rules, strict) = (equals(&pairs, &Options::default()), equals(&pairs, &complete));
        println!("of {} random pairs: {rules:?}, complete {strict:?}", pairs.len());
        // Different in more than their spelling and what one of them leaves out.
        assert!(others(&rules) <= 2 && others(&strict) <= 2, "{rules:?} {strict:?}");
    }
}

/// The cost of counting what one answer leaves out: rows of the suites, and answers of real models.
#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn complete_answers_are_fewer() {
    let complete = Options { complete: true, ..Options::default() };
    for name in ["math_verify_half.jsonl", "hendrycks_math.jsonl"] {
        assert!(suite(name, &complete) <= suite(name, &Options::default()), "{name}");
    }
    let rows = shared_rows("model_outputs/math_cot_50.jsonl");
    let judge = MathJudge::default();
    let (mut lenient, mut strict) = (0, 0);
    for row in &rows {
        let gold = judge.extract(row["solution"].as_str().unwrap()).unwrap();
        for pred in row["code"].as_array().unwrap().iter().filter_map(|text| judge.extract(text.as_str().unwrap())) {
            let (there, all) = (equal(&gold, &pred).verdict, complete.equal(&gold, &pred).verdict);
            assert!(there == Equal || all != Equal, "{gold} {pred}");
            lenient += usize::from(there == Equal);
            strict += usize::from(all == Equal);
        }
    }
    println!("math_cot_50: {lenient} equal, {strict} where all that is said counts");
    assert!(strict < lenient);
}
