//! Libraries for the toy engine, and stage 4 the slow way: whole texts, every prefix encoded from scratch.

use std::collections::BTreeMap;

use stir_basis::{Action, Entry, Library, StateMean, ValueHead, normalize};
use stir_controller::{Controller, ControllerConfig, Placement, Probe, Scope, Steered, Strength, Variant};
use stir_core::{
    Addition, Delimiter, Engine, Finish, GenerateOptions, Generated, HookPoint, Output, Request, Row, SampleRng,
    Sampling, TokenId, control_points, toy::ToyEngine,
};

pub const WARM: Sampling = Sampling { temperature: 1.0, top_p: 0.9, ..Sampling::GREEDY };

pub fn max_batch(max_batch: usize) -> GenerateOptions<'static> {
    GenerateOptions { max_batch, ..GenerateOptions::default() }
}

/// One request for each prompt.
pub fn batch(prompts: &[Vec<TokenId>], max_tokens: usize, sampling: Sampling, seed: u64) -> Vec<Request> {
    Request { max_tokens, sampling, seed, ..Request::default() }.with_prompts(prompts)
}

/// Plain answers, one for each request.
pub fn plain<E: Engine>(engine: &E, requests: &[Request], batch: usize) -> Vec<Generated> {
    stir_core::generate(engine, requests, max_batch(batch)).unwrap().concat()
}

/// Prompts of 1 to `longest` random tokens that are not special.
pub fn prompts(count: usize, longest: usize, seed: u64) -> Vec<Vec<TokenId>> {
    let mut rng = SampleRng::new(seed, 7);
    (0..count).map(|_| (0..=rng.below(longest)).map(|_| rng.below(36) as TokenId).collect()).collect()
}

/// Entries whose keys lie by states that the engine visits: `wrong` of each control point steer by the difference of two
/// states, half as many, and one more
/// where `m` is odd, say to stay.
pub fn library(engine: &ToyEngine, layers: &[usize], delimiter: &str, wrong: usize, seed: u64) -> Library {
    make(engine, layers, delimiter, wrong, seed, false)
}

/// The same with entries at the end of the prompt, keys centred by means, and read-outs of success.
pub fn rich(engine: &ToyEngine, layers: &[usize], delimiter: &str, seed: u64) -> Library {
    let mut rng = SampleRng::new(seed, 9);
    let mut head = |layer| ValueHead {
        layer,
        weights: (0..10).map(|_| 0.3 * rng.normal() as f32).collect(),
        bias: 0.1,
        auc: (layer == 1).then_some(0.6),
    };
    make(engine, layers, delimiter, 8, seed, true).with_heads(vec![head(2), head(1), head(0)]).unwrap()
}

fn make(engine: &ToyEngine, layers: &[usize], delimiter: &str, wrong: usize, seed: u64, rich: bool) -> Library {
    let delimiter = Delimiter::new(delimiter).unwrap();
    let sources = prompts(24, 6, seed + 100);
    let points: Vec<_> = layers.iter().map(|&layer| HookPoint::ResidPost(layer)).collect();
    // States by control point, one for each layer.
    let mut states: BTreeMap<usize, Vec<Vec<Vec<f32>>>> = BTreeMap::new();
    for (prompt, answer) in sources.iter().zip(plain(engine, &batch(&sources, 60, WARM, seed), 8)) {
        for point in control_points(engine.vocab(), &delimiter, &answer.tokens) {
            let tokens = [prompt, &answer.tokens[..=point.token]].concat();
            states.entry(point.m).or_default().push(encode(engine, &tokens, &[], &points).captures);
        }
    }
    if rich {
        let read = |prompt: &Vec<TokenId>| encode(engine, prompt, &[], &points).captures;
        states.insert(0, sources.iter().map(read).collect());
    }
    let mut rng = SampleRng::new(seed, 8);
    let (mut entries, mut means) = (Vec::new(), Vec::new());
    for (m, states) in states {
        for (slot, &layer) in layers.iter().enumerate().filter(|_| rich) {
            let sum = |d: usize| states.iter().map(|state| state[slot][d]).sum::<f32>();
            let mean = (0..10).map(|d| sum(d) / states.len() as f32).collect();
            means.push(StateMean { layer, m, count: states.len() as u64, mean });
        }
        for i in 0..wrong + wrong / 2 + m % 2 {
            let slot = rng.below(layers.len());
            let (at, to) = (&states[rng.below(states.len())][slot], &states[rng.below(states.len())][slot]);
            let noise = 0.3 * rng.normal() as f32;
            let delta = at.iter().zip(to).map(|(at, to)| 1.5 * (to - at) + noise).collect();
            let action = if i < wrong { Action::Steer(delta) } else { Action::Stay };
            let (problem, layer, quality) = (format!("p{i}"), layers[slot], 0.05 + rng.uniform());
            // The engine's states repeat: without a little noise many keys would tie.
            let mut key: Vec<f32> = at.iter().map(|x| x + 0.05 * rng.normal() as f32).collect();
            if let Some(mean) = means.iter().find(|mean| (mean.layer, mean.m) == (layer, m)) {
                key.iter_mut().zip(&mean.mean).for_each(|(x, mean)| *x -= mean);
            }
            let key = normalize(&key).unwrap().into();
            entries.push(Entry { problem, m, layer, quality, key, action, ..Entry::default() });
        }
    }
    let library = Library::from_entries(engine.fingerprint().clone(), entries).unwrap();
    library.with_delimiter(delimiter).with_means(means).unwrap()
}

pub fn steer<E: Engine>(
    engine: &E,
    library: &Library,
    config: &ControllerConfig,
    prompts: &[Vec<TokenId>],
    max_tokens: usize,
    sampling: Sampling,
    batch_size: usize,
) -> Vec<Steered> {
    let controller = Controller::new(library.clone(), engine.fingerprint(), config.clone()).unwrap();
    let requests = batch(prompts, max_tokens, sampling, 3);
    controller.generate(engine, &requests, max_batch(batch_size)).unwrap().concat()
}

/// `stream(resid_post.layer, position) += scale * vector`.
#[derive(Clone)]
pub struct Impulse {
    pub layer: usize,
    pub position: usize,
    pub vector: Vec<f32>,
    pub scale: f32,
}

/// One pass over a whole text in a session of its own.
pub fn encode<E: Engine>(engine: &E, tokens: &[TokenId], impulses: &[Impulse], capture: &[HookPoint]) -> Output {
    let additions = impulses
        .iter()
        .map(|i| Addition {
            point: HookPoint::ResidPost(i.layer),
            position: i.position,
            vector: &i.vector,
            scale: i.scale,
        })
        .collect();
    let row = Row { session: &mut engine.session(), tokens, additions, capture, logits: true };
    engine.forward(&mut [row]).unwrap().remove(0)
}

#[derive(Debug, Default)]
pub struct SlowStep {
    pub segment: usize,
    pub chosen: Option<usize>,
    pub scale: f64,
    pub score: f64,
    pub null_score: f64,
    pub tokens: usize,
    /// Entry and similarity.
    pub retrieved: Vec<(usize, f64)>,
    /// Entry, advantage, similarity, gain, score.
    pub candidates: Vec<(usize, [f64; 4])>,
}

#[derive(Debug, Default)]
pub struct Slow {
    pub tokens: Vec<TokenId>,
    pub log_probs: Vec<f64>,
    pub probe_tokens: usize,
    pub eos: bool,
    pub steps: Vec<SlowStep>,
}

/// The method for one sequence, number `sequence` of a call with seed 3.
pub struct Reference<'a, E> {
    pub engine: &'a E,
    pub library: &'a Library,
    pub config: &'a ControllerConfig,
    pub prompt: &'a [TokenId],
    pub sampling: Sampling,
    pub sequence: u64,
}

impl<E: Engine> Reference<'_, E> {
    pub fn run(&self, max_tokens: usize) -> Slow {
        let config = self.config;
        let budget = max_tokens.min(self.engine.shape().max_context - self.prompt.len());
        let mut rng = SampleRng::new(3, self.sequence);
        let (mut slow, mut past) = (Slow::default(), Vec::new());
        let mut current = self.act(0, &mut slow, &past);
        let mut m = 0;
        while slow.tokens.len() < budget {
            let text = self.text(&slow.tokens);
            let impulses = [&past[..], &self.spread(&current, text.len())].concat();
            let logits = encode(self.engine, &text, &impulses, &[]).logits;
            let token = match self.sampling.is_greedy() {
                true => argmax(&logits),
                false => self.sampling.pick(&logits, &self.text(&slow.tokens), &mut rng).unwrap().token,
            };
            slow.log_probs.push(log_prob(&logits, token));
            slow.tokens.push(token);
            slow.steps.last_mut().unwrap().tokens += 1;
            slow.eos = self.engine.vocab().is_eos(token);
            if slow.eos || slow.tokens.len() == budget {
                break;
            }
            let now = self.delimiters(&slow.tokens);
            if now == m {
                continue;
            }
            let before = std::mem::replace(&mut m, now);
            if before >= config.max_control_points {
                continue;
            }
            if config.scope == Scope::Persistent {
                past.extend(self.spread(&current, self.text(&slow.tokens).len() - 1));
            }
            current = self.act(m, &mut slow, &past);
        }
        slow
    }

    /// Decides at control point `m`.
    fn act(&self, m: usize, slow: &mut Slow, past: &[Impulse]) -> Option<Impulse> {
        let config = self.config;
        let bounds = config.min_m.unwrap_or(0)..=config.max_m.unwrap_or(usize::MAX);
        let mut step = SlowStep { segment: m + 1, ..SlowStep::default() };
        let at_all = (m > 0 || config.at_prompt) && m < config.max_control_points && bounds.contains(&m);
        let current = match config.variant {
            Variant::NoMemory => None,
            _ if !at_all => None,
            Variant::StaticVector => self.constant(&slow.tokens, past, &mut step),
            _ => self.choose(m, &mut slow.probe_tokens, &slow.tokens, past, &mut step),
        };
        slow.steps.push(step);
        current
    }

    /// What an impulse adds to the tokens before position `end`.
    fn spread(&self, impulse: &Option<Impulse>, end: usize) -> Vec<Impulse> {
        let Some(impulse) = impulse else { return Vec::new() };
        let factor = |t: usize| match self.config.placement {
            Placement::Segment { decay } => decay.powf(t as f64),
            _ => f64::from(u8::from(t == 0)),
        };
        let at = |position: usize| {
            let scale = (f64::from(impulse.scale) * factor(position - impulse.position)) as f32;
            Impulse { position, scale, ..impulse.clone() }
        };
        (impulse.position..end).map(at).collect()
    }

    /// The scale of a vector that would have the published one.
    fn scale(&self, published: f64, vector: &[f32], state: &[f32]) -> f64 {
        let length = |x: &[f32]| x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        let share = |share: f64| share * length(state) / length(vector);
        match self.config.strength {
            Strength::Clipped(most) if published > share(most) => share(most),
            Strength::Relative(always) => share(always),
            _ => published,
        }
    }

    fn text(&self, generated: &[TokenId]) -> Vec<TokenId> {
        [self.prompt, generated].concat()
    }

    fn delimiters(&self, generated: &[TokenId]) -> usize {
        self.engine.vocab().text(generated).matches(self.library.delimiter().as_str()).count()
    }

    fn constant(&self, generated: &[TokenId], past: &[Impulse], step: &mut SlowStep) -> Option<Impulse> {
        let entries = self.library.entries();
        let layer = entries.iter().filter(|e| e.vector().is_some()).map(|e| e.layer).min().unwrap();
        let vectors: Vec<_> = entries.iter().filter(|e| e.layer == layer).filter_map(|e| e.vector()).collect();
        let mean = |d: usize| vectors.iter().map(|v| f64::from(v[d])).sum::<f64>() / vectors.len() as f64;
        let vector: Vec<f32> = (0..vectors[0].len()).map(|d| mean(d) as f32).collect();
        let text = self.text(generated);
        let state = encode(self.engine, &text, past, &[HookPoint::ResidPost(layer)]).captures.remove(0);
        step.scale = self.scale(self.config.k_scale, &vector, &state);
        Some(Impulse { layer, position: text.len() - 1, vector, scale: step.scale as f32 })
    }

    /// Steps 1 to 4 at control point `m`; fills in the log.
    fn choose(
        &self,
        m: usize,
        probe_tokens: &mut usize,
        generated: &[TokenId],
        past: &[Impulse],
        step: &mut SlowStep,
    ) -> Option<Impulse> {
        let (config, text) = (self.config, self.text(generated));
        let here: Vec<_> = self.library.entries().iter().enumerate().filter(|(_, e)| e.m == m).collect();
        if here.len() < config.min_entries || here.is_empty() {
            return None;
        }
        let state = |layer: usize| encode(self.engine, &text, past, &[HookPoint::ResidPost(layer)]).captures.remove(0);
        let similarity = |layer: usize, key: &[f32]| {
            let mut state = state(layer);
            if let Some(mean) = self.library.means().iter().find(|mean| (mean.layer, mean.m) == (layer, m)) {
                state.iter_mut().zip(&mean.mean).for_each(|(x, mean)| *x -= mean);
            }
            cosine(&state, key)
        };
        let mut near: Vec<_> = here.iter().map(|(i, e)| (*i, similarity(e.layer, &e.key), *e)).collect();
        near.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap());
        near.truncate(config.retrieve);
        if near[0].1 < config.min_similarity {
            return None;
        }
        step.retrieved = near.iter().map(|(i, s, _)| (*i, *s)).collect();
        let right = near.iter().filter(|(_, _, e)| e.action == Action::Stay).map(|(_, s, e)| s * e.quality);
        step.null_score = config.beta * right.fold(0.0, f64::max);
        step.score = step.null_score;

        let mut wrong: Vec<_> = near.into_iter().filter(|(_, _, e)| e.action != Action::Stay).collect();
        let rank = |(_, s, e): &(usize, f64, &Entry)| (s * e.quality, *s, e.quality);
        wrong.sort_by(|a, b| rank(b).partial_cmp(&rank(a)).unwrap());
        wrong.truncate(config.candidates);
        if wrong.is_empty() {
            return None;
        }
        let impulse = |entry: &Entry, published: f64| {
            let vector = entry.vector().unwrap().to_vec();
            let scale = self.scale(published, &vector, &state(entry.layer)) as f32;
            Impulse { layer: entry.layer, position: text.len() - 1, vector, scale }
        };
        let mut probe = |added: Option<Impulse>| {
            let probed = self.probe(generated, past, &added);
            *probe_tokens += probed.0.len();
            probed
        };
        let mean = |xs: &[f64]| xs.iter().sum::<f64>() / xs.len() as f64;
        let probing = config.variant != Variant::NoProbing;
        let null = if probing { probe(None) } else { Default::default() };
        for (i, s, entry) in &wrong {
            let gain = match config.probe {
                _ if !probing => 0.0,
                Probe::Value => {
                    let (values, at) = (probe(Some(impulse(entry, 1.0))).1, null.1.len() - 1);
                    let at = at.min(values.len() - 1);
                    values[at] - null.1[at]
                }
                _ => mean(&probe(Some(impulse(entry, 1.0))).0) - mean(&null.0),
            };
            let advantage = s * entry.quality;
            step.candidates.push((*i, [advantage, *s, gain, config.beta * advantage + config.rho * gain]));
        }
        let mut best = None;
        for i in 0..step.candidates.len() {
            let enough = config.min_gain.is_none_or(|least| step.candidates[i].1[2] >= least);
            if enough && best.is_none_or(|best: usize| step.candidates[i].1[3] > step.candidates[best].1[3]) {
                best = Some(i);
            }
        }
        let best = best?;
        let score = step.candidates[best].1[3];
        let chosen = impulse(wrong[best].2, config.k_scale * score);
        let scale = f64::from(chosen.scale);
        if score - step.null_score <= 1e-12 || score < config.tau_null || scale <= 0.0 {
            return None;
        }
        (step.chosen, step.score, step.scale) = (Some(wrong[best].0), score, scale);
        Some(chosen)
    }

    /// The log-probabilities of the tokens of a probe, and the values at the tokens that it encodes.
    fn probe(&self, generated: &[TokenId], past: &[Impulse], added: &Option<Impulse>) -> (Vec<f64>, Vec<f64>) {
        let (mut tokens, mut log_probs, mut values) = (generated.to_vec(), Vec::new(), Vec::new());
        let start = self.delimiters(generated);
        let head = self.library.heads().iter().find(|head| head.auc.is_some());
        while log_probs.len() < self.config.probe_tokens && self.text(&tokens).len() < self.engine.shape().max_context {
            let text = self.text(&tokens);
            let impulses = [past, &self.spread(added, text.len())].concat();
            let points: Vec<_> = head.iter().map(|head| HookPoint::ResidPost(head.layer)).collect();
            let Output { logits, captures } = encode(self.engine, &text, &impulses, &points);
            if let Some(ValueHead { weights, bias, .. }) = head {
                let sum: f64 = weights.iter().zip(&captures[0]).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
                values.push(1.0 / (1.0 + (-sum - f64::from(*bias)).exp()));
            }
            let token = argmax(&logits);
            tokens.push(token);
            log_probs.push(log_prob(&logits, token));
            if self.engine.vocab().is_eos(token) || self.delimiters(&tokens) > start {
                break;
            }
        }
        (log_probs, values)
    }
}

fn argmax(logits: &[f32]) -> TokenId {
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    logits.iter().position(|&x| x == largest).unwrap() as TokenId
}

fn log_prob(logits: &[f32], token: TokenId) -> f64 {
    let total: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
    f64::from(logits[token as usize]) - total.ln()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
}

/// Checks that the controller did what the reference does.
#[track_caller]
pub fn assert_same(found: &Steered, slow: &Slow) {
    assert_eq!(found.generated.tokens, slow.tokens);
    assert_eq!(found.probe_tokens, slow.probe_tokens);
    assert_eq!(found.generated.finish, if slow.eos { Finish::Eos } else { Finish::Length });
    assert_eq!(found.generated.log_probs.len(), slow.log_probs.len());
    found.generated.log_probs.iter().zip(&slow.log_probs).for_each(|(&found, &slow)| near(f64::from(found), slow));
    assert_eq!(found.non_finite, 0);
    assert_eq!(found.steps.len(), slow.steps.len());
    for (found, slow) in found.steps.iter().zip(&slow.steps) {
        assert_eq!((found.segment, found.chosen, found.tokens), (slow.segment, slow.chosen, slow.tokens));
        near(found.score, slow.score);
        near(found.null_score, slow.null_score);
        near(f64::from(found.scale), slow.scale);
        let retrieved: Vec<_> = found.retrieved.iter().map(|r| r.entry).collect();
        assert_eq!(retrieved, slow.retrieved.iter().map(|r| r.0).collect::<Vec<_>>());
        found.retrieved.iter().zip(&slow.retrieved).for_each(|(f, s)| near(f64::from(f.similarity), s.1));
        assert_eq!(found.candidates.len(), slow.candidates.len());
        for (found, (entry, [advantage, similarity, gain, score])) in found.candidates.iter().zip(&slow.candidates) {
            assert_eq!(found.entry, *entry);
            near(found.advantage, *advantage);
            near(f64::from(found.similarity), *similarity);
            near(found.gain, *gain);
            near(found.score, *score);
        }
    }
}
