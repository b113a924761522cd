//! Measures of this engine alone: what our own way of driving it costs.

use std::time::Instant;

use stir::{
    core::{Engine, GenerateOptions, Request, Row, SampleRng, Sampling, Session, TokenId, generate},
    model::Lm,
};

use crate::{best, prompt, start, steering, step};

/// Prints the table.
pub fn table(lm: &Lm, only: &[String], lanes: &[usize], scale: f64, rounds: usize) {
    println!("| measure | | value |\n|---|---|---:|");
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    if wanted("mixed") {
        mixed(lm, scale, rounds);
    }
    if wanted("rollouts") {
        rollouts(lm, scale, rounds);
    }
    if wanted("hooks") {
        hooks(lm, rounds);
    }
    if wanted("steering") {
        for &lanes in lanes {
            steering::overhead(lm, lanes, scale, rounds);
        }
    }
    if wanted("control") {
        steering::control_point(lm, rounds);
    }
}

/// Prints a line of the table.
pub fn line(measure: &str, what: &str, value: String) {
    println!("| {measure} | {what} | {value} |");
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
}

/// Returns what each of `measures` gives in each of `rounds` in which they take turns, after one in which they warm up.
pub fn turns<const N: usize>(rounds: usize, mut measures: [&mut dyn FnMut() -> f64; N]) -> Vec<[f64; N]> {
    measures.iter_mut().for_each(|measure| _ = measure());
    (0..rounds).map(|_| measures.each_mut().map(|measure| measure())).collect()
}

/// The median over the rounds of `value` of what was measured in a round. A ratio of what was measured one right after
/// the other is steadier than one of medians: machines have slow and fast minutes.
pub fn over<const N: usize>(turns: &[[f64; N]], value: impl Fn(&[f64; N]) -> f64) -> f64 {
    median(turns.iter().map(value).collect())
}

pub fn seconds<T>(run: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    std::hint::black_box(run());
    start.elapsed().as_secs_f64()
}

fn scaled(tokens: usize, scale: f64) -> usize {
    ((tokens as f64 * scale).round() as usize).max(1)
}

/// Answers of many lengths against answers of one, in 8 lanes.
fn mixed(lm: &Lm, scale: f64, rounds: usize) {
    let mut rng = SampleRng::new(1, 0);
    let lengths: Vec<usize> = (0..64).map(|_| scaled(20 + rng.below(381), scale)).collect();
    let mean = (lengths.iter().sum::<usize>() as f64 / 64.0).round() as usize;
    let requests = |length: &dyn Fn(usize) -> usize| -> Vec<Request> {
        let request = |i| Request { max_tokens: length(i), sampling: Sampling::GREEDY, ..Request::new(prompt(i, 16)) };
        (0..64).map(request).collect()
    };
    let rate = |requests: &[Request]| {
        let start = Instant::now();
        let answers = generate(lm, requests, GenerateOptions { max_batch: 8, ..GenerateOptions::default() }).unwrap();
        answers.iter().flatten().map(|answer| answer.tokens.len()).sum::<usize>() as f64 / start.elapsed().as_secs_f64()
    };
    let (of_many, of_one) = (requests(&|i| lengths[i]), requests(&|_| mean));
    let turns = turns(rounds, [&mut || rate(&of_many), &mut || rate(&of_one)]);
    let (many, one) = (over(&turns, |t| t[0]), over(&turns, |t| t[1]));
    let (least, most) = (lengths.iter().min().unwrap(), lengths.iter().max().unwrap());
    let measure = "64 answers, 8 lanes";
    line(measure, &format!("lengths {least} to {most}"), format!("{many:.1} tokens/s"));
    line(measure, &format!("all {mean} long"), format!("{one:.1} tokens/s"));
    line(measure, "mixed / equal", format!("{:.3}", over(&turns, |t| t[0] / t[1])));
}

/// Eight samples of one prompt against the least that they need: one encoding of it, and that many steps of 8 lanes.
fn rollouts(lm: &Lm, scale: f64, rounds: usize) {
    let (prompt, tokens) = (prompt(0, 500), scaled(128, scale));
    let request =
        Request { samples: 8, max_tokens: tokens, sampling: Sampling::GREEDY, ..Request::new(prompt.clone()) };
    let (base, _) = start(lm, 1, 500);
    let options = GenerateOptions { max_batch: 8, ..GenerateOptions::default() };
    let all = || seconds(|| generate(lm, std::slice::from_ref(&request), options).unwrap());
    let prefill = || seconds(|| start(lm, 1, 500));
    let decode = || {
        let mut sessions: Vec<_> = (0..8).map(|_| base[0].fork()).collect();
        // The first of the tokens comes from the prefill.
        let mut last = vec![prompt[0]; 8];
        seconds(|| (1..tokens).for_each(|_| last = best(&step(lm, &mut sessions, &last))))
    };
    let turns = turns(rounds, [&mut { all }, &mut { prefill }, &mut { decode }]);
    let [all, prefill, decode] = [0, 1, 2].map(|i| over(&turns, |t| t[i]));
    let measure = format!("8 samples of {tokens} tokens, prompt of 500");
    line(&measure, "one request", format!("{all:.2} s"));
    line(&measure, "prefill + decoding of 8 lanes", format!("{prefill:.2} + {decode:.2} s"));
    line(&measure, "request / (prefill + decode)", format!("{:.3}", over(&turns, |t| t[0] / (t[1] + t[2]))));
}

/// A step of decoding with unused hook points against one through a decoder that has none. One lane, many
/// short turns: what is looked for is small.
fn hooks(lm: &Lm, rounds: usize) {
    let (mut base, _) = start(lm, 1, 32);
    let base = base.remove(0);
    let tokens = prompt(0, 1);
    let turns = turns(
        20 * rounds,
        [&mut || seconds(|| append(lm, &mut base.fork(), &tokens)), &mut || {
            seconds(|| lm.forward_without_hooks(&mut base.fork(), &tokens).unwrap())
        }],
    );
    line("hook points, one lane", "idle / none", format!("{:.4}", over(&turns, |t| t[0] / t[1])));
}

/// One pass of one row with nothing but tokens and logits; appends to `session`.
pub fn append<E: Engine>(engine: &E, session: &mut E::Session, tokens: &[TokenId]) -> Vec<f32> {
    let row = Row { session, tokens, additions: vec![], capture: &[], logits: true };
    engine.forward(&mut [row]).unwrap().remove(0).logits
}
