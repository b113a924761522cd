//! A decoding loop of your own, steered. The loop runs the model and owns the cache; a `Steering` only says what is to
//! be done next, so the same match steers any engine that can read the residual stream and add to it.
//!
//! ```text
//! cargo run --release --example own_loop   # after the examples rollout, induce and basis
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

use stir::{
    basis::Library,
    controller::{Controller, ControllerConfig, LayerState, Next, ProbeScores},
    core::{
        Addition, Engine, GenerateOptions, HookPoint, Output, Request, Row, Sampling, Session, Text, TokenId, argmax,
    },
    model::{DeviceSpec, KvCache, Lm},
};

const MAX_TOKENS: usize = 200;

/// Encodes the tokens that the cache lacks, the last one with an impulse (layer, vector, scale), if any; returns the
/// logits and the states at `layers` after the last one.
fn pass(
    lm: &Lm,
    cache: &mut KvCache,
    tokens: &[TokenId],
    impulse: Option<(usize, &[f32], f32)>,
    layers: &[usize],
) -> Result<Output, Box<dyn std::error::Error>> {
    let position = tokens.len() - 1;
    let additions = impulse.map(|(layer, vector, scale)| {
        let point = HookPoint::ResidPost(layer);
        Addition { point, position, vector, scale }
    });
    let (additions, missing) = (additions.into_iter().collect(), &tokens[cache.len()..]);
    let capture: Vec<HookPoint> = layers.iter().map(|&layer| HookPoint::ResidPost(layer)).collect();
    let row = Row { session: cache, tokens: missing, additions, capture: &capture, logits: true };
    Ok(lm.forward(&mut [row])?.remove(0))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lm = Lm::load("crates/stir-cli/assets/tiny", &DeviceSpec::CPU.open()?)?;
    let library = Library::load("runs/examples/library.stir")?;
    let controller = Controller::new(library, lm.fingerprint(), ControllerConfig::default())?;
    let prompt =
        lm.encode_prompt(&lm.chat_prompt("Leo has 29 cards. Leo buys 34. Leo loses 17. How many cards now?")?)?;
    let (vocab, max_context) = (lm.vocab(), lm.shape().max_context);

    let (mut cache, mut tokens) = (lm.session(), prompt.clone());
    // The logits after the last token, if they are known already.
    let mut logits: Option<Vec<f32>> = None;
    let mut steering = controller.steer(0);
    loop {
        let end = tokens.len();
        match steering.next() {
            Next::Decode => {
                let row = match logits.take() {
                    Some(row) => row,
                    None => pass(&lm, &mut cache, &tokens, None, &[])?.logits,
                };
                let token = argmax(&row)? as TokenId;
                tokens.push(token);
                let is_last = vocab.is_eos(token) || tokens.len() - prompt.len() == MAX_TOKENS;
                steering.token(vocab.bytes(token), is_last)?;
            }
            Next::Reencode { last } => {
                // The steered segment is dropped from the cache; the next pass encodes it again without the impulse.
                cache.rewind(end - last);
                logits = None;
                steering.reencoded()?;
            }
            Next::Read { layers } => {
                let output = pass(&lm, &mut cache, &tokens, None, layers)?;
                let states = layers.iter().zip(output.captures);
                let states = states.map(|(&layer, values)| LayerState { layer, values }).collect();
                logits = Some(output.logits);
                steering.states(states)?;
            }
            Next::Probe(plan) => {
                // A few greedy tokens with each candidate's vector and a few without one, all in forks of the cache.
                let probe = |impulse: Option<(usize, &[f32], f32)>| {
                    let (mut branch, mut fork, mut text) =
                        (steering.probe(max_context - end), cache.fork(), tokens.clone());
                    fork.rewind(end - 1);
                    let mut row = pass(&lm, &mut fork, &text, impulse, &[])?.logits;
                    while branch.push(&row, vocab) {
                        text.extend(branch.choices().last().map(|choice| choice.token));
                        row = pass(&lm, &mut fork, &text, None, &[])?.logits;
                    }
                    Ok::<_, Box<dyn std::error::Error>>(branch)
                };
                let plain = probe(None)?;
                let candidates = plan.candidates().iter().map(|c| probe(Some((c.layer, &c.vector, c.probe_scale))));
                let scores = ProbeScores::of(&plain, &candidates.collect::<Result<Vec<_>, _>>()?);
                steering.scores(&scores)?;
            }
            Next::Commit(commit) => {
                // The last token is encoded once more, now with the impulse.
                cache.rewind(end - 1);
                let impulse = Some((commit.layer, &commit.vector[..], commit.scale));
                logits = Some(pass(&lm, &mut cache, &tokens, impulse, &[])?.logits);
                steering.committed()?;
            }
            Next::Done => break,
        }
    }
    println!("{}", vocab.text(&tokens[prompt.len()..]));
    let steered = steering.steps().iter().filter(|step| step.steered()).count();
    println!("--- {} segments, {steered} of them steered", steering.steps().len());

    // The library's own loop gives the same answer.
    let request = Request { max_tokens: MAX_TOKENS, sampling: Sampling::GREEDY, ..Request::new(prompt.clone()) };
    let theirs = &controller.generate(&lm, &[request], GenerateOptions::default())?[0][0];
    assert_eq!(theirs.generated.tokens, tokens[prompt.len()..]);
    Ok(())
}
