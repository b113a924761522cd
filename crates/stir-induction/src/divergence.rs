//! How far a vector moves what a model would say next.

use stir_basis::norm;
use stir_core::{Addition, Engine, HookPoint, Output, Row, Session, TokenId, prefill};

/// The places at which a divergence is measured, at most.
pub(crate) const MEASURED: usize = 32;

/// Halvings of the interval in which a scale is searched.
const HALVINGS: usize = 12;

/// Returns the largest scale, up to that at which `vector` is as long as the stream, at which adding it after `layer`
/// moves the distribution of the next token by no more than `bound` nats: the Kullback-Leibler divergence of the steered
/// distribution from the plain one, averaged over `starts`, texts at whose last token the vector is added.
pub(crate) fn bounded<E: Engine>(
    engine: &E,
    starts: &[Vec<TokenId>],
    layer: usize,
    vector: &[f32],
    bound: f64,
    max_batch: usize,
) -> Result<f32, E::Error> {
    if starts.is_empty() || norm(vector) == 0.0 {
        return Ok(1.0);
    }
    let point = HookPoint::ResidPost(layer);
    let mut sessions = Vec::new();
    for tokens in starts {
        sessions.push(prefill(engine, tokens)?);
    }
    // Over all starts, with the vector where the scale is not 0.
    let run = |scale: f32, capture: &[HookPoint]| -> Result<Vec<Output>, E::Error> {
        let mut forks: Vec<E::Session> = sessions.iter().map(E::Session::fork).collect();
        let rows = forks.iter_mut().zip(starts).map(|(session, tokens)| {
            let position = tokens.len() - 1;
            let additions = if scale == 0.0 { vec![] } else { vec![Addition { point, position, vector, scale }] };
            Row { session, tokens: &tokens[position..], additions, capture, logits: true }
        });
        let (mut rows, mut outputs) = (rows.collect::<Vec<_>>(), Vec::new());
        for rows in rows.chunks_mut(max_batch) {
            outputs.extend(engine.forward(rows)?);
        }
        Ok(outputs)
    };
    let plain = run(0.0, &[point])?;
    let streams = plain.iter().flat_map(|output| output.captures.first()).map(|stream| norm(stream));
    let longest = streams.sum::<f64>() / starts.len() as f64 / norm(vector);
    let exceeds = |scale: f64| -> Result<bool, E::Error> {
        let steered = run(scale as f32, &[])?;
        let sum: f64 = plain.iter().zip(&steered).map(|(p, q)| divergence(&p.logits, &q.logits)).sum();
        let mean = sum / starts.len() as f64;
        Ok(mean > bound || mean.is_nan())
    };
    if !exceeds(longest)? {
        return Ok(longest as f32);
    }
    let (mut low, mut high) = (0.0, longest);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if exceeds(middle)? { high = middle } else { low = middle }
    }
    Ok(low as f32)
}

/// Returns the Kullback-Leibler divergence of the distribution of `steered` from that of `plain`, in nats.
fn divergence(plain: &[f32], steered: &[f32]) -> f64 {
    let log_sum = |logits: &[f32]| {
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        f64::from(most) + logits.iter().map(|x| f64::from(x - most).exp()).sum::<f64>().ln()
    };
    let (of_plain, of_steered) = (log_sum(plain), log_sum(steered));
    let terms = plain.iter().zip(steered).map(|(p, q)| {
        let (p, q) = (f64::from(*p) - of_plain, f64::from(*q) - of_steered);
        if p == f64::NEG_INFINITY { 0.0 } else { p.exp() * (p - q) }
    });
    terms.sum()
}

#[cfg(test)]
mod tests {
    use stir_core::{Text, toy::ToyEngine};

    use super::*;

    #[test]
    fn divergence_is_that_of_the_definition() {
        let ln = |p: f64| p.ln() as f32;
        let found = divergence(&[ln(0.5), ln(0.5)], &[ln(0.75) + 3.0, ln(0.25) + 3.0]);
        assert!((found - (0.5 * (0.5f64 / 0.75).ln() + 0.5 * (0.5f64 / 0.25).ln())).abs() < 1e-6);
        assert_eq!(divergence(&[1.0, 2.0], &[1.0, 2.0]), 0.0);
        assert!(divergence(&[0.0, 0.0], &[f32::NAN, 0.0]).is_nan());
    }

    #[test]
    fn a_bound_is_reached_and_not_passed() {
        let engine = ToyEngine::new(3);
        let starts = ["abc", "hello\n\n", "q"].map(|text| engine.encode(text).unwrap());
        let vector: Vec<f32> = (0..10).map(|i| if i % 3 == 0 { 1.0 } else { -0.5 }).collect();
        let mean = |scale: f32| {
            let of = |tokens: &[TokenId], scale| {
                let (point, position) = (HookPoint::ResidPost(1), tokens.len() - 1);
                let additions = vec![Addition { point, position, vector: &vector, scale }];
                let row = Row { session: &mut engine.session(), tokens, additions, capture: &[], logits: true };
                engine.forward(&mut [row]).unwrap().remove(0).logits
            };
            starts.iter().map(|start| divergence(&of(start, 0.0), &of(start, scale))).sum::<f64>() / 3.0
        };
        let free = bounded(&engine, &starts, 1, &vector, 1e9, 2).unwrap();
        let bound = mean(free) / 2.0;
        let scale = bounded(&engine, &starts, 1, &vector, bound, 2).unwrap();
        assert!(scale < free && mean(scale) <= bound && mean(scale * 1.01) > bound, "{scale} of {free}");
        assert_eq!(bounded(&engine, &starts, 1, &[0.0; 10], 0.1, 2).unwrap(), 1.0);
        assert_eq!(bounded(&engine, &[], 1, &vector, 0.1, 2).unwrap(), 1.0);
    }
}
