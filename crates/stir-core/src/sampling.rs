use std::{borrow::Cow, cmp::Ordering, collections::BinaryHeap, iter};

use serde::{Deserialize, Serialize};

use crate::{SampleRng, SettingError, TokenId};

/// The settings by which one row of logits becomes a token.
///
/// In this order, which is that of Hugging Face transformers: the repetition penalty on the logits as they are, the
/// temperature, then what remains of the vocabulary after `top_k`, after `top_p` and after `min_p`. A token is drawn
/// from what is left. Temperature 0 takes the largest logit after the penalty. Ties go to the lower id everywhere.
///
/// New options are off unless set, so that settings can be written as what differs from another:
///
/// ```
/// use stir_core::{SampleRng, Sampling};
/// let logits = [0.0, 2.0, 1.0];
/// let greedy = Sampling::GREEDY.pick(&logits, &[], &mut SampleRng::new(0, 0))?;
/// assert_eq!(greedy.token, 1);
/// assert!((greedy.log_prob - -0.407_605_96).abs() < 1e-6);
/// let nucleus = Sampling { temperature: 1.0, top_p: 0.5, ..Sampling::GREEDY };
/// assert_eq!(nucleus.pick(&logits, &[], &mut SampleRng::new(0, 0))?.token, 1); // it alone holds more than half
/// // Token 1 was there before: 2.0 becomes 0.8.
/// let penalised = Sampling { repetition_penalty: 2.5, ..Sampling::GREEDY };
/// assert_eq!(penalised.pick(&logits, &[1, 1], &mut SampleRng::new(0, 0))?.token, 2);
/// # Ok::<(), stir_core::SamplingError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// The divisor of the logits; 0 for greedy decoding.
    pub temperature: f32,
    /// The probability mass of the nucleus, in (0, 1]: the likeliest tokens are kept until their mass reaches it.
    pub top_p: f32,
    /// The number of likeliest tokens that are kept; 0 for all.
    #[serde(default)]
    pub top_k: usize,
    /// A token is kept when its probability is at least this share of the likeliest one's, in [0, 1]; 0 for all.
    #[serde(default)]
    pub min_p: f32,
    /// The penalty on tokens of the prompt and of the answer so far; 1 for none. A positive logit is divided by it and
    /// a negative one multiplied, once however often the token occurred.
    #[serde(default = "no_penalty")]
    pub repetition_penalty: f32,
}

fn no_penalty() -> f32 {
    Sampling::GREEDY.repetition_penalty
}

/// A token and its log-probability under the model's distribution (temperature 1, whole vocabulary, no penalty).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The token.
    pub token: TokenId,
    /// The natural logarithm of its probability.
    pub log_prob: f32,
}

impl Default for Sampling {
    /// Returns the published rollout settings: temperature 0.7, top-p 0.95.
    fn default() -> Self {
        Self { temperature: 0.7, top_p: 0.95, ..Self::GREEDY }
    }
}

impl Sampling {
    /// The settings of greedy decoding: always the largest logit.
    pub const GREEDY: Self = Self { temperature: 0.0, top_p: 1.0, top_k: 0, min_p: 0.0, repetition_penalty: 1.0 };

    /// Returns whether [`pick`](Self::pick) always takes the model's likeliest token, whatever came before.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0 && !self.penalises()
    }

    fn penalises(&self) -> bool {
        self.repetition_penalty != 1.0
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`SamplingError::Setting`] for the first field out of bounds.
    pub fn validate(&self) -> Result<(), SamplingError> {
        let Self { temperature, top_p, top_k: _, min_p, repetition_penalty } = *self;
        SettingError::not_negative("temperature", temperature)
            .and_then(|()| SettingError::check(top_p > 0.0 && top_p <= 1.0, "top_p", top_p, "in (0, 1]"))
            .and_then(|()| SettingError::unit("min_p", min_p))
            .and_then(|()| SettingError::above_zero("repetition_penalty", repetition_penalty))
            .map_err(SamplingError::Setting)
    }

    /// Draws one token from a row of logits, `[vocab_size]`, that follows the tokens of `history` (which are looked at
    /// only if repetitions are penalised).
    ///
    /// # Errors
    /// [`SamplingError::NonFinite`] when a logit is NaN or +inf or all are -inf: a model that computes such a row is
    /// broken, and a token drawn from it would hide that.
    pub fn pick(&self, logits: &[f32], history: &[TokenId], rng: &mut SampleRng) -> Result<Choice, SamplingError> {
        let likeliest = argmax(logits)?;
        let token = if self.is_greedy() {
            likeliest
        } else {
            let penalised = self.penalised(logits, history);
            let best = argmax(&penalised)?;
            if self.temperature == 0.0 { best } else { self.kept(&penalised, best).draw(rng) }
        };
        Ok(Choice { token: token as TokenId, log_prob: log_prob_from_max(logits, likeliest, token) })
    }

    /// Returns the distribution that [`pick`](Self::pick) draws from: the tokens that are left, likeliest first, and
    /// their probabilities.
    ///
    /// ```
    /// use stir_core::Sampling;
    /// let sampling = Sampling { temperature: 1.0, top_k: 2, ..Sampling::GREEDY };
    /// let left = sampling.distribution(&[0.0, 2.0, 2.0, 1.0], &[])?;
    /// assert_eq!(left, [(1, 0.5), (2, 0.5)]);
    /// # Ok::<(), stir_core::SamplingError>(())
    /// ```
    ///
    /// # Errors
    /// Fails like [`pick`](Self::pick).
    pub fn distribution(&self, logits: &[f32], history: &[TokenId]) -> Result<Vec<(TokenId, f64)>, SamplingError> {
        argmax(logits)?;
        let penalised = self.penalised(logits, history);
        let best = argmax(&penalised)?;
        if self.temperature == 0.0 {
            return Ok(vec![(best as TokenId, 1.0)]);
        }
        let Kept { tokens, mass } = self.kept(&penalised, best);
        Ok(tokens.into_iter().map(|w| (w.token as TokenId, w.weight / mass)).collect())
    }

    fn penalised<'a>(&self, logits: &'a [f32], history: &[TokenId]) -> Cow<'a, [f32]> {
        if !self.penalises() {
            return Cow::Borrowed(logits);
        }
        let mut row = logits.to_vec();
        for &token in history {
            let token = token as usize;
            // From the row as it was, so that a token that occurred twice is penalised once.
            if let Some(&logit) = logits.get(token).filter(|logit| logit.is_finite()) {
                let penalised =
                    if logit < 0.0 { logit * self.repetition_penalty } else { logit / self.repetition_penalty };
                // An extreme setting must not look like a broken model.
                row[token] = penalised.clamp(f32::MIN, f32::MAX);
            }
        }
        Cow::Owned(row)
    }

    /// Returns the tokens that temperature, top-k, top-p and min-p leave of a row whose largest logit is at `best`.
    fn kept(&self, logits: &[f32], best: usize) -> Kept {
        // A vocabulary is large and few of its tokens are likely: those are looked at first, by themselves.
        let near = [6.0, 12.0].into_iter().find_map(|reach| self.kept_within(reach, logits, best));
        near.or_else(|| self.kept_within(f32::INFINITY, logits, best)).unwrap_or_default()
    }

    /// Returns [`kept`](Self::kept), computed from the tokens whose weight is at least `e^-reach` alone; `None` if a
    /// token below that may be among those kept, so that a wider reach must be tried.
    ///
    /// The tokens looked at are always the likeliest ones of the row. They decide the result if they are the whole row,
    /// if `top_k` of them are there (the rest of the row is cut off anyway), or if their mass alone reaches `top_p`.
    fn kept_within(&self, reach: f32, logits: &[f32], best: usize) -> Option<Kept> {
        let scaled = |logit: f32| (logit - logits[best]) / self.temperature;
        let near = logits.iter().enumerate().filter(|(_, logit)| scaled(**logit) >= -reach);
        // Tokens come off a heap likeliest first; a full sort would cost more than the model.
        let mut heap: BinaryHeap<Weighted> =
            near.map(|(token, &logit)| Weighted { weight: f64::from(scaled(logit)).exp(), token }).collect();
        let whole = heap.len() == logits.len() || reach.is_infinite();
        let bounded = (1..logits.len()).contains(&self.top_k);
        if bounded {
            if heap.len() < self.top_k && !whole {
                return None;
            }
            heap = iter::from_fn(|| heap.pop()).take(self.top_k).collect();
        }
        let total = match bounded || whole {
            true => heap.iter().map(|w| w.weight).sum(),
            false => sum_exp(logits, scaled),
        };
        let (mut tokens, mut mass) = (Vec::new(), 0.0);
        while mass < f64::from(self.top_p) * total {
            let Some(next) = heap.pop() else { return (bounded || whole).then_some(Kept { tokens, mass }) };
            // The likeliest token's weight is 1.
            if next.weight == 0.0 || next.weight < f64::from(self.min_p) {
                break;
            }
            mass += next.weight;
            tokens.push(next);
        }
        Some(Kept { tokens, mass })
    }
}

/// The tokens that may be drawn, likeliest first, and the sum of their weights.
#[derive(Default)]
struct Kept {
    tokens: Vec<Weighted>,
    mass: f64,
}

impl Kept {
    fn draw(&self, rng: &mut SampleRng) -> usize {
        let mut left = rng.uniform() * self.mass;
        let drawn = self.tokens.iter().find(|w| {
            left -= w.weight;
            left < 0.0
        });
        // Rounding can leave a crumb of mass past the last token; the likeliest is always there.
        drawn.or(self.tokens.last()).map_or(0, |w| w.token)
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

/// Returns the index of the largest logit; ties go to the lower index.
///
/// # Errors
/// [`SamplingError::NonFinite`] for a row that is empty, holds NaN or +inf, or has no finite logit.
pub fn argmax(logits: &[f32]) -> Result<usize, SamplingError> {
    // Many at a time: a vocabulary is large. A comparison with NaN is false.
    let (chunks, rest) = logits.as_chunks::<ELEMENTS>();
    let (mut largest, mut sane) = ([f32::NEG_INFINITY; ELEMENTS], [true; ELEMENTS]);
    for chunk in chunks {
        for ((largest, sane), &x) in largest.iter_mut().zip(&mut sane).zip(chunk) {
            *largest = if x > *largest { x } else { *largest };
            *sane &= x < f32::INFINITY;
        }
    }
    let largest = largest.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, f32::max);
    let sane = sane.into_iter().all(|sane| sane) && rest.iter().all(|&x| x < f32::INFINITY);
    if sane && largest > f32::NEG_INFINITY {
        return Ok(logits.iter().position(|&x| x == largest).unwrap_or_default());
    }
    let index = logits.iter().position(|x| x.is_nan() || *x == f32::INFINITY).unwrap_or_default();
    Err(SamplingError::NonFinite { index, value: logits.get(index).copied().unwrap_or(f32::NAN) })
}

/// Returns the log-probability of `token` under the distribution that `logits` describe at temperature 1.
///
/// # Errors
/// Fails like [`argmax`]; also if `token` is outside the row.
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
    (f64::from(logits[token] - max) - sum_exp(logits, |logit| logit - max).ln()) as f32
}

/// Numbers that loops over a vocabulary take in at once, for the compiler to make vectors of.
const ELEMENTS: usize = 16;

/// Returns the sum of `exp(scaled(logit))`, where no scaled logit is positive.
fn sum_exp(logits: &[f32], scaled: impl Fn(f32) -> f32) -> f64 {
    // What is summed up in f32 is short.
    let part = |logits: &[f32]| -> f64 {
        let (chunks, rest) = logits.as_chunks::<ELEMENTS>();
        let mut sums = [0.0f32; ELEMENTS];
        for chunk in chunks {
            sums.iter_mut().zip(chunk).for_each(|(sum, &x)| *sum += exp(scaled(x)));
        }
        sums.into_iter().chain(rest.iter().map(|&x| exp(scaled(x)))).map(f64::from).sum()
    };
    logits.chunks(64 * ELEMENTS).map(part).sum()
}

/// Returns `e^x` of a number that is not positive, to 2 units in the last place, without a branch; at least `e^-87`.
fn exp(x: f32) -> f32 {
    /// Added to a number of small magnitude it leaves no room for a fraction.
    const WHOLE: f32 = 12_582_912.0;
    let x = if x > -87.0 { x } else { -87.0 };
    let shifted = x * std::f32::consts::LOG2_E + WHOLE;
    let n = shifted - WHOLE;
    // ln 2 in two parts, the first of which has few digits.
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut series = 1.987_569_1e-4;
    for factor in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        series = series * r + factor;
    }
    let power = shifted.to_bits().wrapping_sub(WHOLE.to_bits()).wrapping_add(127) << 23;
    (series * r * r + r + 1.0) * f32::from_bits(power)
}

/// The reason why a token could not be drawn.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SamplingError {
    /// A field of [`Sampling`] is out of bounds.
    #[error("sampling {0}")]
    Setting(SettingError),
    /// A row of logits that describes no distribution.
    #[error("logit {index} is {value}, so the row describes no distribution")]
    NonFinite {
        /// The first offending position in the row.
        index: usize,
        /// The value at that position.
        value: f32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_follow_the_tempered_nucleus() {
        // Probabilities 0.5, 0.3, 0.15, 0.05; top-p 0.9 drops the last.
        let logits: Vec<f32> = [0.5f32, 0.3, 0.15, 0.05].iter().map(|p| p.ln()).collect();
        let sampling = Sampling { temperature: 1.0, top_p: 0.9, ..Sampling::GREEDY };
        let mut rng = SampleRng::new(3, 0);
        let mut counts = [0usize; 4];
        let n = 40_000;
        for _ in 0..n {
            counts[sampling.pick(&logits, &[], &mut rng).unwrap().token as usize] += 1;
        }
        assert_eq!(counts[3], 0);
        for (count, p) in counts.iter().zip([0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95]) {
            let standard_error = (p * (1.0 - p) / f64::from(n)).sqrt();
            assert!((*count as f64 / f64::from(n) - p).abs() < 4.0 * standard_error, "{counts:?}");
        }
    }

    /// Looking at likely tokens first changes nothing but rounding.
    #[test]
    fn likely_tokens_alone_decide_what_all_decide() {
        let mut rng = SampleRng::new(5, 0);
        for spread in [0.3, 2.0, 8.0] {
            let logits: Vec<f32> = (0..3000).map(|_| (spread * rng.normal()) as f32).collect();
            let best = argmax(&logits).unwrap();
            let settings =
                [(1.0, 0, 0.0), (0.95, 0, 0.0), (0.3, 0, 0.0), (1.0, 40, 0.0), (0.9, 40, 0.0), (1.0, 0, 0.01)];
            for (top_p, top_k, min_p) in settings {
                let sampling = Sampling { temperature: 0.8, top_p, top_k, min_p, ..Sampling::GREEDY };
                let tokens = |kept: Kept| kept.tokens.into_iter().map(|w| w.token).collect::<Vec<_>>();
                let all = sampling.kept_within(f32::INFINITY, &logits, best).unwrap();
                assert_eq!(tokens(sampling.kept(&logits, best)), tokens(all), "{sampling:?}");
            }
        }
    }

    #[test]
    fn exponentials_are_those_of_the_standard_library() {
        for i in 0..87_000 {
            let x = -(i as f32) * 1e-3;
            assert!((exp(x) - x.exp()).abs() <= 3e-7 * x.exp(), "{x}");
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
        let logits: Vec<f32> = (0..5000).map(|i| -((i * 7919 % 5003) as f32) * 0.01).collect();
        let expected: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
        assert!((sum_exp(&logits, |x| x) - expected).abs() < 1e-6 * expected);
    }

    #[test]
    fn temperature_sharpens_but_log_prob_stays_the_models() {
        let logits = [1.0, 0.0];
        let sampling = Sampling { temperature: 0.1, ..Sampling::GREEDY };
        let choice = sampling.pick(&logits, &[], &mut SampleRng::new(0, 0)).unwrap();
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
        let base = Sampling::default();
        assert_eq!(base.validate(), Ok(()));
        for temperature in [-1.0, f32::NAN, f32::INFINITY] {
            assert!(Sampling { temperature, ..base }.validate().is_err());
        }
        for top_p in [0.0, 1.1, f32::NAN] {
            assert!(Sampling { top_p, ..base }.validate().is_err());
        }
        for min_p in [-0.1, 1.1, f32::NAN] {
            assert!(Sampling { min_p, ..base }.validate().is_err());
        }
        for repetition_penalty in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let error = Sampling { repetition_penalty, ..base }.validate().unwrap_err();
            assert!(error.to_string().starts_with("sampling repetition_penalty is "), "{error}");
        }
    }

    #[test]
    fn settings_from_before_the_newer_options_parse() {
        let old = r#"{"temperature":0.7,"top_p":0.95}"#;
        let default = Sampling::default();
        assert_eq!(serde_json::from_str::<Sampling>(old).unwrap(), default);
        assert_eq!(serde_json::from_str::<Sampling>(&serde_json::to_string(&default).unwrap()).unwrap(), default);
        for bad in [r#"{"temperature":0.7,"top_p":0.95,"topk":3}"#, r#"{"top_p":0.95}"#] {
            assert!(serde_json::from_str::<Sampling>(bad).is_err());
        }
    }

    #[test]
    fn a_penalty_counts_once_and_leaves_the_log_prob_alone() {
        let logits = [2.0, 1.9, -1.0, f32::NEG_INFINITY];
        let sampling = Sampling { repetition_penalty: 1.1, ..Sampling::GREEDY };
        assert!(!sampling.is_greedy() && Sampling::GREEDY.is_greedy());
        let pick = |history: &[TokenId]| sampling.pick(&logits, history, &mut SampleRng::new(0, 0)).unwrap();
        assert_eq!(pick(&[]).token, 0);
        // Ids without a logit are passed over.
        let choice = pick(&[0, 0, 3, 99]);
        assert_eq!((choice.token, choice.log_prob), (1, log_prob(&logits, 1).unwrap()));
        // Once each, 2.0 / 1.1 > 1.9 / 1.1; twice for token 0 would turn it.
        assert_eq!(pick(&[0, 1, 0]).token, 0);
        // Negative logits fall too.
        let pair = |logits: &[f32]| sampling.pick(logits, &[0], &mut SampleRng::new(0, 0)).unwrap().token;
        assert_eq!(pair(&[-1.0, -1.05]), 1);
        // No setting makes a sound row look broken.
        for repetition_penalty in [f32::MIN_POSITIVE, f32::MAX] {
            let extreme = Sampling { repetition_penalty, temperature: 1.0, ..Sampling::GREEDY };
            assert!(extreme.pick(&logits, &[0, 1, 2, 3], &mut SampleRng::new(0, 0)).is_ok());
        }
    }

    #[test]
    fn the_ends_of_every_range() {
        let logits = [1.0, 3.0, 3.0, f32::NEG_INFINITY, 2.0];
        let warm = Sampling { temperature: 1.0, ..Sampling::GREEDY };
        let left = |sampling: Sampling| -> Vec<TokenId> {
            sampling.distribution(&logits, &[]).unwrap().into_iter().map(|(token, _)| token).collect()
        };
        assert_eq!(left(warm), [1, 2, 4, 0]);
        assert_eq!(left(Sampling { top_k: 1, ..warm }), [1]);
        for top_k in [5, 6, usize::MAX] {
            assert_eq!(warm.distribution(&logits, &[]), Sampling { top_k, ..warm }.distribution(&logits, &[]));
        }
        assert_eq!(left(Sampling { min_p: 1.0, ..warm }), [1, 2]);
        assert_eq!(left(Sampling { top_p: f32::MIN_POSITIVE, ..warm }), [1]);
        assert_eq!(left(Sampling { temperature: f32::MIN_POSITIVE, ..warm }), [1, 2]);
        assert_eq!(left(Sampling { temperature: f32::MAX, top_k: 3, ..warm }), [0, 1, 2]);
        assert_eq!(left(Sampling { temperature: 0.0, top_k: 3, ..warm }), [1]);
        let everything = Sampling { temperature: 0.8, top_p: 0.9, top_k: 3, min_p: 0.1, repetition_penalty: 1.2 };
        assert_eq!(left(everything), [1, 2, 4]);
        for row in [&[f32::NAN, 0.0][..], &[0.0, f32::INFINITY], &[f32::NEG_INFINITY], &[]] {
            assert!(everything.pick(row, &[0, 1], &mut SampleRng::new(0, 0)).is_err(), "{row:?}");
            assert!(everything.distribution(row, &[0, 1]).is_err(), "{row:?}");
        }
    }
}
