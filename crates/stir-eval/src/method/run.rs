use std::{ops::ControlFlow, time::Instant};

use serde_json::{Value, json};
use stir_core::{DriveError, Engine, Request, RequestError, Text, drive};

use super::{
    config::MethodConfig,
    context::{Judges, Question},
    error::{AnswerError, LaneError},
    lane::{AnswerLane, Method},
    reply::Reply,
};
use crate::{FormatError, answers::Answers};
use stir_files::Shard;
use stir_grade::GRADING;
use stir_report::Record;

/// A run of answers: questions to a model, and the settings that all answers share.
#[derive(Debug, Clone)]
pub struct AnswerRun<'a, E> {
    /// The model.
    pub engine: &'a E,
    /// The questions.
    pub questions: &'a [Question],
    /// The settings that all answers share: budget, stop strings, seed, and the way tokens are drawn unless the method
    /// decides it. Prompt and random stream are those of the question.
    pub request: Request,
    /// The number of answers generated side by side at most.
    pub max_batch: usize,
}

impl<E: Text> AnswerRun<'_, E> {
    /// Returns the request for every question, or the reason why its prompt leaves no room for an answer
    /// ([`RequestError::PromptTooLong`]). All are checked before the first token is generated.
    ///
    /// # Errors
    /// [`AnswerError::Settings`], the first question that cannot be asked for another reason, or the first one of all
    /// where none leaves room.
    pub fn requests(&self) -> Result<Vec<Result<Request, RequestError>>, AnswerError<E::Error>> {
        let shape = self.engine.shape();
        // What is wrong with the settings is wrong with every prompt.
        let settings = Request { prompt: vec![0], samples: 1, ..self.request.clone() };
        settings.check(shape).map_err(AnswerError::Settings)?;
        let ask = |question: &Question| -> Result<_, AnswerError<E::Error>> {
            let id = || question.id.clone();
            let prompt = self.engine.encode_prompt(&question.prompt);
            let prompt = prompt.map_err(|source| AnswerError::Prompt { id: id(), source })?;
            let request = Request { prompt, stream: stream_of(&question.id), ..settings.clone() };
            match request.check(shape) {
                Ok(()) => Ok(Ok(request)),
                Err(source @ RequestError::PromptTooLong { .. }) => Ok(Err(source)),
                Err(source) => Err(AnswerError::Request { id: id(), source }),
            }
        };
        let requests = self.questions.iter().map(ask).collect::<Result<Vec<_>, _>>()?;
        match requests.first() {
            Some(Err(source)) if requests.iter().all(Result::is_err) => {
                Err(AnswerError::Request { id: self.questions[0].id.clone(), source: source.clone() })
            }
            _ => Ok(requests),
        }
    }

    /// Answers every question except those for whose places `skip` returns true. `done` receives the place of a question
    /// and the reply as soon as it is finished; `Break` ends the run.
    ///
    /// An answer depends on its question, the method and [`request`](Self::request), not on the other questions or on
    /// the size of the batch (except for the rounding of batched arithmetic). A question whose prompt leaves no room for an
    /// answer gets [`Reply::no_room`], whatever the method.
    ///
    /// # Errors
    /// Fails like [`requests`](Self::requests), before anything is generated; [`AnswerError`] when a question cannot be
    /// answered after all, or the engine fails.
    pub fn replies(
        &self,
        method: &dyn Method<E>,
        skip: impl Fn(usize) -> bool,
        mut done: impl FnMut(usize, Reply) -> ControlFlow<()>,
    ) -> Result<(), AnswerError<E::Error>> {
        let requests = self.requests()?;
        let waiting: Vec<usize> = (0..self.questions.len()).filter(|&place| !skip(place)).collect();
        let lanes = waiting.iter().map(|&place| {
            let Ok(request) = &requests[place] else { return AnswerLane::ended(Ok(Reply::no_room())) };
            let lane = method.lane(&self.questions[place], request.clone());
            lane.unwrap_or_else(|error| AnswerLane::ended(Err(LaneError::Request(error))))
        });
        let id = |lane: usize| self.questions[waiting[lane]].id.clone();
        let mut failed = None;
        let ran = drive(self.engine, lanes, self.max_batch, |lane, result| match result {
            Ok(reply) => done(waiting[lane], reply),
            Err(error) => {
                failed = Some(match error {
                    LaneError::Request(source) => AnswerError::Request { id: id(lane), source },
                    LaneError::Prompt(source) => AnswerError::Prompt { id: id(lane), source },
                });
                ControlFlow::Break(())
            }
        });
        ran.map_err(|error| match error {
            DriveError::Engine(source) => AnswerError::Engine(source),
            DriveError::Sampling { lane, source } => AnswerError::Sampling { id: id(lane), source },
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Answers every question that `answers` lacks, judges the replies and keeps them there; in the end writes the
    /// output and returns its records, in order. `observer` receives the number of answers, at the start and after every
    /// one; `Break` ends the run, which then returns `None`.
    ///
    /// Each record has the wall time from the start of the run to its answer, including the time of earlier parts of the
    /// run.
    ///
    /// # Errors
    /// [`AnswerError`]; finished answers are kept.
    pub fn run(
        &self,
        method: &dyn Method<E>,
        judges: &Judges<'_>,
        answers: Answers,
        observer: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<Vec<Record>>, AnswerError<E::Error>> {
        self.run_first(self.questions.len(), method, judges, answers, observer)
    }

    /// Works like [`run`](Self::run) for the questions of one part of the run; `answers` is from
    /// [`open_shard`](crate::answers::open_shard). The times are those of this part alone.
    ///
    /// # Errors
    /// Fails like [`run`](Self::run).
    pub fn run_shard(
        &self,
        shard: Shard,
        method: &dyn Method<E>,
        judges: &Judges<'_>,
        answers: Answers,
        observer: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<Vec<Record>>, AnswerError<E::Error>> {
        self.run_those(|place| shard.contains(place), method, judges, answers, observer)
    }

    /// Works like [`run`](Self::run) for the first `first` questions; `answers` is one of all questions, so that a later
    /// run adds the others.
    ///
    /// # Errors
    /// Fails like [`run`](Self::run).
    pub fn run_first(
        &self,
        first: usize,
        method: &dyn Method<E>,
        judges: &Judges<'_>,
        answers: Answers,
        observer: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<Vec<Record>>, AnswerError<E::Error>> {
        let first = first.min(self.questions.len());
        let records = self.run_those(|place| place < first, method, judges, answers, observer)?;
        // The file may have more, of an earlier run.
        Ok(records.map(|mut records| {
            records.truncate(first);
            records
        }))
    }

    /// Answers the questions in the places that `asked` names.
    fn run_those(
        &self,
        asked: impl Fn(usize) -> bool,
        method: &dyn Method<E>,
        judges: &Judges<'_>,
        mut answers: Answers,
        mut observer: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<Vec<Record>>, AnswerError<E::Error>> {
        let there: Vec<Record> = answers.records()?.collect::<Result<_, _>>()?;
        let before = there.iter().filter_map(|record| record.seconds).fold(0.0, f64::max);
        let asked: Vec<bool> = (0..self.questions.len()).map(asked).collect();
        let missing: Vec<bool> = asked.iter().enumerate().map(|(place, &is)| is && !answers.contains(place)).collect();
        let total = asked.iter().filter(|&&asked| asked).count();
        let mut count = total - missing.iter().filter(|&&missing| missing).count();
        let (start, mut refused) = (Instant::now(), None);
        let mut stopped = observer(count).is_break();
        if !stopped {
            self.replies(
                method,
                |place| !missing.get(place).is_some_and(|&missing| missing),
                |place, reply| {
                    let question = &self.questions[place];
                    let record = Record {
                        seconds: Some(before + start.elapsed().as_secs_f64()),
                        ..reply.judged(question, &*judges(question))
                    };
                    if let Err(error) = answers.push(&record) {
                        refused = Some(error);
                        return ControlFlow::Break(());
                    }
                    count += 1;
                    let flow = observer(count);
                    stopped = flow.is_break();
                    flow
                },
            )?;
        }
        match refused {
            Some(error) => Err(error.into()),
            None if stopped && count < total => Ok(None),
            None => Ok(Some(answers.finish()?.collect::<Result<_, _>>()?)),
        }
    }

    /// Returns everything that the answers of a method depend on, which keeps the answers of different settings apart.
    /// `library` is the digest of the vectors that it steers with.
    ///
    /// # Errors
    /// When a setting cannot be written as JSON.
    pub fn settings(&self, method: &MethodConfig, library: Option<&str>) -> Result<Value, FormatError> {
        let mut settings = json!({ "model": computed_by(self.engine) });
        let known = known_settings(&self.request, self.questions, method, library)?;
        if let (Some(settings), Value::Object(known)) = (settings.as_object_mut(), known) {
            settings.extend(known);
        }
        Ok(settings)
    }
}

/// Returns what [`AnswerRun::settings`] says of a run whose model is not loaded yet: all but the model.
///
/// # Errors
/// When a setting cannot be written as JSON.
pub fn known_settings(
    request: &Request,
    questions: &[Question],
    method: &MethodConfig,
    library: Option<&str>,
) -> Result<Value, FormatError> {
    let &Request { max_tokens, sampling, ref stop, seed, .. } = request;
    let mut digest = blake3::Hasher::new();
    for question in questions {
        digest.update(&serde_json::to_vec(question).map_err(FormatError::new)?).update(b"\n");
    }
    Ok(json!({
        "grading": GRADING,
        "questions": digest.finalize().to_hex().to_string(),
        "max_tokens": max_tokens,
        "sampling": sampling,
        "stop": stop,
        "seed": seed,
        "method": serde_json::to_value(method).map_err(FormatError::new)?,
        "library": library,
    }))
}

/// Describes what computes: the model, the tokens that end its texts (its folder says which, its weights do not), the
/// type and the device, as each rounds in its own way. The quantisation is not named again, so that runs which earlier
/// versions began resume: the digest of the weights covers it.
pub(crate) fn computed_by<E: Engine>(engine: &E) -> Value {
    let mut end_tokens = engine.vocab().eos().to_vec();
    end_tokens.sort_unstable();
    json!({
        "fingerprint": engine.fingerprint().without_quantisation(),
        "computation": engine.computation(),
        "device": engine.device(),
        "end_tokens": end_tokens,
    })
}

/// Returns the random stream of a question, and of the first of those that follow for a method that needs several: the
/// first eight bytes (little endian) of the BLAKE3 hash of its id.
fn stream_of(id: &str) -> u64 {
    let hash = blake3::hash(id.as_bytes());
    hash.as_bytes().iter().take(8).rev().fold(0, |stream, &byte| stream << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    /// The streams are part of every result's reproducibility: a change of hash must show.
    #[test]
    fn the_streams_are_pinned() {
        let hash = blake3::hash(b"p1");
        let expected = u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap());
        assert_eq!(super::stream_of("p1"), expected);
        assert_ne!(super::stream_of("p1"), super::stream_of("p2"));
    }
}
