use stir_core::{
    Addition, Engine, Generation, HookPoint, Lane, Output, Request, RequestError, Row, SamplingError, Sequence,
    Session, Vocab,
};

use crate::{
    Commit, Controller, LayerState, Next, Place, Scope, Steered, Steering, Step, Strength,
    probes::{Probe, Probes},
};

/// One steered sequence, to be run by a [`Scheduler`](stir_core::Scheduler): the wishes of a [`Steering`] as rows of an
/// engine.
///
/// Between boundaries it decodes one token per pass. At a boundary the pass that encodes the boundary token also reads
/// the state there; then the probes run, all in the same passes, as forks that share the prefix; then the segment
/// continues from the state already computed, or the boundary token is encoded once more with the impulse, in a fork.
/// The session itself follows without the impulse, in the same passes: it is where the next segment starts. Where
/// nothing is added and decoding is greedy, the unsteered probe is the start of the segment and is not computed twice; so
/// is the chosen candidate's where it was probed at the scale that is committed, which is known beforehand with
/// [`Strength::Relative`].
///
/// Rows of one pass hold the same tokens at the same positions wherever they can, so that an engine may compute once
/// what they have in common below the impulse.
#[derive(Debug)]
pub struct SteeredLane<S> {
    steering: Steering,
    /// May lag behind the sequence. Knows of no impulse, unless impulses persist.
    session: S,
    /// The fork that a steered segment runs in.
    steered: Option<S>,
    sequence: Sequence,
    /// There while the steering wants probes.
    probes: Option<Box<Probes<S>>>,
    probe_tokens: usize,
}

impl Controller {
    /// Starts sample `sample` of `request`, steered.
    ///
    /// For variants that draw at random the sequence has the number of its random stream.
    ///
    /// # Errors
    /// [`RequestError`] when the request cannot be served.
    pub fn lane<E: Engine>(
        &self,
        engine: &E,
        request: &Request,
        sample: usize,
    ) -> Result<SteeredLane<E::Session>, RequestError> {
        self.resume(engine, engine.session(), request, sample)
    }

    /// Starts a sample as [`lane`](Self::lane) does, where `session` already holds the first tokens of the prompt; see
    /// [`Decode::resume`](stir_core::Decode::resume).
    ///
    /// A [`Generator`](stir_core::Generator) of steered answers, for a server whose requests come at any time, starts
    /// its samples with it:
    ///
    /// ```
    /// # use stir_basis::{Action, Entry, Library};
    /// # use stir_controller::{Controller, ControllerConfig};
    /// # use stir_core::{Event, Generator, Request, Text, toy::ToyEngine};
    /// # let engine = ToyEngine::new(1);
    /// # let action = Action::Steer(vec![0.5; 10]);
    /// # let library = Library::from_vectors([Entry { layer: 1, key: [1.0; 10].into(), action, ..Entry::default() }])?;
    /// # let controller = Controller::unchecked(library, ControllerConfig::default())?;
    /// let start = |engine: &_, session, request: &_, sample| controller.resume(engine, session, request, sample);
    /// let mut generator = Generator::with(&engine, 8, start);
    /// generator.push(Request { max_tokens: 20, ..Request::new(engine.encode("one")?) })?;
    /// while !generator.is_empty() {
    ///     for (_, event) in generator.step()? {
    ///         if let Event::Finished { answer, .. } = event {
    ///             println!("{} segments", answer.steps.len());
    ///         }
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`RequestError`] when the request cannot be served.
    pub fn resume<E: Engine>(
        &self,
        engine: &E,
        session: E::Session,
        request: &Request,
        sample: usize,
    ) -> Result<SteeredLane<E::Session>, RequestError> {
        let sequence = Sequence::new(engine, request, sample)?;
        Ok(SteeredLane::new(self.steer(request.sample_stream(sample)), session, sequence))
    }

    /// Starts a sample as [`resume`](Self::resume) does, with a first segment that begins with the impulse `first` at the
    /// prompt's last token, or with nothing, instead of what the settings say there; then it goes on as they say. With an
    /// answer so far at the end of the prompt, this tries an impulse at any of its boundaries.
    ///
    /// The control points are counted from the end of the prompt.
    ///
    /// ```
    /// # use std::ops::ControlFlow;
    /// # use stir_basis::{Entry, Library};
    /// # use stir_controller::{Commit, Controller, ControllerConfig, Variant};
    /// # use stir_core::{Engine, Request, Text, drive, toy::ToyEngine};
    /// # let engine = ToyEngine::new(1);
    /// # let library = Library::from_vectors([Entry { layer: 1, key: [1.0; 10].into(), ..Entry::default() }])?;
    /// let config = ControllerConfig { variant: Variant::NoMemory, ..ControllerConfig::default() };
    /// let controller = Controller::unchecked(library, config)?;
    /// let request = Request { max_tokens: 20, ..Request::new(engine.encode("one\n\n")?) };
    /// let first = Commit { entry: None, layer: 1, vector: [0.5; 10].into(), scale: 1.0 };
    /// let lanes = [Some(first), None].map(|first| controller.resume_with(&engine, engine.session(), &request, 0, first));
    /// for lane in lanes {
    ///     drive(&engine, [lane?], 1, |_, answer| {
    ///         println!("{}", answer.text(engine.vocab()));
    ///         ControlFlow::Continue(())
    ///     })?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`RequestError`] when the request cannot be served.
    pub fn resume_with<E: Engine>(
        &self,
        engine: &E,
        session: E::Session,
        request: &Request,
        sample: usize,
        first: Option<Commit>,
    ) -> Result<SteeredLane<E::Session>, RequestError> {
        let sequence = Sequence::new(engine, request, sample)?;
        Ok(SteeredLane::new(self.steer_with(request.sample_stream(sample), first), session, sequence))
    }
}

impl<S: Session> Lane<S> for SteeredLane<S> {
    type Done = Steered;

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, S>>) {
        let Self { steering, session, steered, sequence, probes, .. } = self;
        let tokens = sequence.tokens();
        let last = tokens.len() - 1;
        let addition =
            |layer, position, vector, scale| Addition { point: HookPoint::ResidPost(layer), position, vector, scale };
        let (mut capture, mut additions) = (&[][..], Vec::new());
        match (steering.next(), probes) {
            (Next::Probe(plan), Some(probes)) => {
                let waiting = probes.waiting();
                let controller = steering.controller();
                let capture = controller.head().map_or(&[][..], |(slot, _)| &controller.points()[*slot..=*slot]);
                let vectors = plan.candidates().iter().map(Some);
                let running = probes.all().zip(std::iter::once(None).chain(vectors)).skip(waiting);
                for (probe, candidate) in running.filter(|(probe, _)| probe.branch.is_running()) {
                    // This pass encodes the boundary token, or the `t`-th after it.
                    let t = probe.branch.choices().len();
                    let factor = controller.config().placement.factor(t);
                    let candidate = candidate.filter(|_| factor != 0.0);
                    let impulse = candidate.map(|c| addition(c.layer, last + t, &c.vector, c.probe_scale * factor));
                    let additions = impulse.into_iter().collect();
                    let (session, tokens) = (&mut probe.session, &probe.pending);
                    rows.push(Row { session, tokens, additions, capture, logits: true });
                }
                return;
            }
            (Next::Read { .. }, _) => capture = steering.controller().points(),
            (Next::Commit(commit), _) => additions.push(addition(commit.layer, last, &commit.vector, commit.scale)),
            _ => {
                let impulse = steering.impulse();
                additions.extend(impulse.map(|(commit, scale)| addition(commit.layer, last, &commit.vector, scale)));
            }
        }
        let behind = &tokens[session.len()..];
        let (session, follower) = match steered {
            Some(steered) => (steered, Some(session).filter(|_| !behind.is_empty())),
            None => (session, None),
        };
        rows.push(Row { tokens: &tokens[session.len()..], session, additions, capture, logits: true });
        if let Some(session) = follower {
            rows.push(Row { session, tokens: behind, additions: Vec::new(), capture: &[], logits: false });
        }
    }

    fn absorb(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<Option<Steered>, SamplingError> {
        self.advance(vocab, outputs)?;
        Ok(self.finished())
    }
}

impl<S: Session> Generation<S> for SteeredLane<S> {
    type Note = Place;

    fn advance(&mut self, vocab: &Vocab, mut outputs: Vec<Output>) -> Result<(), SamplingError> {
        self.sequence.count_pass();
        if let Some(probes) = self.probes.take() {
            return self.probe(vocab, probes, outputs);
        }
        // Behind it may be that of the session that follows.
        outputs.truncate(1);
        let output = outputs.pop().unwrap_or_default();
        match self.steering.next() {
            Next::Read { layers } => {
                let read = layers.iter().zip(&output.captures);
                let states = read.map(|(&layer, values)| LayerState { layer, values: values.clone() }).collect();
                self.steering.plan(states);
                self.prepare();
                self.decided(vocab, output)
            }
            _ => {
                self.steering.resume();
                self.extend(vocab, &output)
            }
        }
    }

    fn sequence(&self) -> &Sequence {
        &self.sequence
    }

    fn note(&self, index: usize) -> Place {
        self.steering.place(index)
    }

    fn answer(&self) -> Steered {
        Steered {
            generated: self.sequence.generated(),
            probe_tokens: self.probe_tokens,
            non_finite: self.steering.non_finite(),
            steps: self.steering.steps().to_vec(),
        }
    }
}

impl<S> SteeredLane<S> {
    /// Returns the decisions so far, segment by segment; the last segment is the one that is being generated.
    pub fn steps(&self) -> &[Step] {
        self.steering.steps()
    }
}

impl<S: Session> SteeredLane<S> {
    /// `session` holds the first tokens of the prompt.
    fn new(steering: Steering, mut session: S, sequence: Sequence) -> Self {
        session.rewind(sequence.tokens().len() - 1);
        let mut lane = Self { steering, session, steered: None, sequence, probes: None, probe_tokens: 0 };
        lane.prepare();
        lane
    }

    /// Draws the next token.
    fn extend(&mut self, vocab: &Vocab, output: &Output) -> Result<(), SamplingError> {
        self.sequence.draw(vocab, &output.logits)?;
        self.pushed(vocab);
        Ok(())
    }

    /// Tells of the token that was appended last.
    fn pushed(&mut self, vocab: &Vocab) {
        let bytes = self.sequence.tokens().last().map_or(&[][..], |&token| vocab.bytes(token));
        self.steering.push(bytes, self.sequence.finish().is_some());
        self.prepare();
    }

    /// Does what is wanted next, as far as it takes no pass.
    fn prepare(&mut self) {
        if let Next::Reencode { .. } = self.steering.next() {
            // The session has followed without the impulse, and encodes what it lacks in the next pass.
            self.steered = None;
            self.steering.act();
        }
        if let Next::Commit(_) = self.steering.next() {
            let boundary = self.sequence.tokens().len() - 1;
            match self.steering.controller().config().scope {
                Scope::Segment => self.steered.insert(self.session.fork()).rewind(boundary),
                Scope::Persistent => self.session.rewind(boundary),
            }
        }
    }

    /// Starts the probes, or the segment where there are none; `output` is that of the boundary token.
    fn decided(&mut self, vocab: &Vocab, output: Output) -> Result<(), SamplingError> {
        match self.steering.next() {
            Next::Probe(plan) => {
                let (tokens, room) = (self.sequence.tokens(), self.sequence.room());
                let boundary = tokens.len() - 1;
                let probe = |session, pending| Probe { branch: self.steering.probe(room), session, pending };
                // The null probe starts from the logits at hand; the others encode the boundary token with their vectors.
                let mut null = probe(self.session.fork(), Vec::new());
                let state = self.steering.controller().head().and_then(|(slot, _)| output.captures.get(*slot));
                null.push(vocab, &output.logits, state);
                let candidate = |_| {
                    let mut session = self.session.fork();
                    session.rewind(boundary);
                    probe(session, vec![tokens[boundary]])
                };
                let candidates = plan.candidates().iter().map(candidate).collect();
                self.probes = Some(Box::new(Probes { null, candidates, after_boundary: output }));
                Ok(())
            }
            Next::Commit(_) => Ok(()),
            _ => self.extend(vocab, &output),
        }
    }

    /// Returns which probe did what was decided, if one did: 0 for the unsteered one, then the candidates.
    fn probed_alike(&self) -> Option<usize> {
        let step = self.steering.steps().last()?;
        match (self.steering.next(), self.steering.controller().config().strength) {
            (Next::Decode, _) => Some(0),
            // Of the other strengths, the scale is known only after the probe.
            (Next::Commit(_), Strength::Relative(_)) => {
                step.candidates.iter().position(|candidate| Some(candidate.entry) == step.chosen).map(|i| i + 1)
            }
            _ => None,
        }
    }

    /// Takes one more token of every probe that is still running.
    fn probe(&mut self, vocab: &Vocab, mut probes: Box<Probes<S>>, outputs: Vec<Output>) -> Result<(), SamplingError> {
        let (waiting, mut outputs) = (probes.waiting(), outputs.into_iter());
        for probe in probes.all().skip(waiting).filter(|probe| probe.branch.is_running()) {
            let output = outputs.next().unwrap_or_default();
            probe.push(vocab, &output.logits, output.captures.first());
        }
        if probes.all().any(|probe| probe.branch.is_running()) {
            self.probes = Some(probes);
            return Ok(());
        }
        self.probe_tokens += probes.all().map(|probe| probe.branch.choices().len()).sum::<usize>();
        let Probes { null, candidates, after_boundary } = *probes;
        self.steering.probed(|i| candidates[i].branch.gain(&null.branch));
        let mut branches: Vec<Probe<S>> = std::iter::once(null).chain(candidates).collect();
        let same = self.probed_alike().map(|i| branches.swap_remove(i));
        // The other forks go before the sequence moves on, so that its cache is its own again.
        drop(branches);
        if let Some(Probe { branch, session, .. }) = same
            && self.sequence.sampling().is_greedy()
            && !branch.choices().is_empty()
        {
            // It took the very tokens that come next, and has encoded all but the last.
            let config = self.steering.controller().config();
            match (self.steering.next(), config.scope) {
                (Next::Commit(_), Scope::Segment) => self.steered = Some(session),
                _ => self.session = session,
            }
            self.steering.resume();
            for &choice in branch.choices() {
                if self.sequence.finish().is_some() {
                    break;
                }
                self.sequence.push(vocab, choice);
                self.pushed(vocab);
            }
            return Ok(());
        }
        self.prepare();
        self.decided(vocab, after_boundary)
    }
}

/// A steered sequence moves between threads with its session.
const _: () = {
    const fn sent<T: Send>() {}
    sent::<SteeredLane<()>>();
};
