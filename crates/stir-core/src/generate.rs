use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{Decode, Engine, Event, GenerateError, Generated, Generation, Generator, Request, RequestError, SampleId};

/// The decision of a [`stream`]'s callback about what happens next.
///
/// An answer that is cancelled ends with its [`Finished`](Event::Finished) event and
/// [`Finish::Cancelled`](crate::Finish::Cancelled), unless it has ended by itself. Tokens that were generated in the
/// same pass still come before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Continue.
    Continue,
    /// Cancel this answer.
    Cancel,
    /// Cancel all answers.
    CancelAll,
}

/// The settings of a call that answers requests; what they ask for is in each [`Request`].
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use stir_core::GenerateOptions;
/// static CANCEL: AtomicBool = AtomicBool::new(false);
/// let options = GenerateOptions { max_batch: 8, cancel: Some(&CANCEL), ..Default::default() };
/// assert_eq!(GenerateOptions::default().max_batch, 32);
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Copy)]
pub struct GenerateOptions<'c> {
    /// The number of samples that share a forward pass at most; 0 counts as 1. Answers do not depend on it, except for
    /// the rounding of batched arithmetic.
    pub max_batch: usize,
    /// A flag that ends all answers before the next pass once it is set, from any thread. Every answer keeps the tokens
    /// it has; those that have not begun have none.
    pub cancel: Option<&'c AtomicBool>,
}

impl Default for GenerateOptions<'_> {
    fn default() -> Self {
        Self { max_batch: 32, cancel: None }
    }
}

/// Answers `requests` with `engine` (an engine, a reference or an [`Arc`](std::sync::Arc)) and returns, for each of
/// them in order, its samples in order.
///
/// ```
/// use stir_core::{GenerateOptions, Request, Text, generate, toy::ToyEngine};
/// let engine = ToyEngine::new(7);
/// let three = Request { samples: 3, max_tokens: 9, ..Request::new(engine.encode("abc")?) };
/// let one = Request::new(engine.encode("d")?);
/// let answers = generate(&engine, &[three, one], GenerateOptions::default())?;
/// assert_eq!(answers.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`GenerateError::Request`] for the first request that cannot be served, before anything is generated;
/// [`GenerateError::Engine`] or [`GenerateError::Sampling`] if the engine fails or an answer breaks down.
pub fn generate<E: Engine>(
    engine: E,
    requests: &[Request],
    options: GenerateOptions<'_>,
) -> Result<Vec<Vec<Generated>>, GenerateError<E::Error>> {
    generate_with(engine, requests, options, Decode::resume)
}

/// Works like [`generate`], for any kind of generation; `start` is the one of [`Generator::with`].
///
/// # Errors
/// Fails like [`generate`].
pub fn generate_with<E, G>(
    engine: E,
    requests: &[Request],
    options: GenerateOptions<'_>,
    start: impl Fn(&E, E::Session, &Request, usize) -> Result<G, RequestError>,
) -> Result<Vec<Vec<G::Done>>, GenerateError<E::Error>>
where
    E: Engine,
    G: Generation<E::Session>,
{
    let (mut answers, mut failed) = (BTreeMap::new(), None);
    stream_with(engine, requests, options, start, |id, event| {
        match event {
            Event::Token(_) => {}
            Event::Finished { answer, .. } => drop(answers.insert(id, answer)),
            Event::Failed { error, .. } => {
                failed.get_or_insert(GenerateError::Sampling { sample: id, source: error });
                return Flow::CancelAll;
            }
        }
        Flow::Continue
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    let mut answers = answers.into_values();
    Ok(requests.iter().map(|request| answers.by_ref().take(request.samples).collect()).collect())
}

/// Answers `requests` and tells `on_event` of every token as it comes.
///
/// The texts of a sample's events, put together, are the text of its answer. Every sample gets one last event, unless
/// the engine fails. If requests arrive while others are running, use a [`Generator`].
///
/// ```
/// use stir_core::{Engine, Event, Flow, GenerateOptions, Request, Text, stream, toy::ToyEngine};
///
/// let engine = ToyEngine::new(7);
/// let request = Request { samples: 2, max_tokens: 20, ..Request::new(engine.encode("abc")?) };
/// let mut texts = [String::new(), String::new()];
/// stream(&engine, &[request], GenerateOptions::default(), |id, event| {
///     match event {
///         Event::Token(token) => texts[id.sample] += &token.text,
///         Event::Finished { text, answer } => {
///             texts[id.sample] += &text;
///             assert_eq!(texts[id.sample], answer.text(engine.vocab()));
///         }
///         Event::Failed { error, .. } => eprintln!("{error}"),
///     }
///     Flow::Continue
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`GenerateError::Request`] for the first request that cannot be served, before anything is generated;
/// [`GenerateError::Engine`] if the engine fails.
pub fn stream<E: Engine>(
    engine: E,
    requests: &[Request],
    options: GenerateOptions<'_>,
    on_event: impl FnMut(SampleId, Event) -> Flow,
) -> Result<(), GenerateError<E::Error>> {
    stream_with(engine, requests, options, Decode::resume, on_event)
}

/// Works like [`stream`], for any kind of generation; `start` is the one of [`Generator::with`].
///
/// # Errors
/// Fails like [`stream`].
pub fn stream_with<E, G>(
    engine: E,
    requests: &[Request],
    options: GenerateOptions<'_>,
    start: impl Fn(&E, E::Session, &Request, usize) -> Result<G, RequestError>,
    mut on_event: impl FnMut(SampleId, Event<G::Done, G::Note>) -> Flow,
) -> Result<(), GenerateError<E::Error>>
where
    E: Engine,
    G: Generation<E::Session>,
{
    let mut generator = Generator::with(engine, options.max_batch, start);
    for (place, request) in requests.iter().enumerate() {
        let pushed = generator.push(request.clone());
        pushed.map_err(|source| GenerateError::Request { request: place, source })?;
    }
    while !generator.is_empty() {
        if options.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            generator.cancel_all();
        }
        let mut all = false;
        for (id, event) in generator.step()? {
            match on_event(id, event) {
                Flow::Continue => {}
                Flow::Cancel => generator.cancel(id),
                Flow::CancelAll => all = true,
            }
        }
        if all {
            generator.cancel_all();
        }
    }
    Ok(())
}
