use std::ops::ControlFlow;

use stir_core::{
    Addition, DriveError, Engine, Finish, HookPoint, Lane, Limits, Output, RequestError, Row, SampleRng, Sampling,
    SamplingError, SegmentCounter, Session, TokenId, Vocab, drive,
};

use crate::{Commit, Controller, Decision, Plan, ProbeScores, Scope, Steered, Step};

/// One steered sequence, to be run by [`drive`].
///
/// Between boundaries it decodes one token per pass. At a boundary the pass that encodes the boundary token also reads
/// the state there; then the probes run, all in the same passes, as forks that share the prefix; then the segment goes
/// on from the state already computed, or the boundary token is encoded once more with the impulse. After a steered
/// segment its tokens are encoded again without the impulse, in the pass that reads the next boundary.
#[derive(Debug)]
pub struct SteeredLane<'c, 'l, S> {
    controller: &'c Controller<'l>,
    sequence: u64,
    session: S,
    /// Prompt and answer; the session may lag behind.
    tokens: Vec<TokenId>,
    prompt: usize,
    limits: Limits,
    sampling: Sampling,
    rng: SampleRng,
    counter: SegmentCounter,
    stage: Stage<'l, S>,
    /// Position of the impulse in the running segment, while it has to be taken back at the segment's end.
    steered_from: Option<usize>,
    out: Steered,
}

#[derive(Debug)]
enum Stage<'l, S> {
    /// Encode what is pending and sample the next token.
    Decode,
    /// As `Decode`, with the impulse at the last token.
    Commit(Commit<'l>),
    /// Encode what is pending, read the state at the last token, and plan.
    Read,
    /// Run the probes.
    Probe { plan: Plan<'l>, branches: Vec<Branch<S>>, after_boundary: Output },
}

/// A probe: the null branch first, then one for each candidate.
#[derive(Debug)]
struct Branch<S> {
    session: S,
    pending: Vec<TokenId>,
    counter: SegmentCounter,
    log_probs: Vec<f32>,
    running: bool,
}

impl<'l> Controller<'l> {
    /// A lane that continues `prompt` by up to `max_tokens`, steered; `sequence` numbers it for variants that draw at
    /// random.
    ///
    /// # Errors
    /// [`RequestError`] for an empty or too long prompt, no budget, or sampling settings out of bounds.
    pub fn lane<E: Engine>(
        &self,
        engine: &E,
        prompt: &[TokenId],
        max_tokens: usize,
        sampling: Sampling,
        rng: SampleRng,
        sequence: u64,
    ) -> Result<SteeredLane<'_, 'l, E::Session>, RequestError> {
        let limits = Limits::new(engine.shape(), prompt.len(), max_tokens)?;
        sampling.validate()?;
        let out = Steered {
            tokens: Vec::new(),
            log_probs: Vec::new(),
            finish: Finish::Length,
            probe_tokens: 0,
            forward_passes: 0,
            non_finite: 0,
            steps: vec![Step::new(1, &Decision::default())],
        };
        Ok(SteeredLane {
            controller: self,
            sequence,
            session: engine.session(),
            tokens: prompt.to_vec(),
            prompt: prompt.len(),
            limits,
            sampling,
            rng,
            counter: SegmentCounter::new(self.library().delimiter().clone()),
            stage: Stage::Decode,
            steered_from: None,
            out,
        })
    }

    /// Generates from every prompt, steered, `width` at a time; answers in the order of the prompts. Prompt `i` draws
    /// from stream `i` of `seed`.
    ///
    /// # Errors
    /// As [`drive`]; the first prompt that cannot be served fails the call.
    pub fn generate<E: Engine>(
        &self,
        engine: &E,
        prompts: &[Vec<TokenId>],
        max_tokens: usize,
        sampling: Sampling,
        seed: u64,
        width: usize,
    ) -> Result<Vec<Steered>, DriveError<E::Error>> {
        let mut answers: Vec<Option<Steered>> = vec![None; prompts.len()];
        let lanes = prompts.iter().enumerate().map(|(i, prompt)| {
            Ok(self.lane(engine, prompt, max_tokens, sampling, SampleRng::new(seed, i as u64), i as u64)?)
        });
        drive(engine, lanes, width, |i, answer| {
            answers[i] = Some(answer);
            ControlFlow::Continue(())
        })?;
        Ok(answers.into_iter().flatten().collect())
    }
}

impl<S: Session> Lane<S> for SteeredLane<'_, '_, S> {
    type Done = Steered;

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, S>>) {
        let boundary = self.tokens.len() - 1;
        match &mut self.stage {
            Stage::Probe { plan, branches, .. } => {
                // The null branch has no vector.
                let impulses = std::iter::once(None).chain(plan.candidates().iter().map(Some));
                for (branch, candidate) in branches.iter_mut().zip(impulses).filter(|(branch, _)| branch.running) {
                    let starts = branch.log_probs.is_empty();
                    let additions = candidate.filter(|_| starts).map(|candidate| Addition {
                        point: HookPoint::ResidPost(candidate.layer),
                        position: boundary,
                        vector: &candidate.vector,
                        scale: 1.0,
                    });
                    rows.push(Row {
                        session: &mut branch.session,
                        tokens: &branch.pending,
                        additions: additions.into_iter().collect(),
                        capture: &[],
                        logits: true,
                    });
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
                let encoded = self.session.len();
                rows.push(Row {
                    session: &mut self.session,
                    tokens: &self.tokens[encoded..],
                    additions: impulse.into_iter().collect(),
                    capture,
                    logits: true,
                });
            }
        }
    }

    fn absorb(&mut self, vocab: &Vocab, mut outputs: Vec<Output>) -> Result<Option<Steered>, SamplingError> {
        self.out.forward_passes += 1;
        match std::mem::replace(&mut self.stage, Stage::Decode) {
            Stage::Decode | Stage::Commit(_) => self.extend(vocab, &outputs.pop().unwrap_or_default()),
            Stage::Read => self.plan(vocab, outputs.pop().unwrap_or_default()),
            Stage::Probe { plan, branches, after_boundary } => {
                self.probe(vocab, plan, branches, after_boundary, outputs)
            }
        }
    }
}

impl<'l, S: Session> SteeredLane<'_, 'l, S> {
    /// Samples the next token and says what comes after it.
    fn extend(&mut self, vocab: &Vocab, output: &Output) -> Result<Option<Steered>, SamplingError> {
        let choice = self.sampling.pick(&output.logits, &mut self.rng)?;
        self.tokens.push(choice.token);
        self.out.log_probs.push(choice.log_prob);
        if let Some(step) = self.out.steps.last_mut() {
            step.tokens += 1;
        }
        let completed = self.counter.push(vocab.bytes(choice.token));
        if let Some(finish) = self.limits.finish(vocab, choice.token, self.tokens.len() - self.prompt) {
            self.out.finish = finish;
            self.out.tokens = self.tokens[self.prompt..].to_vec();
            return Ok(Some(self.out.clone()));
        }
        if completed > 0 {
            self.boundary();
        }
        Ok(None)
    }

    /// The last token ended a segment.
    fn boundary(&mut self) {
        // After the last control point the rest is one stretch, logged as the segment after it.
        let (before, m) = (self.out.steps.last().map_or(0, |step| step.segment), self.counter.count());
        if before > self.controller.config().max_control_points {
            return;
        }
        if let Some(from) = self.steered_from.take() {
            self.session.rewind(from);
        }
        if let Some(decision) = self.controller.blind(m) {
            self.commit(decision);
        } else if self.controller.config().acts_at(m) {
            self.stage = Stage::Read;
        } else {
            self.commit(Decision::default());
        }
    }

    /// The state at the boundary has been read.
    fn plan(&mut self, vocab: &Vocab, output: Output) -> Result<Option<Steered>, SamplingError> {
        let points = self.controller.points().iter().map(|point| point.layer());
        let states: Vec<(usize, &[f32])> = points.zip(output.captures.iter().map(Vec::as_slice)).collect();
        let plan = self.controller.plan(self.sequence, self.counter.count(), &states);
        if !plan.needs_probes() {
            return self.decide(vocab, plan, None, &output);
        }
        // The null probe starts from the logits at hand; the others encode the boundary token with their vectors.
        let boundary = self.tokens.len() - 1;
        let branch = |session, pending| {
            let counter = self.counter.clone();
            Branch { session, pending, counter, log_probs: Vec::new(), running: true }
        };
        let mut null = branch(self.session.fork(), Vec::new());
        self.out.probe_tokens += 1;
        null.push(vocab, &output, self.probe_budget())?;
        let mut branches = vec![null];
        branches.extend(plan.candidates().iter().map(|_| {
            let mut session = self.session.fork();
            session.rewind(boundary);
            branch(session, vec![self.tokens[boundary]])
        }));
        self.stage = Stage::Probe { plan, branches, after_boundary: output };
        Ok(None)
    }

    /// A probe is no longer than the context allows.
    fn probe_budget(&self) -> usize {
        self.controller.config().probe_tokens.min(self.limits.room(self.tokens.len())).max(1)
    }

    /// One more token of every probe that is still running.
    fn probe(
        &mut self,
        vocab: &Vocab,
        plan: Plan<'l>,
        mut branches: Vec<Branch<S>>,
        after_boundary: Output,
        outputs: Vec<Output>,
    ) -> Result<Option<Steered>, SamplingError> {
        let budget = self.probe_budget();
        for (branch, output) in branches.iter_mut().filter(|branch| branch.running).zip(&outputs) {
            self.out.probe_tokens += 1;
            branch.push(vocab, output, budget)?;
        }
        if branches.iter().any(|branch| branch.running) {
            self.stage = Stage::Probe { plan, branches, after_boundary };
            return Ok(None);
        }
        let mut means = branches.iter().map(Branch::mean);
        let probes = ProbeScores { null: means.next().unwrap_or(f64::NAN), candidates: means.collect() };
        // The forks go before the sequence moves on, so that its cache is its own again.
        drop(branches);
        self.decide(vocab, plan, Some(&probes), &after_boundary)
    }

    fn decide(
        &mut self,
        vocab: &Vocab,
        plan: Plan<'l>,
        probes: Option<&ProbeScores>,
        after_boundary: &Output,
    ) -> Result<Option<Steered>, SamplingError> {
        // The scores are made for the plan, one for each candidate.
        let decision = self.controller.decide(plan, probes).unwrap_or_default();
        let steers = decision.commit.is_some();
        self.commit(decision);
        if steers { Ok(None) } else { self.extend(vocab, after_boundary) }
    }

    /// Starts the next segment.
    fn commit(&mut self, decision: Decision<'l>) {
        self.out.non_finite += decision.non_finite;
        self.out.steps.push(Step::new(self.counter.count() + 1, &decision));
        if let Some(commit) = decision.commit {
            let boundary = self.tokens.len() - 1;
            self.session.rewind(boundary);
            if self.controller.config().scope == Scope::Segment {
                self.steered_from = Some(boundary);
            }
            self.stage = Stage::Commit(commit);
        }
    }
}

impl<S> Branch<S> {
    /// Takes the likeliest next token.
    fn push(&mut self, vocab: &Vocab, output: &Output, budget: usize) -> Result<(), SamplingError> {
        // Greedy decoding draws nothing.
        let choice = Sampling::GREEDY.pick(&output.logits, &mut SampleRng::new(0, 0))?;
        self.log_probs.push(choice.log_prob);
        self.pending = vec![choice.token];
        let ended = self.counter.push(vocab.bytes(choice.token)) > 0 || vocab.is_eos(choice.token);
        self.running = !ended && self.log_probs.len() < budget;
        Ok(())
    }

    fn mean(&self) -> f64 {
        self.log_probs.iter().map(|&x| f64::from(x)).sum::<f64>() / self.log_probs.len() as f64
    }
}
