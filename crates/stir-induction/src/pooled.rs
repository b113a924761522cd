//! Contrasts that are pooled over all problems: one vector for each layer, whatever the state.

use std::{collections::HashSet, mem};

use stir_basis::Pair;
use stir_core::{Delimiter, HookPoint, Text, TokenId, Vocab, control_points};
use stir_rollout::{Rollout, RolloutError};

use crate::{
    Contrast, InductionConfig, InductionError, InductionReport,
    answers::{Answer, each_answer},
    contrast::Member,
    divergence::{MEASURED, bounded},
};

/// What a segment contains that checks what was done, in lower case.
const REFLECTION: [&str; 8] =
    ["verify", "make sure", "hold on", "think again", "'s correct", "'s incorrect", "let me check", "seems right"];

/// What a segment contains that turns to another way, in lower case.
const TRANSITION: [&str; 7] = [
    "think differently",
    "another way",
    "another approach",
    "another method",
    "another solution",
    "another strategy",
    "another technique",
];

/// What such segments begin with, in lower case.
const OPENINGS: [&str; 2] = ["wait", "alternatively"];

/// Mines one pair for each layer.
pub(crate) fn mine<E: Text>(
    engine: &E,
    rollouts: impl Iterator<Item = Result<Vec<Rollout>, RolloutError>>,
    config: &InductionConfig,
    layers: &[usize],
) -> Result<(Vec<Pair>, InductionReport), InductionError<E::Error>> {
    let points: Vec<HookPoint> = layers.iter().map(|&layer| HookPoint::ResidPost(layer)).collect();
    let by_length = matches!(config.contrast, Contrast::Length { .. });
    let wanted = |members: &[Member]| match by_length {
        true => halves(members).map_or_else(Vec::new, |(short, long)| [short, long].concat()),
        false => (0..members.len()).collect(),
    };
    let mut sums = Sums { found: vec![0; config.max_control_points], ..Sums::default() };
    let passed = each_answer(engine, rollouts, config, &points, wanted, |answer| match by_length {
        true => sums.add_by_length(answer),
        false => sums.add_by_thought(engine.vocab(), &config.delimiter, &answer),
    })?;
    let mut pairs = Vec::new();
    for (slot, &layer) in layers.iter().enumerate() {
        let (Some(mu_plus), Some(mu_minus)) = (sums.plus.mean(slot), sums.minus.mean(slot)) else { break };
        let (problem, quality) = (String::new(), 1.0);
        let mut pair = Pair { problem, m: 1, layer, quality, mu_plus, mu_minus, ..Pair::default() };
        if let Contrast::Length { max_kl: Some(bound) } | Contrast::Thoughts { max_kl: Some(bound) } = config.contrast {
            let delta = pair.delta();
            let scale = bounded(engine, &sums.starts, layer, &delta, bound, config.max_batch)
                .map_err(InductionError::Engine)?;
            pair.mu_plus = pair.mu_minus.iter().zip(&delta).map(|(x, d)| x + scale * d).collect();
        }
        pairs.push(pair);
    }
    let report = InductionReport {
        problems: passed.problems,
        rollouts: passed.rollouts,
        with_contrast: sums.problems.len(),
        found: sums.found,
        kept: pairs.len(),
        encoded_rollouts: passed.encoded_rollouts,
        encoded_tokens: passed.encoded_tokens,
        skipped: passed.skipped,
        complete: true,
        ..InductionReport::default()
    };
    Ok((pairs, report))
}

/// Returns the shorter and the longer half of the right answers that have a segment's end; `None` if they do not differ.
fn halves(members: &[Member]) -> Option<(Vec<usize>, Vec<usize>)> {
    let fits = |&i: &usize| members[i].correct && !members[i].boundaries.is_empty();
    let mut right: Vec<usize> = (0..members.len()).filter(fits).collect();
    right.sort_by_key(|&i| members[i].tokens.len());
    let half = right.len() / 2;
    let long = right.split_off(right.len() - half);
    right.truncate(half);
    let length = |side: &[usize]| side.iter().map(|&i| members[i].tokens.len()).sum::<usize>();
    (length(&right) < length(&long)).then_some((right, long))
}

/// Returns whether a segment carries the solution on, rather than checking it or turning to another way.
fn executes(segment: &str) -> bool {
    let text = segment.trim().to_lowercase();
    !OPENINGS.iter().any(|opening| text.starts_with(opening))
        && !REFLECTION.iter().chain(&TRANSITION).any(|mark| text.contains(mark))
}

/// The states of both sides.
#[derive(Default)]
struct Sums {
    plus: Sum,
    minus: Sum,
    /// Answers of a problem of which some are still missing.
    open: Vec<Answer>,
    /// Problems that contribute.
    problems: HashSet<usize>,
    /// Contrasts, or states, at each control point.
    found: Vec<usize>,
    /// Where the divergence of a vector can be measured.
    starts: Vec<Vec<TokenId>>,
}

impl Sums {
    /// Once all its chosen answers are there, contrasts the short and the long answers of a problem at every control
    /// point that both reach; each contrast counts once.
    fn add_by_length(&mut self, answer: Answer) {
        let (problem, wanted) = (answer.problem, answer.chosen);
        // The problem before it may lack an answer for good.
        self.open.retain(|open| open.problem == problem);
        self.open.push(answer);
        if self.open.len() < wanted {
            return;
        }
        let mut answers = mem::take(&mut self.open);
        answers.sort_by_key(|answer| (answer.member.tokens.len(), answer.sample));
        let (short, long) = answers.split_at(answers.len() / 2);
        for m in 1..=self.found.len() {
            let side = |answers: &[Answer]| {
                let mut sum = Sum::default();
                answers.iter().filter_map(|answer| answer.at(m)).for_each(|states| sum.add(states));
                sum
            };
            let (short, long) = (side(short), side(long));
            if short.count == 0 || long.count == 0 {
                break;
            }
            self.plus.merge(short);
            self.minus.merge(long);
            self.found[m - 1] += 1;
            self.problems.insert(problem);
        }
        if let Some(longest) = answers.last() {
            self.start(longest);
        }
    }

    /// Adds the state at which each segment but the first begins to the side of what the segment does.
    fn add_by_thought(&mut self, vocab: &Vocab, delimiter: &Delimiter, answer: &Answer) {
        let Member { tokens, boundaries, .. } = &answer.member;
        // The segment after the last control point that counts ends at one more.
        let ends = control_points(vocab, delimiter, tokens);
        for (token, states) in &answer.states {
            let end = ends.iter().find(|end| end.token > *token).map_or(tokens.len(), |end| end.token + 1);
            let executes = executes(&vocab.text(&tokens[token + 1..end]));
            if executes { &mut self.plus } else { &mut self.minus }.add(states);
            let m = boundaries.iter().position(|boundary| boundary == token).unwrap_or_default();
            self.found[m] += 1;
            self.problems.insert(answer.problem);
        }
        self.start(answer);
    }

    fn start(&mut self, answer: &Answer) {
        if self.starts.len() < MEASURED
            && let Some(&boundary) = answer.member.boundaries.first()
        {
            self.starts.push([&answer.prompt[..], &answer.member.tokens[..=boundary]].concat());
        }
    }
}

impl Answer {
    /// Returns the states at control point `m`, if the answer reaches it.
    fn at(&self, m: usize) -> Option<&Vec<Vec<f32>>> {
        let token = self.member.boundaries.get(m - 1)?;
        self.states.iter().find(|(place, _)| place == token).map(|(_, states)| states)
    }
}

/// A sum of states, `[layers, hidden_size]`.
#[derive(Default)]
struct Sum {
    count: usize,
    states: Vec<Vec<f64>>,
}

impl Sum {
    fn add(&mut self, states: &[Vec<f32>]) {
        self.count += 1;
        self.states.resize_with(states.len(), Vec::new);
        for (sum, state) in self.states.iter_mut().zip(states) {
            sum.resize(state.len(), 0.0);
            sum.iter_mut().zip(state).for_each(|(sum, x)| *sum += f64::from(*x));
        }
    }

    /// Adds the mean of another sum.
    fn merge(&mut self, other: Self) {
        let states: Vec<Vec<f32>> = (0..other.states.len()).filter_map(|slot| other.mean(slot)).collect();
        self.add(&states);
    }

    /// Returns the mean at a layer, `[hidden_size]`; `None` of nothing.
    fn mean(&self, slot: usize) -> Option<Vec<f32>> {
        let sum = self.states.get(slot)?;
        Some(sum.iter().map(|sum| (sum / self.count as f64) as f32).collect())
    }
}
