//! The threads of a run: some ask the server, one judges and writes.

use std::{
    slice,
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use stir_core::{Generated, Request, Sequence};
use tracing::{info, warn};

use super::{
    RemoteError, Tokens, answer,
    asking::{Asking, Manner},
    client::Client,
};
use crate::{
    Failure, FailureReason, Progress, Prompt, RolloutError, Summary,
    output::Output,
    run::{Judge, Observer, record},
    sample_stream,
    summary::Tally,
};

/// So many answers in a row that cannot be used end a run: a server that gives no others is not worth waiting for.
const MAX_UNUSABLE: usize = 8;

/// What a thread reports.
enum Report<X> {
    /// The answer to a sample of the prompt at a place.
    Answered { place: usize, k: usize, result: Result<Generated, FailureReason<X>> },
    /// A prompt that cannot be asked, which lacks all of these samples.
    Unasked { place: usize, samples: usize, reason: FailureReason<X> },
    /// The server does not answer, or a request cannot be written down.
    GivenUp(RemoteError),
}

/// The samples still to be drawn, handed out one by one.
struct Queue<'p> {
    /// Per prompt that lacks some: its place, and its missing samples, last first.
    missing: slice::Iter<'p, (usize, Vec<usize>)>,
    current: Option<(usize, Vec<usize>, Request)>,
}

/// Judges, counts and writes the samples of a run.
pub(super) struct Writer<'r, 't, T: Tokens> {
    pub(super) asking: &'r Asking<'t, T>,
    pub(super) prompts: &'r [Prompt],
    pub(super) judge: &'r Judge<'r>,
    pub(super) on_progress: Option<Box<Observer<'t>>>,
    pub(super) output: Output,
    pub(super) tally: Tally,
    failures: Vec<Failure<T::Error>>,
    tokens: usize,
    /// The answers since the last that could be used.
    unusable: usize,
    /// The first error, or none where the observer stopped the run.
    stopped: Option<Option<RemoteError>>,
}

/// Lets threads come to an end however the one that writes ends.
struct HaltOnDrop<'c, 's>(&'c Client<'s>);

impl Drop for HaltOnDrop<'_, '_> {
    fn drop(&mut self) {
        self.0.halt();
    }
}

impl<'r, 't, T: Tokens> Writer<'r, 't, T> {
    pub(super) fn new(
        asking: &'r Asking<'t, T>,
        prompts: &'r [Prompt],
        judge: &'r Judge<'r>,
        on_progress: Option<Box<Observer<'t>>>,
        output: Output,
        tally: Tally,
    ) -> Self {
        let (failures, tokens, unusable, stopped) = (Vec::new(), 0, 0, None);
        Self { asking, prompts, judge, on_progress, output, tally, failures, tokens, unusable, stopped }
    }

    /// Draws what is missing.
    pub(super) fn run(mut self, client: &Client<'_>, manner: Manner) -> Result<Summary<T::Error>, RemoteError> {
        let (asking, prompts) = (self.asking, self.prompts);
        let missing = self.output.missing(prompts.len(), asking.config.samples);
        let queue = Mutex::new(Queue { missing: missing.iter(), current: None });
        let lacking: usize = missing.iter().map(|(_, ks)| ks.len()).sum();
        if self.report() {
            return Ok(self.tally.summary(self.failures, false));
        }
        thread::scope(|scope| -> Result<(), RolloutError> {
            let _halt = HaltOnDrop(client);
            // Where the judge is slower than the server, the server waits.
            let (sender, receiver) = mpsc::sync_channel(asking.server.parallel);
            let parallel = asking.server.parallel;
            for _ in 0..parallel.min(lacking) {
                let (sender, queue) = (sender.clone(), &queue);
                let started = thread::Builder::new()
                    .spawn_scoped(scope, move || ask(asking, prompts, client, manner, queue, &sender));
                if let Err(source) = started {
                    client.halt();
                    self.stopped = Some(Some(RemoteError::Threads { parallel, source }));
                    break;
                }
            }
            drop(sender);
            // Ends when the last thread does. What is under way when a run stops is waited for: it has been paid for.
            for report in receiver {
                self.take(report, client)?;
                if self.stopped.is_some() {
                    client.halt();
                }
            }
            Ok(())
        })?;
        match self.stopped {
            Some(Some(error)) => Err(error),
            Some(None) => Ok(self.tally.summary(self.failures, false)),
            None => {
                self.output.finish()?;
                info!(failures = self.failures.len(), "the rollouts are drawn");
                Ok(self.tally.summary(self.failures, true))
            }
        }
    }

    fn take(&mut self, report: Report<T::Error>, client: &Client<'_>) -> Result<(), RolloutError> {
        let prompts = self.prompts;
        match report {
            Report::GivenUp(error) => {
                self.stopped.get_or_insert(Some(error));
                return Ok(());
            }
            Report::Unasked { place, samples, reason } => self.fail(place, samples, reason),
            Report::Answered { place, k, result: Ok(generated) } => {
                (self.tokens, self.unusable) = (self.tokens + generated.tokens.len(), 0);
                let Asking { model, config, .. } = self.asking;
                let rollout = record(config, model.vocab(), &prompts[place], k, generated, self.judge);
                self.output.append(&rollout)?;
                self.tally.add(place, &rollout);
            }
            Report::Answered { place, k, result: Err(FailureReason::Reply(source)) } => {
                self.unusable += 1;
                if self.unusable >= MAX_UNUSABLE {
                    let (url, id) = (client.url.clone(), prompts[place].id.clone());
                    self.stopped.get_or_insert(Some(RemoteError::Reply { url, id, k, source }));
                    return Ok(());
                }
                self.fail(place, 1, FailureReason::Reply(source));
            }
            Report::Answered { place, result: Err(reason), .. } => self.fail(place, 1, reason),
        }
        if self.stopped.is_none() && self.report() {
            self.stopped = Some(None);
        }
        Ok(())
    }

    fn fail(&mut self, place: usize, samples: usize, reason: FailureReason<T::Error>) {
        let id = self.prompts[place].id.clone();
        warn!(id, samples, %reason, "a prompt could not be sampled");
        self.failures.push(Failure { id, samples, reason });
    }

    /// Tells the observer how far the run is; returns whether it stops it.
    fn report(&mut self) -> bool {
        let failed: usize = self.failures.iter().map(|failure| failure.samples).sum();
        let total = self.prompts.len() * self.asking.config.samples - failed;
        let progress = Progress { done: self.output.len(), total, tokens: self.tokens };
        self.on_progress.as_mut().is_some_and(|observer| observer(progress).is_break())
    }
}

/// What a thread does: asks for one sample after the other until there is none left or the run is halted.
fn ask<T: Tokens>(
    asking: &Asking<'_, T>,
    prompts: &[Prompt],
    client: &Client<'_>,
    manner: Manner,
    queue: &Mutex<Queue<'_>>,
    reports: &mpsc::SyncSender<Report<T::Error>>,
) {
    while !client.halted_within(Duration::ZERO) {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next(asking, prompts);
        let report = match next {
            None => break,
            Some(Err((place, samples, reason))) => Report::Unasked { place, samples, reason },
            Some(Ok((place, k, request))) => match draw(asking, &prompts[place], client, manner, &request) {
                Ok(result) => Report::Answered { place, k, result },
                // The first to give up halts the others, whose waits then end in errors that say nothing.
                Err(_) if client.halt() => break,
                Err(error) => Report::GivenUp(error),
            },
        };
        // Without a reader the run is over.
        if reports.send(report).is_err() {
            break;
        }
    }
}

fn draw<T: Tokens>(
    asking: &Asking<'_, T>,
    prompt: &Prompt,
    client: &Client<'_>,
    manner: Manner,
    request: &Request,
) -> Result<Result<Generated, FailureReason<T::Error>>, RemoteError> {
    let budget = match Sequence::of(asking.model.shape(), asking.model.vocab(), request, 0) {
        Ok(sequence) => sequence.budget(),
        Err(error) => return Ok(Err(FailureReason::Request(error))),
    };
    let body =
        client
            .post(&asking.body(prompt, request, (manner.prompts, manner.fields), budget)?, request.stream, |_| false)?;
    let completion = answer::parse(&body).map_err(FailureReason::from);
    Ok(completion.and_then(|completion| answer::sample(asking.model, request, completion, manner.token_ids)))
}

/// The place of a prompt, the number of a sample and its request; or the place, the number of samples and why there is none.
type Next<X> = Result<(usize, usize, Request), (usize, usize, FailureReason<X>)>;

impl Queue<'_> {
    fn next<T: Tokens>(&mut self, asking: &Asking<'_, T>, prompts: &[Prompt]) -> Option<Next<T::Error>> {
        loop {
            if let Some((place, missing, request)) = &mut self.current
                && let Some(k) = missing.pop()
            {
                let stream = sample_stream(&prompts[*place].id, k);
                return Some(Ok((*place, k, Request { stream, ..request.clone() })));
            }
            let &(place, ref missing) = self.missing.next()?;
            match asking.request(&prompts[place]) {
                Ok(request) => self.current = Some((place, missing.clone(), request)),
                Err(reason) => return Some(Err((place, missing.len(), reason))),
            }
        }
    }
}
