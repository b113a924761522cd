use std::{cell::RefCell, ops::ControlFlow, path::Path, slice};

use stir_core::{
    Decode, DriveError, Engine, Generated, Lane, Request, Row, SamplingError, Session, Vocab, drive, prefill,
};

use crate::{
    Failure, FailureReason, Rollout, RolloutConfig, RolloutError, RunError, Summary, Task, output::Output, reward,
    settings, summary::Tally,
};

/// Says whether an answer is right. Any closure `Fn(gold, text) -> bool` is a judge.
pub trait Judge {
    /// Whether the generated `text` answers as `gold` does.
    fn correct(&self, gold: &str, text: &str) -> bool;

    /// As [`correct`](Self::correct), where what is right depends on more of the task than `gold`, its answer.
    fn solves(&self, _task: &Task, gold: &str, text: &str) -> bool {
        self.correct(gold, text)
    }

    /// What tells it from other judges of the same tasks, where there are several. It stands in the settings beside an
    /// output: what another judge has judged is not taken up.
    fn name(&self) -> Option<String> {
        None
    }
}

impl<F: Fn(&str, &str) -> bool> Judge for F {
    fn correct(&self, gold: &str, text: &str) -> bool {
        self(gold, text)
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Samples in the output, with those of earlier parts of the run.
    pub done: usize,
    /// Samples there will be; falls when a problem turns out to be impossible.
    pub total: usize,
    /// Tokens generated in this part of the run.
    pub tokens: usize,
}

/// The random stream of sample `k` of problem `id`, for [`Request::stream`]: the first eight bytes (little endian) of the
/// BLAKE3 hash of the id's bytes followed by `k` as eight bytes, little endian.
///
/// A sample depends on the seed, its problem and its number alone: not on its neighbours in the batch, nor on the
/// order or the number of the problems.
///
/// ```
/// use stir_rollout::sample_stream;
/// assert_eq!(sample_stream("p1", 0), sample_stream("p1", 0));
/// assert_ne!(sample_stream("p1", 0), sample_stream("p1", 1));
/// ```
pub fn sample_stream(id: &str, k: usize) -> u64 {
    let hash = blake3::Hasher::new().update(id.as_bytes()).update(&(k as u64).to_le_bytes()).finalize();
    hash.as_bytes().iter().take(8).rev().fold(0, |stream, &byte| stream << 8 | u64::from(byte))
}

/// Draws K samples of every task (stage 1); see the [crate](crate) for an example.
#[derive(Debug)]
pub struct Rollouts<'e, E> {
    engine: &'e E,
    config: RolloutConfig,
    device: Option<String>,
}

impl<'e, E: Engine> Rollouts<'e, E> {
    /// A run on `engine`.
    ///
    /// # Errors
    /// [`RolloutError::Config`], [`RolloutError::Stop`] or [`RolloutError::Sampling`] for a setting out of bounds.
    pub fn new(engine: &'e E, config: RolloutConfig) -> Result<Self, RolloutError> {
        config.validate()?;
        Ok(Self { engine, config, device: None })
    }

    /// With the name of the device that computes (`cuda:0`), which stands in the settings beside the output: devices
    /// round differently, so what one has drawn is not taken up on another.
    pub fn on_device(self, device: impl Into<String>) -> Self {
        Self { device: Some(device.into()), ..self }
    }

    /// Samples every task and appends each sample to `out` as soon as it is finished.
    ///
    /// Where `out` holds samples of this very run, only the missing ones are drawn; `out` with `.settings.json` at its
    /// end tells whether they are of this run (it is written anew for an output that holds no sample yet). At the end
    /// the records are put in order of task and sample, so that the file does not show how often the run was stopped.
    /// A task that cannot be done is reported in the summary and does not hold up the others.
    ///
    /// `observer` is called once at the start and after every record; `Break` ends the run cleanly.
    ///
    /// # Errors
    /// [`RolloutError`] for two tasks of one id, an output of another run or with a broken line, or a file system that
    /// refuses; [`DriveError::Engine`] when the engine fails. Finished samples stay in `out` in any case.
    pub fn run(
        &self,
        tasks: &[Task],
        judge: &impl Judge,
        out: impl AsRef<Path>,
        mut observer: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Summary<E::Error>, RunError<E::Error>> {
        let settings = settings::describe(&self.config, self.engine, self.device.as_deref(), tasks, judge.name())?;
        let mut tally = Tally::new(tasks.len());
        let add = |task, rollout: &Rollout| tally.add(task, rollout);
        let mut output = Output::open(out.as_ref(), tasks, self.config.samples, &settings, add)?;

        let asked = tasks.len() * self.config.samples;
        let failures = RefCell::new(Vec::new());
        let missing = output.missing(tasks.len(), self.config.samples);
        let lanes = Waiting { run: self, tasks, missing: missing.iter(), prompt: None, failures: &failures };
        let mut tokens = 0;
        let mut report = |output: &Output, tokens| {
            let failed: usize = failures.borrow().iter().map(|f: &Failure<_>| f.samples).sum();
            observer(Progress { done: output.len(), total: asked - failed, tokens })
        };
        let mut stopped = report(&output, 0).is_break();
        let mut refused = None;
        if !stopped {
            drive(self.engine, lanes, self.config.width, |_, Sampled { task, k, result }| {
                match result {
                    Err(source) => {
                        failures.borrow_mut().push(failure(&tasks[task], 1, FailureReason::Sampling(source)))
                    }
                    Ok(generated) => {
                        tokens += generated.tokens.len();
                        let rollout = self.record(&tasks[task], k, generated, judge);
                        if let Err(error) = output.append(&rollout) {
                            refused = Some(error);
                            return ControlFlow::Break(());
                        }
                        tally.add(task, &rollout);
                    }
                }
                let flow = report(&output, tokens);
                stopped = flow.is_break();
                flow
            })?;
        }
        if let Some(error) = refused {
            return Err(error.into());
        }
        if !stopped {
            output.finish()?;
        }
        Ok(tally.summary(failures.into_inner(), !stopped))
    }

    fn record(&self, task: &Task, k: usize, generated: Generated, judge: &impl Judge) -> Rollout {
        let text = generated.text(self.engine.vocab());
        let correct = task.gold.as_deref().is_some_and(|gold| judge.solves(task, gold, &text));
        Rollout {
            id: task.id.clone(),
            k,
            prompt: task.prompt.clone(),
            gold: task.gold.clone(),
            text,
            correct,
            reward: reward(correct, generated.tokens.len(), self.config.eta, self.config.max_tokens),
            token_ids: generated.tokens,
        }
    }

    /// What is asked of the engine for `task`, or its own fault.
    fn request(&self, task: &Task) -> Result<Request, FailureReason<E::Error>> {
        if task.gold.is_none() {
            return Err(FailureReason::NoGold);
        }
        let prompt = self.engine.encode_prompt(&task.prompt).map_err(FailureReason::Encode)?;
        let RolloutConfig { max_tokens, sampling, ref stop, seed, .. } = self.config;
        let request = Request { max_tokens, sampling, stop: stop.clone(), seed, ..Request::new(prompt) };
        request.check(self.engine.shape()).map_err(FailureReason::Request)?;
        Ok(request)
    }
}

fn failure<E: std::error::Error>(task: &Task, samples: usize, reason: FailureReason<E>) -> Failure<E> {
    Failure { id: task.id.clone(), samples, reason }
}

/// The samples still to be drawn. A prompt is prefilled when the first of its samples finds room, once for all.
struct Waiting<'r, 'e, E: Engine> {
    run: &'r Rollouts<'e, E>,
    tasks: &'r [Task],
    /// Place of a task, and its missing samples, last first.
    missing: slice::Iter<'r, (usize, Vec<usize>)>,
    prompt: Option<Prompt<E::Session>>,
    failures: &'r RefCell<Vec<Failure<E::Error>>>,
}

struct Prompt<S> {
    task: usize,
    missing: Vec<usize>,
    request: Request,
    /// All of the prompt but its last token.
    prefix: S,
}

impl<E: Engine> Iterator for Waiting<'_, '_, E> {
    type Item = Result<Sample<E::Session>, DriveError<E::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(Prompt { task, missing, request, prefix }) = &mut self.prompt
                && let Some(k) = missing.pop()
            {
                request.stream = sample_stream(&self.tasks[*task].id, k);
                let decode = Decode::resume(self.run.engine, prefix.fork(), request, 0);
                return Some(decode.map(|decode| Sample { decode, task: *task, k }).map_err(DriveError::Request));
            }
            self.prompt = None;
            let &(task, ref missing) = self.missing.next()?;
            match self.run.request(&self.tasks[task]) {
                Err(reason) => {
                    self.failures.borrow_mut().push(failure(&self.tasks[task], missing.len(), reason));
                }
                Ok(request) => match prefill(self.run.engine, &request.prompt) {
                    Err(error) => return Some(Err(DriveError::Engine(error))),
                    Ok(prefix) => self.prompt = Some(Prompt { task, missing: missing.clone(), request, prefix }),
                },
            }
        }
    }
}

/// One sample under way: plain decoding that knows whose it is.
struct Sample<S> {
    decode: Decode<S>,
    task: usize,
    k: usize,
}

struct Sampled {
    task: usize,
    k: usize,
    /// A model that breaks down on one sample costs that sample, not the run.
    result: Result<Generated, SamplingError>,
}

impl<S: Session> Lane<S> for Sample<S> {
    type Done = Sampled;

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, S>>) {
        self.decode.rows(rows);
    }

    fn absorb(&mut self, vocab: &Vocab, outputs: Vec<stir_core::Output>) -> Result<Option<Sampled>, SamplingError> {
        let result = self.decode.absorb(vocab, outputs).transpose();
        Ok(result.map(|result| Sampled { task: self.task, k: self.k, result }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The streams are part of every result's reproducibility: a change of hash must show.
    #[test]
    fn the_streams_are_pinned() {
        assert_eq!([sample_stream("p1", 0), sample_stream("p1", 1), sample_stream("", 0)], PINNED);
    }

    const PINNED: [u64; 3] = [6_521_708_820_437_985_537, 8_232_049_534_574_781_521, 3_551_464_835_523_403_889];
}
