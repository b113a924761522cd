use stir_core::{
    Addition, Choice, Engine, Generation, HookPoint, Lane, Output, Request, RequestError, Row, SampleRng, Sampling,
    SamplingError, SegmentCounter, Sequence, Session, TokenId, Vocab,
};

use crate::{Commit, ControlState, Controller, Decision, LayerState, Place, Plan, Planned, Scope, Steered, Step};

/// One steered sequence, to be run by [`drive`](stir_core::drive).
///
/// Between boundaries it decodes one token per pass. At a boundary the pass that encodes the boundary token also reads
/// the state there; then the probes run, all in the same passes, as forks that share the prefix; then the segment goes
/// on from the state already computed, or the boundary token is encoded once more with the impulse, in a fork. The
/// session itself follows without the impulse, in the same passes: it is where the next segment starts. Where nothing is
/// added and decoding is greedy, the unsteered probe is the start of the segment and is not computed twice.
///
/// Rows of one pass hold the same tokens at the same positions wherever they can, so that an engine may compute once
/// what they have in common below the impulse.
#[derive(Debug)]
pub struct SteeredLane<S> {
    controller: Controller,
    /// Numbers the sequence for variants that draw at random.
    number: u64,
    /// May lag behind the sequence. Knows of no impulse, unless impulses persist.
    session: S,
    /// The fork that a steered segment runs in.
    steered: Option<S>,
    sequence: Sequence,
    counter: SegmentCounter,
    stage: Stage<S>,
    steps: Vec<Step>,
    probe_tokens: usize,
    non_finite: usize,
}

#[derive(Debug)]
enum Stage<S> {
    /// Encode what is pending and sample the next token.
    Decode,
    /// As `Decode`, with the impulse at the last token.
    Commit(Commit),
    /// Encode what is pending, read the state at the last token, and plan.
    Read,
    /// Run the probes.
    Probe(Box<Probe<S>>),
}

/// What runs at a control point: a branch without an impulse, and one for each candidate of the plan.
#[derive(Debug)]
struct Probe<S> {
    plan: Plan,
    null: Branch<S>,
    branches: Vec<Branch<S>>,
    after_boundary: Output,
}

/// A short greedy continuation.
#[derive(Debug)]
struct Branch<S> {
    session: S,
    pending: Vec<TokenId>,
    counter: SegmentCounter,
    choices: Vec<Choice>,
    running: bool,
}

impl Controller {
    /// Sample `sample` of `request`, steered.
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

    /// As [`lane`](Self::lane), where `session` already holds the first tokens of the prompt; as
    /// [`Decode::resume`](stir_core::Decode::resume).
    ///
    /// # Errors
    /// As [`lane`](Self::lane).
    pub fn resume<E: Engine>(
        &self,
        engine: &E,
        mut session: E::Session,
        request: &Request,
        sample: usize,
    ) -> Result<SteeredLane<E::Session>, RequestError> {
        let sequence = Sequence::new(engine, request, sample)?;
        session.rewind(request.prompt.len() - 1);
        Ok(SteeredLane {
            controller: self.clone(),
            number: request.sample_stream(sample),
            session,
            sequence,
            counter: SegmentCounter::new(self.library().delimiter().clone()),
            stage: Stage::Decode,
            steered: None,
            steps: vec![Step::new(1, &Decision::default())],
            probe_tokens: 0,
            non_finite: 0,
        })
    }
}

impl<S: Session> Lane<S> for SteeredLane<S> {
    type Done = Steered;

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, S>>) {
        let boundary = self.sequence.tokens().len() - 1;
        match &mut self.stage {
            Stage::Probe(probe) => {
                let waiting = probe.waiting();
                let Probe { plan, null, branches, .. } = &mut **probe;
                let impulses = plan.candidates().iter().map(|candidate| Addition {
                    point: HookPoint::ResidPost(candidate.layer),
                    position: boundary,
                    vector: &candidate.vector,
                    scale: 1.0,
                });
                let branches = std::iter::once((null, None)).chain(branches.iter_mut().zip(impulses.map(Some)));
                for (branch, impulse) in branches.skip(waiting).filter(|(branch, _)| branch.running) {
                    // The impulse is in the pass that encodes the boundary token.
                    let additions = impulse.filter(|_| !branch.has_begun()).into_iter().collect();
                    let (session, tokens) = (&mut branch.session, &branch.pending);
                    rows.push(Row { session, tokens, additions, capture: &[], logits: true });
                }
            }
            stage => {
                let capture = if matches!(stage, Stage::Read) { self.controller.points() } else { &[] };
                let impulse = match stage {
                    Stage::Commit(commit) => Some(Addition {
                        point: HookPoint::ResidPost(commit.layer),
                        position: boundary,
                        vector: &commit.vector,
                        scale: commit.scale,
                    }),
                    _ => None,
                };
                let tokens = self.sequence.tokens();
                let behind = &tokens[self.session.len()..];
                let (session, follower) = match &mut self.steered {
                    Some(steered) => (steered, Some(&mut self.session).filter(|_| !behind.is_empty())),
                    None => (&mut self.session, None),
                };
                let (additions, ahead) = (impulse.into_iter().collect(), &tokens[session.len()..]);
                rows.push(Row { session, tokens: ahead, additions, capture, logits: true });
                if let Some(session) = follower {
                    rows.push(Row { session, tokens: behind, additions: Vec::new(), capture: &[], logits: false });
                }
            }
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
        let stage = std::mem::replace(&mut self.stage, Stage::Decode);
        if let Stage::Probe(probe) = stage {
            return self.probe(vocab, probe, outputs);
        }
        // Behind it may be that of the session that follows.
        outputs.truncate(1);
        let output = outputs.pop().unwrap_or_default();
        if matches!(stage, Stage::Read) { self.plan(vocab, output) } else { self.extend(vocab, &output) }
    }

    fn sequence(&self) -> &Sequence {
        &self.sequence
    }

    fn note(&self, index: usize) -> Place {
        Place::of(&self.steps, self.sequence.answer().len(), index)
    }

    fn answer(&self) -> Steered {
        Steered::new(self.sequence.generated(), self.probe_tokens, self.non_finite, self.steps.clone())
    }
}

impl<S: Session> SteeredLane<S> {
    /// Draws the next token.
    fn extend(&mut self, vocab: &Vocab, output: &Output) -> Result<(), SamplingError> {
        self.sequence.draw(vocab, &output.logits)?;
        self.pushed(vocab);
        Ok(())
    }

    /// Says what comes after the token that was appended last.
    fn pushed(&mut self, vocab: &Vocab) {
        if let Some(step) = self.steps.last_mut() {
            step.tokens += 1;
        }
        let completed = self.sequence.tokens().last().map_or(0, |&token| self.counter.push(vocab.bytes(token)));
        if completed > 0 && self.sequence.finish().is_none() {
            self.boundary();
        }
    }

    /// The last token ended a segment.
    fn boundary(&mut self) {
        // After the last control point the rest is one stretch, logged as the segment after it.
        let (before, m) = (self.steps.last().map_or(0, |step| step.segment), self.counter.count());
        if before > self.controller.config().max_control_points {
            return;
        }
        self.steered = None;
        match self.controller.without_states(self.number, m) {
            Some(decision) => {
                self.commit(decision);
            }
            None => self.stage = Stage::Read,
        }
    }

    /// The state at the boundary has been read.
    fn plan(&mut self, vocab: &Vocab, output: Output) -> Result<(), SamplingError> {
        let points = self.controller.points().iter().map(|point| point.layer());
        let states = points.zip(output.captures.iter().cloned());
        let states = states.map(|(layer, values)| LayerState { layer, values }).collect();
        let at = ControlState { sequence: self.number, m: self.counter.count(), states };
        let plan = match self.controller.plan(&at) {
            Planned::Probe(plan) => plan,
            Planned::Decided(decision) => {
                return if self.commit(decision) { Ok(()) } else { self.extend(vocab, &output) };
            }
        };
        // The null probe starts from the logits at hand; the others encode the boundary token with their vectors.
        let boundary = self.sequence.tokens().len() - 1;
        let branch = |session, pending| {
            let counter = self.counter.clone();
            Branch { session, pending, counter, choices: Vec::new(), running: true }
        };
        let mut null = branch(self.session.fork(), Vec::new());
        null.push(vocab, &output, self.probe_budget());
        let steered = plan.candidates().iter().map(|_| {
            let mut session = self.session.fork();
            session.rewind(boundary);
            branch(session, vec![self.sequence.tokens()[boundary]])
        });
        let branches = steered.collect();
        self.stage = Stage::Probe(Box::new(Probe { plan, null, branches, after_boundary: output }));
        Ok(())
    }

    /// A probe is no longer than the context allows.
    fn probe_budget(&self) -> usize {
        self.controller.config().probe_tokens.min(self.sequence.room())
    }

    /// One more token of every probe that is still running.
    fn probe(&mut self, vocab: &Vocab, mut probe: Box<Probe<S>>, outputs: Vec<Output>) -> Result<(), SamplingError> {
        let (budget, mut outputs) = (self.probe_budget(), outputs.into_iter());
        let waiting = probe.waiting();
        for branch in probe.all().skip(waiting).filter(|branch| branch.running) {
            branch.push(vocab, &outputs.next().unwrap_or_default(), budget);
        }
        if probe.all().any(|branch| branch.running) {
            self.stage = Stage::Probe(probe);
            return Ok(());
        }
        self.probe_tokens += probe.all().map(|branch| branch.choices.len()).sum::<usize>();
        let Probe { plan, null, branches, after_boundary } = *probe;
        let decision = self.controller.settle(plan, |i| branches[i].mean() - null.mean());
        // The forks go before the sequence moves on, so that its cache is its own again.
        drop(branches);
        if self.commit(decision) {
            Ok(())
        } else if self.sequence.sampling().is_greedy() && !null.choices.is_empty() {
            // The null probe took the very tokens that come next, and has encoded all but the last.
            self.session = null.session;
            for choice in null.choices {
                if self.sequence.finish().is_some() {
                    break;
                }
                self.sequence.push(vocab, choice);
                self.pushed(vocab);
            }
            Ok(())
        } else {
            self.extend(vocab, &after_boundary)
        }
    }

    /// Starts the next segment; whether with an impulse.
    fn commit(&mut self, decision: Decision) -> bool {
        self.non_finite += decision.non_finite;
        self.steps.push(Step::new(self.counter.count() + 1, &decision));
        let Some(commit) = decision.commit else { return false };
        let boundary = self.sequence.tokens().len() - 1;
        match self.controller.config().scope {
            Scope::Segment => self.steered.insert(self.session.fork()).rewind(boundary),
            Scope::Persistent => self.session.rewind(boundary),
        }
        self.stage = Stage::Commit(commit);
        true
    }
}

impl<S> Probe<S> {
    /// The branches, in the order of their rows.
    fn all(&mut self) -> impl Iterator<Item = &mut Branch<S>> {
        std::iter::once(&mut self.null).chain(&mut self.branches)
    }

    /// How many of them sit this pass out: the unsteered one has its first token already, and waits for the others to
    /// have one.
    fn waiting(&self) -> usize {
        usize::from(!self.branches.iter().all(Branch::has_begun))
    }
}

impl<S> Branch<S> {
    /// Whether its first token is known, or that it gets none.
    fn has_begun(&self) -> bool {
        !self.choices.is_empty() || !self.running
    }

    /// Takes the likeliest next token. Where the logits describe no distribution the probe ends without a score.
    fn push(&mut self, vocab: &Vocab, output: &Output, budget: usize) {
        // Greedy decoding draws nothing.
        let Ok(choice) = Sampling::GREEDY.pick(&output.logits, &[], &mut SampleRng::new(0, 0)) else {
            self.choices.clear();
            self.running = false;
            return;
        };
        self.choices.push(choice);
        self.pending = vec![choice.token];
        let ended = self.counter.push(vocab.bytes(choice.token)) > 0 || vocab.is_eos(choice.token);
        self.running = !ended && self.choices.len() < budget;
    }

    /// Mean log-probability; NaN without a token.
    fn mean(&self) -> f64 {
        self.choices.iter().map(|choice| f64::from(choice.log_prob)).sum::<f64>() / self.choices.len() as f64
    }
}
