//! Contrasts that are pooled over all problems: one vector for each layer, whatever the state.

use std::{collections::HashSet, mem};

use stir_basis::Pair;
use stir_core::{
    Delimiter, GenerateOptions, Generated, HookPoint, Request, Text, TokenId, Vocab, control_points, generate,
};
use stir_rollout::{Rollout, RolloutError, sample_stream};

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
    let stable = match config.contrast {
        Contrast::Thoughts { stable, .. } => stable,
        _ => None,
    };
    let mut sums = Sums { found: vec![0; config.max_control_points], ..Sums::default() };
    let (mut unstable, mut failed) = (0, None);
    let mut passed = each_answer(engine, rollouts, config, &points, wanted, |answer| {
        if by_length {
            sums.add_by_length(answer);
            return;
        }
        let mut thoughts = thoughts(engine.vocab(), &config.delimiter, &answer);
        if let Some(share) = stable.filter(|_| failed.is_none()) {
            let before = thoughts.len();
            failed = keep_stable(engine, config, share, &answer, &mut thoughts).err();
            unstable += before - thoughts.len();
        }
        sums.add_thoughts(&answer, &thoughts);
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    passed.skipped.unstable = unstable;
    let mut pairs = Vec::new();
    for (slot, &layer) in layers.iter().enumerate() {
        let (Some(mu_plus), Some(mu_minus)) = (sums.plus.mean(slot), sums.minus.mean(slot)) else { break };
        let (problem, quality) = (String::new(), 1.0);
        let mut pair = Pair { problem, m: 1, layer, quality, mu_plus, mu_minus, ..Pair::default() };
        if let Contrast::Length { max_kl: Some(bound) } | Contrast::Thoughts { max_kl: Some(bound), .. } =
            config.contrast
        {
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

/// A boundary of an answer, and what the segment after it does.
struct Thought {
    /// The index of the boundary token.
    token: usize,
    executes: bool,
}

/// Returns the boundaries whose states were read.
fn thoughts(vocab: &Vocab, delimiter: &Delimiter, answer: &Answer) -> Vec<Thought> {
    let tokens = &answer.member.tokens;
    // The segment after the last control point that counts ends at one more.
    let ends = control_points(vocab, delimiter, tokens);
    let thought = |&(token, _): &(usize, _)| {
        let end = ends.iter().find(|end| end.token > token).map_or(tokens.len(), |end| end.token + 1);
        Thought { token, executes: executes(&vocab.text(&tokens[token + 1..end])) }
    };
    answer.states.iter().map(thought).collect()
}

/// Segments drawn anew from a boundary, as many as in the paper.
const RESAMPLES: usize = 10;

/// The longest of these segments, in tokens: what it does shows long before.
const LONGEST: usize = 128;

/// Keeps the boundaries from which at least the given share of segments drawn anew are of the kind of the one that
/// followed.
fn keep_stable<E: Text>(
    engine: &E,
    config: &InductionConfig,
    share: f64,
    answer: &Answer,
    thoughts: &mut Vec<Thought>,
) -> Result<(), InductionError<E::Error>> {
    let room = engine.shape().max_context;
    let request = |thought: &Thought| {
        let prompt = [&answer.prompt[..], &answer.member.tokens[..=thought.token]].concat();
        // Numbers of their own for every boundary, whatever the batch.
        let place = format!("{}/{}/{}", answer.problem, answer.sample, thought.token);
        Request {
            max_tokens: LONGEST.min(room - prompt.len()),
            stop: vec![config.delimiter.as_str().to_owned()],
            samples: RESAMPLES,
            stream: sample_stream(&place, 0),
            ..Request::new(prompt)
        }
    };
    // A boundary at the end of the context has no segment after it.
    thoughts.retain(|thought| answer.prompt.len() + thought.token + 1 < room);
    let requests: Vec<Request> = thoughts.iter().map(request).collect();
    let options = GenerateOptions { max_batch: config.max_batch, ..GenerateOptions::default() };
    let drawn = generate(engine, &requests, options).map_err(InductionError::Resampling)?;
    let mut drawn = drawn.into_iter();
    thoughts.retain(|thought| {
        let segments = drawn.next().unwrap_or_default();
        let alike = |segment: &&Generated| executes(&segment.text(engine.vocab())) == thought.executes;
        segments.iter().filter(alike).count() as f64 >= share * RESAMPLES as f64
    });
    Ok(())
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
    fn add_thoughts(&mut self, answer: &Answer, thoughts: &[Thought]) {
        for Thought { token, executes } in thoughts {
            let states = answer.states.iter().filter(|(place, _)| place == token);
            let side = if *executes { &mut self.plus } else { &mut self.minus };
            states.for_each(|(_, states)| side.add(states));
            let m = answer.member.boundaries.iter().position(|boundary| boundary == token).unwrap_or_default();
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
