//! The cost of steering: in the long run, and at one control point next to the scheme that has no cache.

use stir::{
    basis::{Action, Entry, Library, normalize},
    controller::{Controller, ControllerConfig, Steered, SteeredLane},
    core::{
        Addition, Engine, GenerateOptions, Generation, HookPoint, Lane, LayerSpec, Request, Row, SampleRng, Sampling,
        Session, TokenId, argmax, generate,
    },
    model::Lm,
};

use crate::{
    own::{append, line, over, seconds, turns},
    prompt,
    segmented::Segmented,
};

const SEGMENT: usize = 50;
/// Positions of the prefix at the control point that is looked at alone.
const PREFIX: usize = 1000;

/// The content of a library's entries: half of the eight at a control point steer, half stay.
#[derive(Clone, Copy)]
enum Says {
    Steer,
    Stay,
}

fn layer(lm: &Lm) -> usize {
    LayerSpec::Depth(0.6).resolve(lm.shape().n_layers).unwrap()
}

fn greedy(prompt: Vec<TokenId>, max_tokens: usize) -> Request {
    Request { max_tokens, sampling: Sampling::GREEDY, ..Request::new(prompt) }
}

/// The residual stream after the last of `tokens`.
fn state(lm: &Lm, tokens: &[TokenId]) -> Vec<f32> {
    let capture = [HookPoint::ResidPost(layer(lm))];
    let row = Row { session: &mut lm.session(), tokens, additions: vec![], capture: &capture, logits: false };
    lm.forward(&mut [row]).unwrap().remove(0).captures.remove(0)
}

/// Eight entries at each control point, all near `state`, so that eight are retrieved and four of them probed.
///
/// Which side wins is set by the entries' qualities; the vectors are a hundredth of the state.
fn library(lm: &Lm, state: &[f32], says: Says) -> Library {
    let mut rng = SampleRng::new(2, 0);
    let size = (state.iter().map(|x| x * x).sum::<f32>() / state.len() as f32).sqrt();
    let mut entries = Vec::new();
    for (m, i) in (1..=7).flat_map(|m| (0..8).map(move |i| (m, i))) {
        let mut near =
            |share: f32| -> Vec<f32> { state.iter().map(|x| x + share * size * rng.normal() as f32).collect() };
        let key = normalize(&near(0.1)).unwrap();
        let steer = i % 2 == 0;
        let vector = near(0.5).iter().zip(state).map(|(near, x)| 0.02 * (near - x)).collect();
        let quality = match (steer, says) {
            (true, _) => 0.8,
            (false, Says::Steer) => 0.0,
            (false, Says::Stay) => 100.0,
        };
        let action = if steer { Action::Steer(vector) } else { Action::Stay };
        entries.push(Entry {
            problem: format!("p{i}"),
            m,
            layer: layer(lm),
            quality,
            key: key.into(),
            action,
            ..Entry::default()
        });
    }
    Library::from_entries(lm.fingerprint().clone(), entries).unwrap()
}

/// Tokens per second of answers of 8 segments, each control point probed, against plain decoding of the same.
pub fn overhead(lm: &Lm, lanes: usize, scale: f64, rounds: usize) {
    let segments = ((8.0 * scale).round() as usize).max(2);
    let tokens = segments * SEGMENT;
    let state = state(lm, &prompt(lanes, 32));
    let libraries = [Says::Steer, Says::Stay].map(|says| library(lm, &state, says));
    let engine = Segmented::new(lm, 32, SEGMENT, state);
    let requests: Vec<Request> = (0..lanes).map(|lane| greedy(prompt(lane, 32), tokens)).collect();
    let controller =
        |library: Library| Controller::new(library, lm.fingerprint(), ControllerConfig::default()).unwrap();
    let [steer, stay] = libraries.map(controller);
    let options = GenerateOptions { max_batch: lanes, ..GenerateOptions::default() };
    let steered = |controller: &Controller| controller.generate(&engine, &requests, options).unwrap();

    let per_second = |seconds: f64| (lanes * tokens) as f64 / seconds;
    let plain = || per_second(seconds(|| generate(&engine, &requests, options).unwrap()));
    let committed = || per_second(seconds(|| steered(&steer)));
    let left = || per_second(seconds(|| steered(&stay)));
    let turns = turns(rounds, [&mut { plain }, &mut { committed }, &mut { left }]);

    let measure = format!("steering, {lanes} lanes, {segments} segments of {SEGMENT}");
    line(&measure, "plain decoding", format!("{:.1} tokens/s", over(&turns, |t| t[0])));
    for (i, controller) in [(1, &steer), (2, &stay)] {
        let (points, probed, commits) = counts(&steered(controller));
        let what = format!("{commits} of {points} control points committed, {probed} probed");
        line(
            &measure,
            &what,
            format!("{:.1} tokens/s, {:.3} of plain", over(&turns, |t| t[i]), over(&turns, |t| t[i] / t[0])),
        );
    }
}

/// Control points, those with four candidates probed, and those with a vector committed.
fn counts(answers: &[Vec<Steered>]) -> (usize, usize, usize) {
    let steps: Vec<_> = answers.iter().flatten().flat_map(|answer| &answer.steps).filter(|s| s.segment > 1).collect();
    let probed = steps.iter().filter(|step| step.retrieved.len() == 8 && step.candidates.len() == 4).count();
    (steps.len(), probed, steps.iter().filter(|step| step.steered()).count())
}

/// One control point, from the token that ends the segment to the first of the next, a vector being committed: ours,
/// behind a steered segment that the session has followed, and the published scheme, which encodes the whole prefix for
/// each thing it wants to know.
pub fn control_point(lm: &Lm, rounds: usize) {
    let prompt = prompt(0, PREFIX - 2 * SEGMENT);
    let state = state(lm, &prompt);
    let library = library(lm, &state, Says::Steer);
    let engine = Segmented::new(lm, prompt.len(), SEGMENT, state);
    let controller = Controller::new(library.clone(), lm.fingerprint(), ControllerConfig::default()).unwrap();
    let request = greedy(prompt, 2 * SEGMENT + 1);
    let ours = || {
        let mut lane = controller.lane(&engine, &request, 0).unwrap();
        advance(&engine, &mut lane, 2 * SEGMENT);
        assert_eq!(lane.sequence().tokens().len(), PREFIX);
        let seconds = seconds(|| advance(&engine, &mut lane, 2 * SEGMENT + 1));
        assert!(lane.answer().steps.iter().skip(1).all(|step| step.steered() && step.candidates.len() == 4));
        seconds
    };
    let prefix = crate::prompt(0, PREFIX);
    let vectors: Vec<&[f32]> = library.entries().iter().filter_map(Entry::vector).take(4).collect();
    let published = || seconds(|| without_cache(lm, &prefix, &vectors));
    let turns = turns(rounds, [&mut { ours }, &mut { published }]);
    let (ours, published) = (over(&turns, |t| t[0]), over(&turns, |t| t[1]));
    let measure = format!("one control point, prefix of {}", prefix.len());
    line(&measure, "ours", format!("{:.0} ms", ours * 1e3));
    line(&measure, "published scheme", format!("{:.0} ms", published * 1e3));
    line(&measure, "published / ours", format!("{:.2}", over(&turns, |t| t[1] / t[0])));
}

/// Runs a lane until its answer holds `tokens`.
fn advance<E: Engine>(engine: &E, lane: &mut SteeredLane<E::Session>, tokens: usize) {
    while lane.sequence().answer().len() < tokens {
        let mut rows = Vec::new();
        lane.rows(&mut rows);
        let outputs = engine.forward(&mut rows).unwrap();
        drop(rows);
        let _ = lane.absorb(engine.vocab(), outputs).unwrap();
    }
}

/// A control point as published: the prefix is encoded from nothing for the state, for the probe without a vector, for
/// each candidate's, and for the segment with the winner; probes continue for 4 tokens, of which the encoding gives
/// one.
fn without_cache(lm: &Lm, prefix: &[TokenId], vectors: &[&[f32]]) {
    state(lm, prefix);
    let probes = std::iter::once((None, 4)).chain(vectors.iter().map(|&vector| (Some(vector), 4)));
    for (vector, tokens) in probes.chain([(Some(vectors[0]), 1)]) {
        let mut session = lm.session();
        let point = HookPoint::ResidPost(layer(lm));
        let addition = vector.map(|vector| Addition { point, position: prefix.len() - 1, vector, scale: 1.0 });
        let additions = addition.into_iter().collect();
        let row = Row { session: &mut session, tokens: prefix, additions, capture: &[], logits: true };
        let mut logits = lm.forward(&mut [row]).unwrap().remove(0).logits;
        for _ in 1..tokens {
            logits = append(lm, &mut session, &[argmax(&logits).unwrap() as TokenId]);
        }
        assert!(session.len() >= prefix.len());
    }
}
