use std::{borrow::Cow, fmt, mem, ops::ControlFlow, path::Path, slice};

use stir_core::{
    Decode, Generated, ModelShape, Request, Scheduler, Session, Text, TokenId, Vocab, judged_text, prefill,
};
use stir_files::{Shard, Share};
use tracing::{debug, info, info_span, warn};

use crate::{
    Failure, FailureReason, Prompt, Rollout, RolloutConfig, RolloutError, RunError, Summary,
    output::{Output, places},
    reward,
    settings::{self, Sampler},
    summary::Tally,
};

/// The progress of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The number of samples in the output, including those of earlier parts of the run.
    pub done: usize,
    /// The number of samples that there will be; it falls when a prompt turns out to be impossible.
    pub total: usize,
    /// The number of tokens generated in this part of the run.
    pub tokens: usize,
}

/// Returns the random stream of sample `k` of prompt `id`, for [`Request::stream`]: the first eight bytes (little endian) of the
/// BLAKE3 hash of the id's bytes followed by `k` as eight bytes, little endian.
///
/// A sample depends on the seed, its prompt and its number alone: not on its neighbours in the batch, nor on the order or
/// the number of the prompts.
///
/// ```
/// use stir_rollout::sample_stream;
/// assert_eq!(sample_stream("p1", 0), sample_stream("p1", 0));
/// assert_ne!(sample_stream("p1", 0), sample_stream("p1", 1));
/// ```
pub fn sample_stream(id: &str, k: usize) -> u64 {
    stream_of(blake3::Hasher::new().update(id.as_bytes()).update(&(k as u64).to_le_bytes()).finalize())
}

/// Returns the first eight bytes of a hash, little endian.
pub(crate) fn stream_of(hash: blake3::Hash) -> u64 {
    hash.as_bytes().iter().take(8).rev().fold(0, |stream, &byte| stream << 8 | u64::from(byte))
}

/// A run that draws K samples of every prompt (stage 1); see the [crate](crate) for an example.
pub struct Rollouts<'e, E> {
    engine: &'e E,
    config: RolloutConfig,
    judge_name: Option<String>,
    shard: Option<Shard>,
    on_progress: Option<Box<Observer<'e>>>,
}

pub(crate) type Observer<'o> = dyn FnMut(Progress) -> ControlFlow<()> + 'o;

/// Says whether a generated text answers a prompt.
pub(crate) type Judge<'j> = dyn Fn(&Prompt, &str) -> bool + 'j;

impl<'e, E: Text> Rollouts<'e, E> {
    /// Prepares a run on `engine`.
    ///
    /// # Errors
    /// [`RolloutError::Setting`], [`RolloutError::Stop`] or [`RolloutError::Sampling`] for a setting out of bounds.
    pub fn new(engine: &'e E, config: RolloutConfig) -> Result<Self, RolloutError> {
        config.validate()?;
        Ok(Self { engine, config, judge_name: None, shard: None, on_progress: None })
    }

    /// Names the judge, if a prompt may be judged in several ways. The name is kept in the settings file of the output,
    /// so that no output mixes the verdicts of two judges.
    #[must_use]
    pub fn judge_name(self, name: impl Into<String>) -> Self {
        Self { judge_name: Some(name.into()), ..self }
    }

    /// Samples only the prompts of one part of the run, chosen by their places; [`run`](Self::run) is given all of them. The
    /// outputs of all parts, put together by [`merge_logs`](stir_files::merge_logs), are the output of the whole run.
    #[must_use]
    pub fn shard(self, shard: Shard) -> Self {
        Self { shard: Some(shard), ..self }
    }

    /// Calls `observer` once at the start and after every record; `Break` ends the run cleanly.
    #[must_use]
    pub fn on_progress(self, observer: impl FnMut(Progress) -> ControlFlow<()> + 'e) -> Self {
        Self { on_progress: Some(Box::new(observer)), ..self }
    }

    /// Samples every prompt and appends each sample to `out` as soon as it is finished. `judge` says whether a text
    /// answers a prompt; only prompts with a gold answer are judged. If a prompt opens the reasoning, the judge reads the
    /// text after the opening tag ([`judged_text`]); the record has the text alone.
    ///
    /// If `out` holds samples of this very run, only the missing ones are drawn. The settings file (`out` followed by
    /// `.settings.json`) tells whether they are of this run; it is written anew for an output that holds no sample yet.
    /// At the end the records are put in order of prompt and sample, so that the file does not show how often the run
    /// was interrupted. A prompt that cannot be sampled is reported in the summary and does not hold up the others.
    ///
    /// # Errors
    /// [`RunError::Rollout`] for two prompts of one id, an output of another run or with a broken line, or a file system
    /// that refuses; [`RunError::Engine`] if the engine fails. Finished samples stay in `out` in any case.
    pub fn run(
        mut self,
        prompts: &[Prompt],
        judge: &dyn Fn(&Prompt, &str) -> bool,
        out: impl AsRef<Path>,
    ) -> Result<Summary<E::Error>, RunError<E::Error>> {
        let (samples, judge_name) = (self.config.samples, self.judge_name.take());
        let sampler = Sampler::new(self.engine, out.as_ref());
        let settings = settings::describe(&self.config, Some(sampler), prompts, judge_name.as_deref(), self.shard)?;
        let (prompts, share) = part(prompts, self.shard)?;
        let prompts = &*prompts;
        let mut tally = Tally::new(prompts.len(), self.config.max_tokens);
        let mut output = Output::open(out.as_ref(), prompts, samples, &settings, share, |prompt, rollout| {
            tally.add(prompt, rollout)
        })?;
        let span = info_span!("rollout", prompts = prompts.len(), samples, resumed = output.len());
        let _entered = span.enter();

        let mut on_progress = self.on_progress.take();
        let mut tokens = 0;
        let mut report = |done: usize, failures: &[Failure<E::Error>], tokens: usize| {
            let failed: usize = failures.iter().map(|failure| failure.samples).sum();
            let progress = Progress { done, total: prompts.len() * samples - failed, tokens };
            on_progress.as_mut().is_some_and(|observer| observer(progress).is_break())
        };

        let missing = output.missing(prompts.len(), samples);
        let mut source = Source { run: &self, prompts, missing: missing.iter(), current: None, failures: Vec::new() };
        let mut scheduler = Scheduler::new(self.engine, self.config.max_batch);
        // The prompt and number of each lane, in the order pushed.
        let mut drawn = Vec::new();
        let mut stopped = report(output.len(), &source.failures, tokens);
        while !stopped {
            while scheduler.has_room()
                && let Some((place, k, decode)) = source.next().map_err(RunError::Engine)?
            {
                scheduler.push(decode);
                drawn.push((place, k));
            }
            if scheduler.is_empty() {
                break;
            }
            for (lane, result) in scheduler.step().map_err(|error| RunError::Engine(error.source))? {
                let (place, k) = drawn[lane.index()];
                let prompt = &prompts[place];
                match result {
                    // A model that breaks down in one sample costs that sample, not the run.
                    Err(error) => source.fail(prompt, 1, FailureReason::Sampling(error)),
                    Ok(generated) => {
                        tokens += generated.tokens.len();
                        let rollout = record(&self.config, self.engine.vocab(), prompt, k, generated, judge);
                        output.append(&rollout)?;
                        tally.add(place, &rollout);
                    }
                }
                stopped = report(output.len(), &source.failures, tokens);
                if stopped {
                    break;
                }
            }
        }
        let failures = mem::take(&mut source.failures);
        if !stopped {
            output.finish()?;
            info!(failures = failures.len(), "the rollouts are drawn");
        }
        Ok(tally.summary(failures, !stopped))
    }

    fn request(&self, prompt: &Prompt) -> Result<Request, FailureReason<E::Error>> {
        request(&self.config, prompt, self.engine.shape(), |text| self.engine.encode_prompt(text))
    }
}

/// Returns the prompts of a part of a run, and what its output is to say of it.
pub(crate) fn part(
    prompts: &[Prompt],
    shard: Option<Shard>,
) -> Result<(Cow<'_, [Prompt]>, Option<Share>), RolloutError> {
    // Of all, so that every part refuses what no part could tell apart.
    places(prompts)?;
    let Some(shard) = shard else { return Ok((prompts.into(), None)) };
    let share = Share::new(shard, prompts.iter().map(|prompt| prompt.id.as_str()));
    Ok((shard.of(prompts).cloned().collect(), Some(share)))
}

/// Returns the request for `prompt`, or the prompt's own fault.
pub(crate) fn request<X>(
    config: &RolloutConfig,
    prompt: &Prompt,
    shape: ModelShape,
    encode_prompt: impl FnOnce(&str) -> Result<Vec<TokenId>, X>,
) -> Result<Request, FailureReason<X>> {
    if prompt.gold.is_none() {
        return Err(FailureReason::NoGold);
    }
    let tokens = encode_prompt(&prompt.prompt).map_err(FailureReason::Encode)?;
    let RolloutConfig { max_tokens, sampling, ref stop, seed, .. } = *config;
    let request = Request { max_tokens, sampling, stop: stop.clone(), seed, ..Request::new(tokens) };
    request.check(shape).map_err(FailureReason::Request)?;
    Ok(request)
}

/// Judges and rewards a sample.
pub(crate) fn record(
    config: &RolloutConfig,
    vocab: &Vocab,
    prompt: &Prompt,
    k: usize,
    generated: Generated,
    judge: &Judge<'_>,
) -> Rollout {
    let text = generated.text(vocab);
    let correct = prompt.gold.is_some() && judge(prompt, &judged_text(&prompt.prompt, &text));
    let n_tokens = generated.tokens.len();
    debug!(id = prompt.id, k, n_tokens, correct, "sampled");
    Rollout {
        id: prompt.id.clone(),
        k,
        prompt: prompt.prompt.clone(),
        gold: prompt.gold.clone(),
        text,
        correct,
        reward: reward(correct, n_tokens, config.eta, config.max_tokens),
        token_ids: generated.tokens,
    }
}

impl<E> fmt::Debug for Rollouts<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, judge_name, .. } = self;
        f.debug_struct("Rollouts").field("config", config).field("judge_name", judge_name).finish_non_exhaustive()
    }
}

/// The samples still to be drawn. A prompt is prefilled when the first of its samples finds room, once for all of them.
struct Source<'r, 'e, E: Text> {
    run: &'r Rollouts<'e, E>,
    prompts: &'r [Prompt],
    /// Per prompt that lacks some: its place, and its missing samples, last first.
    missing: slice::Iter<'r, (usize, Vec<usize>)>,
    current: Option<Prefilled<E::Session>>,
    failures: Vec<Failure<E::Error>>,
}

/// A prompt whose samples are being drawn.
struct Prefilled<S> {
    place: usize,
    missing: Vec<usize>,
    request: Request,
    /// Holds all of the prompt but its last token.
    prefix: S,
}

impl<E: Text> Source<'_, '_, E> {
    /// Returns the next sample, if there is one left: the place of its prompt, its number, and its lane.
    #[expect(clippy::type_complexity, reason = "it has one caller")]
    fn next(&mut self) -> Result<Option<(usize, usize, Decode<E::Session>)>, E::Error> {
        loop {
            if let Some(Prefilled { place, missing, request, prefix }) = &mut self.current
                && let Some(k) = missing.pop()
            {
                let prompt = &self.prompts[*place];
                request.stream = sample_stream(&prompt.id, k);
                match Decode::resume(self.run.engine, prefix.fork(), request, 0) {
                    Ok(decode) => return Ok(Some((*place, k, decode))),
                    Err(error) => self.fail(prompt, 1, FailureReason::Request(error)),
                }
                continue;
            }
            self.current = None;
            let Some(&(place, ref missing)) = self.missing.next() else { return Ok(None) };
            let prompt = &self.prompts[place];
            match self.run.request(prompt) {
                Err(reason) => self.fail(prompt, missing.len(), reason),
                Ok(request) => {
                    let (prefix, missing) = (prefill(self.run.engine, &request.prompt)?, missing.clone());
                    self.current = Some(Prefilled { place, missing, request, prefix });
                }
            }
        }
    }

    fn fail(&mut self, prompt: &Prompt, samples: usize, reason: FailureReason<E::Error>) {
        let id = prompt.id.clone();
        warn!(id, samples, reason = %reason, "a prompt could not be sampled");
        self.failures.push(Failure { id, samples, reason });
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
