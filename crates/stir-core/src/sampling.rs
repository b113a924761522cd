use std::{cmp::Ordering, collections::BinaryHeap};

use rand::{Rng, SeedableRng, rngs::ChaCha8Rng};
use serde::{Deserialize, Serialize};

use crate::TokenId;

/// How one row of logits becomes a token.
///
/// Temperature 0 takes the largest logit (ties: the lower id). Otherwise the logits are divided by the temperature
/// and a token is drawn from the smallest set of likeliest tokens whose probability reaches `top_p`.
///
/// ```
/// use stir_core::{SampleRng, Sampling};
/// let logits = [0.0, 2.0, 1.0];
/// let greedy = Sampling::GREEDY.pick(&logits, &mut SampleRng::new(0, 0))?;
/// assert_eq!(greedy.token, 1);
/// assert!((greedy.log_prob - -0.407_605_96).abs() < 1e-6);
/// let nucleus = Sampling { temperature: 1.0, top_p: 0.5 }.pick(&logits, &mut SampleRng::new(0, 0))?;
/// assert_eq!(nucleus.token, 1); // it alone holds more than half of the mass
/// # Ok::<(), stir_core::SamplingError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// 0 for greedy decoding; otherwise the divisor of the logits.
    pub temperature: f32,
    /// Mass of the nucleus, in (0, 1].
    pub top_p: f32,
}

/// A token and its log-probability under the model's distribution (temperature 1, whole vocabulary).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The token.
    pub token: TokenId,
    /// Natural logarithm of its probability.
    pub log_prob: f32,
}

impl Default for Sampling {
    /// The published rollout settings: temperature 0.7, top-p 0.95.
    fn default() -> Self {
        Self { temperature: 0.7, top_p: 0.95 }
    }
}

impl Sampling {
    /// The largest logit, always.
    pub const GREEDY: Self = Self { temperature: 0.0, top_p: 1.0 };

    /// Whether [`pick`](Self::pick) ignores its random numbers.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// Checks both fields.
    ///
    /// # Errors
    /// [`SamplingError::OutOfBounds`] with the field, its value and the bound.
    pub fn validate(&self) -> Result<(), SamplingError> {
        let out = |field, value, bound| Err(SamplingError::OutOfBounds { field, value, bound });
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            out("temperature", self.temperature, "finite and >= 0")
        } else if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            out("top_p", self.top_p, "in (0, 1]")
        } else {
            Ok(())
        }
    }

    /// Draws one token from a row of logits, `[vocab_size]`.
    ///
    /// # Errors
    /// [`SamplingError::NonFinite`] when a logit is NaN or +inf or all are -inf: a model that computes such a row is
    /// broken, and a token drawn from it would hide that.
    pub fn pick(&self, logits: &[f32], rng: &mut SampleRng) -> Result<Choice, SamplingError> {
        let best = argmax(logits)?;
        let token = if self.is_greedy() { best } else { self.draw(logits, best, rng) };
        Ok(Choice { token: token as TokenId, log_prob: log_prob_from_max(logits, best, token) })
    }

    fn draw(&self, logits: &[f32], best: usize, rng: &mut SampleRng) -> usize {
        let weight = |logit: f32| f64::from((logit - logits[best]) / self.temperature).exp();
        let mut heap: BinaryHeap<Weighted> =
            logits.iter().enumerate().map(|(token, &logit)| Weighted { weight: weight(logit), token }).collect();
        let total: f64 = heap.iter().map(|w| w.weight).sum();
        // The nucleus comes off the heap likeliest first; a full sort of the vocabulary would cost more than the model.
        let (mut nucleus, mut mass) = (Vec::new(), 0.0);
        while let Some(next) = heap.pop() {
            mass += next.weight;
            nucleus.push(next);
            if mass >= f64::from(self.top_p) * total {
                break;
            }
        }
        let mut left = rng.uniform() * mass;
        for w in &nucleus {
            left -= w.weight;
            if left < 0.0 {
                return w.token;
            }
        }
        // Rounding can leave a crumb of mass past the last token.
        nucleus.last().map_or(best, |w| w.token)
    }
}

/// A token's unnormalised probability, ordered by it, ties to the lower id.
struct Weighted {
    weight: f64,
    token: usize,
}

impl Ord for Weighted {
    fn cmp(&self, other: &Self) -> Ordering {
        self.weight.total_cmp(&other.weight).then(other.token.cmp(&self.token))
    }
}

impl PartialOrd for Weighted {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Weighted {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Weighted {}

/// The index of the largest logit, ties to the lower index.
///
/// # Errors
/// [`SamplingError::NonFinite`] for a row with NaN or +inf, without a finite logit, or empty.
pub fn argmax(logits: &[f32]) -> Result<usize, SamplingError> {
    let mut best = None;
    for (index, &logit) in logits.iter().enumerate() {
        if logit.is_nan() || logit == f32::INFINITY {
            return Err(SamplingError::NonFinite { index, value: logit });
        }
        if logit > best.map_or(f32::NEG_INFINITY, |i: usize| logits[i]) {
            best = Some(index);
        }
    }
    best.ok_or(SamplingError::NonFinite { index: 0, value: logits.first().copied().unwrap_or(f32::NAN) })
}

/// The log-probability of `token` under the distribution that `logits` describe at temperature 1.
///
/// # Errors
/// As [`argmax`]; also when `token` is outside the row.
pub fn log_prob(logits: &[f32], token: TokenId) -> Result<f32, SamplingError> {
    let best = argmax(logits)?;
    let token = token as usize;
    if token >= logits.len() {
        return Err(SamplingError::NonFinite { index: token, value: f32::NAN });
    }
    Ok(log_prob_from_max(logits, best, token))
}

fn log_prob_from_max(logits: &[f32], best: usize, token: usize) -> f32 {
    let max = logits[best];
    let sum: f64 = logits.iter().map(|&logit| f64::from((logit - max).exp())).sum();
    (f64::from(logits[token] - max) - sum.ln()) as f32
}

/// Why a token could not be drawn.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SamplingError {
    /// A setting outside its bound.
    #[error("sampling {field} is {value}, must be {bound}")]
    OutOfBounds {
        /// The field of [`Sampling`].
        field: &'static str,
        /// Its value.
        value: f32,
        /// What is allowed.
        bound: &'static str,
    },
    /// A row of logits that describes no distribution.
    #[error("logit {index} is {value}: the row describes no distribution")]
    NonFinite {
        /// The first offending position.
        index: usize,
        /// What stands there.
        value: f32,
    },
}

/// The random numbers of one sample: ChaCha8, one stream per sample of a seed.
///
/// Two samples of one seed are independent, and a sample's numbers do not depend on what else runs beside it.
///
/// ```
/// use stir_core::SampleRng;
/// let draw = |seed, stream| SampleRng::new(seed, stream).uniform();
/// assert_eq!(draw(1, 2), draw(1, 2));
/// assert_ne!(draw(1, 2), draw(1, 3));
/// ```
#[derive(Debug)]
pub struct SampleRng(ChaCha8Rng);

impl SampleRng {
    /// The generator of `stream` under `seed`.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// Uniform in [0, 1), 53 bits. Converted here so that the numbers do not change with a library's version.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // The bias of the product is below bound / 2^53.
        (self.uniform() * bound as f64) as usize
    }

    /// Standard normal (Box-Muller, the cosine half).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_follow_the_tempered_nucleus() {
        // Probabilities 0.5, 0.3, 0.15, 0.05; top-p 0.9 drops the last.
        let logits: Vec<f32> = [0.5f32, 0.3, 0.15, 0.05].iter().map(|p| p.ln()).collect();
        let sampling = Sampling { temperature: 1.0, top_p: 0.9 };
        let mut rng = SampleRng::new(3, 0);
        let mut counts = [0usize; 4];
        let n = 40_000;
        for _ in 0..n {
            counts[sampling.pick(&logits, &mut rng).unwrap().token as usize] += 1;
        }
        assert_eq!(counts[3], 0);
        for (count, p) in counts.iter().zip([0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95]) {
            let standard_error = (p * (1.0 - p) / f64::from(n)).sqrt();
            assert!((*count as f64 / f64::from(n) - p).abs() < 4.0 * standard_error, "{counts:?}");
        }
    }

    #[test]
    fn temperature_sharpens_but_log_prob_stays_the_models() {
        let logits = [1.0, 0.0];
        let sampling = Sampling { temperature: 0.1, top_p: 1.0 };
        let choice = sampling.pick(&logits, &mut SampleRng::new(0, 0)).unwrap();
        assert_eq!(choice.token, 0);
        assert!((choice.log_prob - -(1.0f32 + (-1.0f32).exp()).ln()).abs() < 1e-6);
        assert_eq!(log_prob(&logits, 0).unwrap(), choice.log_prob);
    }

    #[test]
    fn ties_and_broken_rows() {
        assert_eq!(argmax(&[1.0, 1.0]), Ok(0));
        assert_eq!(argmax(&[f32::NEG_INFINITY, -1e30]), Ok(1));
        for row in [&[][..], &[f32::NAN, 0.0], &[0.0, f32::INFINITY], &[f32::NEG_INFINITY]] {
            assert!(argmax(row).is_err(), "{row:?}");
        }
        assert!(log_prob(&[0.0], 1).is_err());
    }

    #[test]
    fn settings_are_bounded() {
        for (temperature, top_p) in [(-1.0, 1.0), (f32::NAN, 1.0), (1.0, 0.0), (1.0, 1.1), (f32::INFINITY, 1.0)] {
            assert!(Sampling { temperature, top_p }.validate().is_err());
        }
    }

    /// The stream is part of every result's reproducibility: a change of generator must show.
    #[test]
    fn the_stream_is_pinned() {
        let mut rng = SampleRng::new(0, 1);
        let first: Vec<u64> = (0..2).map(|_| (rng.uniform() * 1e6) as u64).collect();
        assert_eq!(first, PINNED);
        let mut normals = SampleRng::new(5, 0);
        let mean = (0..20_000).map(|_| normals.normal()).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03);
    }

    const PINNED: [u64; 2] = [755_531, 738_116];
}
