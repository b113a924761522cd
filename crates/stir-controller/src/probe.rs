use std::sync::Arc;

use stir_basis::ValueHead;
use stir_core::{Choice, SampleRng, Sampling, SegmentCounter, Vocab};

use crate::{Controller, ProbeScores};

/// One probe: a short continuation of a sequence from a control point, without a vector or with a candidate's.
///
/// These are the rules, and this type carries them out:
///
/// - A probe starts at the control point. Of several, one has no impulse; for every candidate there is one whose
///   impulse, the candidate's vector at its `probe_scale` (1, as published), is added at the boundary token, and at the
///   probe's `t`-th token times [`Placement::factor(t)`](crate::Placement::factor) (0, as published). Nothing else is
///   added, except impulses that persist ([`Scope::Persistent`](crate::Scope::Persistent)).
/// - It decodes greedily: the token with the largest logit, ties to the lower id, with no penalty and no temperature.
/// - A token counts with its log-probability under the model's distribution: temperature 1, the whole vocabulary.
/// - It ends with a token that completes the delimiter, with one that ends a sequence, after
///   [`probe_tokens`](crate::ControllerConfig::probe_tokens) tokens, or where the context is full. A part of a
///   delimiter at the end of the text before the control point counts: it may be completed within the probe.
/// - Its score is the mean of the log-probabilities. It is NaN where there is no token or where a row of logits
///   described no distribution (a NaN, a +inf, all -inf). Where probes are scored by a read-out of success
///   ([`Probe::Value`](crate::Probe::Value)), [`gain`](Self::gain) compares the states at the tokens that two probes
///   encode.
///
/// Give it rows of logits until it wants no more, first those after the boundary token, then those after each token
/// that it took; where [`layer`](Self::layer) names one, give it the state at that token before. Its tokens are not a part
/// of the text. How a probe is cached, and whether probes share a batch, changes nothing in the result.
///
/// ```
/// # use stir_basis::{Entry, Library};
/// use stir_controller::{Controller, ControllerConfig};
/// use stir_core::{Delimiter, SegmentCounter, Vocab};
///
/// # let library = Library::from_vectors([Entry { key: [1.0].into(), ..Entry::default() }])?;
/// let controller = Controller::unchecked(library, ControllerConfig::default())?;
/// let vocab = Vocab::new([&b"a"[..], b"\n", b""], [2]);
/// let mut counter = SegmentCounter::new(Delimiter::default());
/// counter.push(b"so\n\n\n"); // one delimiter, and half of the next
///
/// let mut probe = controller.probe(&counter, 100);
/// assert!(probe.push(&[1.0, 0.0, 0.0], &vocab)); // takes "a": the half is none any more
/// assert!(probe.push(&[0.0, 1.0, 0.0], &vocab)); // takes a newline
/// assert!(!probe.push(&[0.0, 1.0, 0.0], &vocab)); // takes another: the delimiter is complete
/// assert!((probe.mean_log_prob() - -0.551_444).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ProbeBranch {
    counter: SegmentCounter,
    /// The most tokens it may take.
    budget: usize,
    choices: Vec<Choice>,
    running: bool,
    head: Option<Arc<ValueHead>>,
    /// What the head says at the boundary token and at each token encoded after it.
    values: Vec<f64>,
}

impl Controller {
    /// Starts a probe behind the text that `counter` has counted, where the context still has room for `room` tokens.
    ///
    /// A loop that runs [`Steering`](crate::Steering) uses [`Steering::probe`](crate::Steering::probe), which knows the
    /// text.
    pub fn probe(&self, counter: &SegmentCounter, room: usize) -> ProbeBranch {
        let budget = self.config().probe_tokens.min(room);
        let head = self.head().map(|(_, head)| head.clone());
        let counter = counter.clone();
        ProbeBranch { counter, budget, choices: Vec::new(), running: budget > 0, head, values: Vec::new() }
    }
}

impl ProbeBranch {
    /// Takes the likeliest token of a row of logits, `[vocab_size]`: that after the boundary token or after the token
    /// taken last. Returns whether the probe continues; if so, the token taken is to be encoded next.
    ///
    /// Does nothing where the probe has ended.
    pub fn push(&mut self, logits: &[f32], vocab: &Vocab) -> bool {
        if !self.running {
            return false;
        }
        // Greedy decoding draws nothing.
        let Ok(choice) = Sampling::GREEDY.pick(logits, &[], &mut SampleRng::new(0, 0)) else {
            self.choices.clear();
            self.values.clear();
            self.running = false;
            return false;
        };
        self.choices.push(choice);
        let ended = self.counter.push(vocab.bytes(choice.token)) > 0 || vocab.is_eos(choice.token);
        self.running = !ended && self.choices.len() < self.budget;
        self.running
    }

    /// Returns the layer after which the state is wanted at the boundary token and at every token that the probe encodes;
    /// `None` where the score is that of its tokens.
    pub fn layer(&self) -> Option<usize> {
        self.head.as_ref().map(|head| head.layer)
    }

    /// Takes the state after that layer, `[hidden_size]`, at the token whose logits are pushed next.
    ///
    /// Does nothing where no state is wanted.
    pub fn read(&mut self, state: &[f32]) {
        if self.running
            && let Some(head) = &self.head
        {
            self.values.push(head.value(state));
        }
    }

    /// Returns whether the probe wants another row of logits.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Returns the tokens taken, with their log-probabilities; none where a row of logits described no distribution.
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// Returns the score: the mean log-probability of the tokens taken, NaN where there are none.
    pub fn mean_log_prob(&self) -> f64 {
        self.choices.iter().map(|choice| f64::from(choice.log_prob)).sum::<f64>() / self.choices.len() as f64
    }

    /// Returns the gain over `null`, the probe without a vector, as [`Probe`](crate::Probe) says: the difference of the
    /// scores, or of the values at the last token that both have encoded. NaN where one has no result.
    pub fn gain(&self, null: &Self) -> f64 {
        if self.head.is_none() {
            return self.mean_log_prob() - null.mean_log_prob();
        }
        self.values.iter().zip(&null.values).next_back().map_or(f64::NAN, |(value, null)| value - null)
    }
}

impl ProbeScores {
    /// Returns the scores of the probe without a vector and of those with each candidate, in the order of the plan.
    /// Where probes are read out, the first is 0 and the others are the gains, since each is compared at a token of its
    /// own.
    pub fn of<'a>(null: &ProbeBranch, candidates: impl IntoIterator<Item = &'a ProbeBranch>) -> Self {
        let candidates = candidates.into_iter();
        if null.head.is_some() {
            return Self { null: 0.0, candidates: candidates.map(|probe| probe.gain(null)).collect() };
        }
        Self { null: null.mean_log_prob(), candidates: candidates.map(ProbeBranch::mean_log_prob).collect() }
    }
}
