use std::sync::Arc;

use stir_core::SegmentCounter;

use crate::{
    Commit, ControlState, Controller, ControllerError, Decision, LayerState, Place, Plan, Planned, ProbeBranch,
    ProbeScores, Scope, Step,
};

/// The method for one sequence, as a state machine without any I/O: it says what is to be done next and is told the
/// outcome. Any decoding loop can be steered with it; [`SteeredLane`](crate::SteeredLane) is one.
///
/// [`next`](Self::next) returns the next task, and for each task there is one method that takes its result. A loop
/// matches on it until the sequence has ended:
///
/// ```
/// # use stir_basis::{Action, Entry, Library};
/// use stir_controller::{Controller, ControllerConfig, LayerState, Next, ProbeScores};
/// # use stir_core::{
/// #     Addition, Engine, HookPoint, Output, Row, Text, TokenId, argmax, toy::{ToyEngine, ToyError},
/// # };
/// # let engine = ToyEngine::without_eos(17);
/// # let action = Action::Steer(vec![0.7; 10]);
/// # let library = Library::from_vectors([Entry { layer: 1, key: [1.0; 10].into(), action, ..Entry::default() }])?;
/// # let config = ControllerConfig { min_similarity: -1.0, ..ControllerConfig::default() };
/// # let vocab = engine.vocab();
/// let controller = Controller::unchecked(library, config)?;
/// let prompt: Vec<TokenId> = engine.encode("abc")?;
///
/// // A model that encodes a text from its start every time, with impulses: (token, layer, vector, scale).
/// type Impulse = (usize, usize, std::sync::Arc<[f32]>, f32);
/// let run = |tokens: &[TokenId], impulses: &[Impulse], layers: &[usize]| -> Result<Output, ToyError> {
///     let capture: Vec<_> = layers.iter().map(|&layer| HookPoint::ResidPost(layer)).collect();
///     let additions = impulses.iter().map(|(position, layer, vector, scale)| Addition {
///         point: HookPoint::ResidPost(*layer), position: *position, vector, scale: *scale,
///     });
///     let additions = additions.collect();
///     let row = Row { session: &mut engine.session(), tokens, additions, capture: &capture, logits: true };
///     Ok(engine.forward(&mut [row])?.remove(0))
/// };
///
/// let (mut tokens, mut impulses) = (prompt.clone(), Vec::<Impulse>::new());
/// let mut steering = controller.steer(0);
/// loop {
///     let last = tokens.len() - 1;
///     match steering.next() {
///         Next::Decode => {
///             impulses.extend(steering.impulse().map(|(c, scale)| (last, c.layer, c.vector.clone(), scale)));
///             let token = argmax(&run(&tokens, &impulses, &[])?.logits)? as TokenId;
///             tokens.push(token);
///             steering.token(vocab.bytes(token), vocab.is_eos(token) || tokens.len() == 60)?;
///         }
///         Next::Reencode { last } => {
///             impulses.retain(|impulse| impulse.0 < tokens.len() - last);
///             steering.reencoded()?;
///         }
///         Next::Read { layers } => {
///             let read = run(&tokens, &impulses, layers)?.captures;
///             let states = layers.iter().zip(read).map(|(&layer, values)| LayerState { layer, values }).collect();
///             steering.states(states)?;
///         }
///         Next::Probe(plan) => {
///             let probe = |impulse: Option<Impulse>| {
///                 let (mut branch, mut text) = (steering.probe(96 - tokens.len()), tokens.clone());
///                 let impulses: Vec<_> = impulses.iter().cloned().chain(impulse).collect();
///                 while branch.push(&run(&text, &impulses, &[])?.logits, vocab) {
///                     text.extend(branch.choices().last().map(|choice| choice.token));
///                 }
///                 Ok::<_, ToyError>(branch)
///             };
///             let null = probe(None)?;
///             let vectors = plan.candidates().iter();
///             let vectors = vectors.map(|c| probe(Some((last, c.layer, c.vector.clone(), c.probe_scale))));
///             let scores = ProbeScores::of(&null, &vectors.collect::<Result<Vec<_>, _>>()?);
///             steering.scores(&scores)?;
///         }
///         Next::Commit(commit) => {
///             impulses.push((last, commit.layer, commit.vector.clone(), commit.scale));
///             steering.committed()?;
///         }
///         Next::Done => break,
///     }
/// }
/// assert_eq!(steering.steps().iter().map(|step| step.tokens).sum::<usize>(), tokens.len() - prompt.len());
/// assert!(steering.steps().iter().any(|step| step.steered()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// If this loop forgets or adds an impulse, a loop with a cache truncates it, and encodes the tokens that are then
/// missing with its next pass. [`ProbeBranch`] says what a probe adds and reads besides where
/// [`Placement::Segment`](crate::Placement::Segment) or [`Probe::Value`](crate::Probe::Value) are set.
#[derive(Debug, Clone)]
pub struct Steering {
    controller: Controller,
    sequence: u64,
    counter: SegmentCounter,
    next: Next,
    /// The number of tokens generated.
    tokens: usize,
    /// The impulse of this segment, and the number of tokens generated before it.
    impulse: Option<(Commit, usize)>,
    steps: Vec<Step>,
    non_finite: usize,
}

/// The next task for the loop that runs a [`Steering`]. A new kind is a breaking change, because a loop is complete
/// only when it handles all of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Decode one token as usual, encoding first what is not encoded yet; answer with [`Steering::token`].
    Decode,
    /// The segment that began with an impulse has ended, and what follows is to see it as encoded without: forget what
    /// is cached of the last tokens of the sequence, so that they are encoded again without an impulse, and answer with
    /// [`Steering::reencoded`]. Only [`Scope::Segment`] wants this.
    Reencode {
        /// The number of these tokens. The first of them bore the impulse; it may be the last of the prompt.
        last: usize,
    },
    /// Encode all tokens, the last one included, and read the residual stream after each of these layers at the last
    /// one; answer with [`Steering::states`].
    Read {
        /// The decoder layers, 0-based, ascending.
        layers: Arc<[usize]>,
    },
    /// Run a probe without a vector, and one with the vector of each candidate of the plan, added at its `probe_scale`
    /// where the last token is encoded; [`Steering::probe`] starts them and [`ProbeBranch`] says how they go. Answer with
    /// [`Steering::scores`].
    Probe(Plan),
    /// Encode the last token (again, where it is encoded already) with this impulse, and keep what it leaves in the
    /// cache; answer with [`Steering::committed`]. The next token is decoded from the logits of that pass.
    Commit(Commit),
    /// The sequence has ended.
    Done,
}

impl Next {
    fn name(&self) -> &'static str {
        match self {
            Self::Decode => "a token",
            Self::Reencode { .. } => "a segment encoded again",
            Self::Read { .. } => "states",
            Self::Probe(_) => "the scores of probes",
            Self::Commit(_) => "an impulse committed",
            Self::Done => "nothing more",
        }
    }
}

impl Controller {
    /// Starts steering a sequence of which nothing is generated yet.
    ///
    /// `sequence` numbers it for the variants that draw at random: the same number draws the same.
    pub fn steer(&self, sequence: u64) -> Steering {
        let mut steering = self.idle(sequence);
        match self.config().at_prompt {
            true => steering.act(),
            false => steering.decided(Decision::default()),
        }
        steering
    }

    /// Starts like [`steer`](Self::steer), with a first segment that begins with `first` at the last token of the prompt,
    /// or with nothing, instead of what the settings say there. A `first` that is not finite is left out and counted.
    pub fn steer_with(&self, sequence: u64, first: Option<Commit>) -> Steering {
        let mut steering = self.idle(sequence);
        steering.decided(first.map_or_else(Decision::default, Decision::of));
        steering
    }

    /// Before the first segment, of which nothing is decided.
    fn idle(&self, sequence: u64) -> Steering {
        Steering {
            controller: self.clone(),
            sequence,
            counter: SegmentCounter::new(self.library().delimiter().clone()),
            next: Next::Decode,
            tokens: 0,
            impulse: None,
            steps: Vec::new(),
            non_finite: 0,
        }
    }
}

impl Steering {
    /// Returns what is to be done next. Asking changes nothing.
    pub fn next(&self) -> &Next {
        &self.next
    }

    /// Takes the bytes of a token that was generated, and whether the sequence ends with it (an end token, a stop
    /// string, the last of the budget): then there is no control point at it.
    ///
    /// # Errors
    /// [`ControllerError::OutOfTurn`] when [`next`](Self::next) is not [`Next::Decode`].
    pub fn token(&mut self, bytes: &[u8], last: bool) -> Result<(), ControllerError> {
        self.turn(matches!(self.next, Next::Decode), "a token")?;
        self.push(bytes, last);
        Ok(())
    }

    /// Says that the steered segment is forgotten, so that it is encoded again without its impulse.
    ///
    /// # Errors
    /// [`ControllerError::OutOfTurn`] when [`next`](Self::next) is not [`Next::Reencode`].
    pub fn reencoded(&mut self) -> Result<(), ControllerError> {
        self.turn(matches!(self.next, Next::Reencode { .. }), "a segment encoded again")?;
        self.act();
        Ok(())
    }

    /// Takes the states at the control point, one for each layer asked for.
    ///
    /// # Errors
    /// [`ControllerError::OutOfTurn`] when [`next`](Self::next) is not [`Next::Read`].
    pub fn states(&mut self, states: Vec<LayerState>) -> Result<(), ControllerError> {
        self.turn(matches!(self.next, Next::Read { .. }), "states")?;
        self.plan(states);
        Ok(())
    }

    /// Starts one of the probes at the control point, where the context still has room for `room` tokens.
    pub fn probe(&self, room: usize) -> ProbeBranch {
        self.controller.probe(&self.counter, room)
    }

    /// Takes the scores of the probes.
    ///
    /// # Errors
    /// [`ControllerError::OutOfTurn`] when [`next`](Self::next) is not [`Next::Probe`], and
    /// [`ControllerError::ProbeCount`] when the scores are not one for each candidate; both change nothing.
    pub fn scores(&mut self, scores: &ProbeScores) -> Result<(), ControllerError> {
        let Next::Probe(plan) = &self.next else {
            return self.turn(false, "the scores of probes");
        };
        let decision = self.controller.decide(plan.clone(), scores)?;
        self.decided(decision);
        Ok(())
    }

    /// Says that the impulse has been added, so that the next token is decoded from there.
    ///
    /// # Errors
    /// [`ControllerError::OutOfTurn`] when [`next`](Self::next) is not [`Next::Commit`].
    pub fn committed(&mut self) -> Result<(), ControllerError> {
        self.turn(matches!(self.next, Next::Commit(_)), "an impulse committed")?;
        self.next = Next::Decode;
        Ok(())
    }

    /// Returns the impulse that the last token bears where it is encoded for [`Next::Decode`], and its scale there. Only
    /// [`Placement::Segment`](crate::Placement::Segment) has any, at the tokens after that of [`Next::Commit`].
    pub fn impulse(&self) -> Option<(&Commit, f32)> {
        let (commit, before) = self.impulse.as_ref()?;
        let scale = commit.scale * self.controller.config().placement.factor(self.tokens - before);
        (self.tokens > *before && scale != 0.0).then_some((commit, scale))
    }

    /// Returns the segments so far, with what was decided before each.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns the segment that generated token `index` (from 0) belongs to, and what was decided just before the
    /// token.
    pub fn place(&self, index: usize) -> Place {
        let at_prompt = self.controller.config().at_prompt || self.steps.first().is_some_and(Step::steered);
        Place::of(&self.steps, self.tokens, index, at_prompt)
    }

    /// Returns the number of states, and of candidates' scores or impulses, left out because they were not finite.
    pub fn non_finite(&self) -> usize {
        self.non_finite
    }

    /// Returns the controller that decides.
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    fn turn(&self, its: bool, given: &'static str) -> Result<(), ControllerError> {
        if its { Ok(()) } else { Err(ControllerError::OutOfTurn { given, wanted: self.next.name() }) }
    }

    // The public methods without the check of whose turn it is: a lane knows by its own match on `next`.

    pub(crate) fn push(&mut self, bytes: &[u8], last: bool) {
        self.tokens += 1;
        if let Some(step) = self.steps.last_mut() {
            step.tokens += 1;
        }
        if last {
            self.next = Next::Done;
        } else if self.counter.push(bytes) > 0 {
            self.boundary();
        }
    }

    /// The last token ended a segment.
    fn boundary(&mut self) {
        // After the last control point the rest is one stretch, logged as the segment after it.
        let before = self.steps.last().map_or(0, |step| step.segment);
        if before > self.controller.config().max_control_points {
            return;
        }
        match self.impulse.take() {
            Some((_, before)) if self.controller.config().scope == Scope::Segment => {
                self.next = Next::Reencode { last: self.tokens - before + 1 };
            }
            _ => self.act(),
        }
    }

    /// Nothing is left of the segment before: decides, or asks for the states.
    pub(crate) fn act(&mut self) {
        match self.controller.without_states(self.sequence, self.counter.count()) {
            Some(decision) => self.decided(decision),
            None => self.next = Next::Read { layers: self.controller.layers().clone() },
        }
    }

    pub(crate) fn plan(&mut self, states: Vec<LayerState>) {
        let at = ControlState { sequence: self.sequence, m: self.counter.count(), states };
        match self.controller.plan(&at) {
            Planned::Decided(decision) => self.decided(decision),
            Planned::Probe(plan) => self.next = Next::Probe(plan),
        }
    }

    /// Takes the gain of each candidate.
    pub(crate) fn probed(&mut self, gain: impl Fn(usize) -> f64) {
        if let Next::Probe(plan) = std::mem::replace(&mut self.next, Next::Decode) {
            let decision = self.controller.settle(plan, gain);
            self.decided(decision);
        }
    }

    /// Begins the next segment.
    fn decided(&mut self, decision: Decision) {
        self.non_finite += decision.non_finite;
        self.steps.push(Step::new(self.counter.count() + 1, &decision));
        self.next = match decision.commit {
            Some(commit) => {
                self.impulse = Some((commit.clone(), self.tokens));
                Next::Commit(commit)
            }
            None => Next::Decode,
        };
    }

    pub(crate) fn resume(&mut self) {
        self.next = Next::Decode;
    }
}
