use std::{
    cell::{Cell, RefCell},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    Decode, DriveError, Engine, Generated, Generation, Lane, Output, Request, RequestError, Row, Sampling,
    SamplingError, Session, TextStream, TokenId, Vocab, drive, drive_all, prefill,
};

/// Which answer: place of the request in its batch, and number of the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleId {
    /// Place of the request among those given.
    pub request: usize,
    /// From 0.
    pub sample: usize,
}

/// What happens while answers are generated. `A` is a finished answer, `N` what is said of a token besides its text.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<A = Generated, N = ()> {
    /// A token was generated.
    Token(Token<N>),
    /// The answer is there. Every sample that does not fail gets this one event, cancelled or not.
    Finished {
        /// The end of the text, which was held back until now.
        text: String,
        /// All that was generated.
        answer: A,
    },
    /// The model computed logits that describe no distribution. The other samples go on.
    Failed {
        /// The end of the text, which was held back until now.
        text: String,
        /// What was generated before, as if cancelled.
        answer: A,
        /// What was wrong with the row.
        error: SamplingError,
    },
}

/// A generated token.
#[derive(Debug, Clone, PartialEq)]
pub struct Token<N = ()> {
    /// Its place in the answer, from 0.
    pub index: usize,
    /// The token.
    pub id: TokenId,
    /// The model's log-probability of it.
    pub log_prob: f32,
    /// The text that became certain with it: whole characters, and nothing that may turn out to be a stop string, so
    /// it may be empty or hold what earlier tokens began.
    pub text: String,
    /// What else there is to say.
    pub note: N,
}

/// What whoever listens wants next. An answer that is cancelled ends with its
/// [`Finished`](Event::Finished) event and [`Finish::Cancelled`](crate::Finish::Cancelled), unless it has ended by
/// itself; tokens that were generated in the same pass still come before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Go on.
    Continue,
    /// No more of this answer.
    Cancel,
    /// No more of any answer.
    CancelAll,
}

/// Generates what `requests` ask for, `width` samples at a time, and tells `on_event` of every token as it comes.
///
/// The texts of a sample's events, put together, are the text of its answer. Whoever sets `cancel`, from any thread,
/// ends all answers before the next pass; those not begun end without a token. Every sample gets a last event, unless
/// the engine fails.
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use stir_core::{Engine, Event, Flow, Request, stream, toy::ToyEngine};
///
/// let engine = ToyEngine::new(7);
/// let request = Request { samples: 2, max_tokens: 20, ..Request::new(engine.encode("abc")?) };
/// let mut texts = [String::new(), String::new()];
/// stream(&engine, &[request], 8, &AtomicBool::new(false), |id, event| {
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
/// [`DriveError::Refused`] before anything is generated, for the first request that cannot be served;
/// [`DriveError::Engine`] when the engine fails.
pub fn stream<E: Engine>(
    engine: &E,
    requests: &[Request],
    width: usize,
    cancel: &AtomicBool,
    on_event: impl FnMut(SampleId, Event) -> Flow,
) -> Result<(), DriveError<E::Error>> {
    stream_with(engine, requests, width, cancel, |session, r, k| Decode::resume(engine, session, r, k), on_event)
}

/// As [`stream`], for any kind of generation: `start` gets a session that holds a part of the prompt (or nothing), the
/// request and the number of the sample.
///
/// # Errors
/// As [`stream`].
pub fn stream_with<E, G>(
    engine: &E,
    requests: &[Request],
    width: usize,
    cancel: &AtomicBool,
    start: impl Fn(E::Session, &Request, usize) -> Result<G, RequestError>,
    on_event: impl FnMut(SampleId, Event<G::Done, G::Note>) -> Flow,
) -> Result<(), DriveError<E::Error>>
where
    E: Engine,
    G: Generation<E::Session>,
{
    let listener = Listener { on_event: RefCell::new(on_event), flag: cancel, cancelled: Cell::new(false) };
    check(engine, requests)?;
    let lanes = samples(engine, requests, || listener.cancelled(), start).map(|lane| {
        let (id, generation) = lane?;
        let text = TextStream::new(&requests[id.request].stop).map_err(RequestError::Stop)?;
        Ok(Streamed { id, generation, text, listener: &listener })
    });
    drive(engine, lanes, width, |_, ()| std::ops::ControlFlow::Continue(()))
}

/// Generates what `requests` ask for, `width` samples at a time: for each request its samples, in order.
///
/// ```
/// use stir_core::{Engine, Request, generate_all, toy::ToyEngine};
/// let engine = ToyEngine::new(7);
/// let three = Request { samples: 3, max_tokens: 9, ..Request::new(engine.encode("abc")?) };
/// let one = Request::new(engine.encode("d")?);
/// let answers = generate_all(&engine, &[three, one], 8)?;
/// assert_eq!(answers.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`drive`]; the first request that cannot be served fails the call, before anything is generated.
pub fn generate_all<E: Engine>(
    engine: &E,
    requests: &[Request],
    width: usize,
) -> Result<Vec<Vec<Generated>>, DriveError<E::Error>> {
    generate_all_with(engine, requests, width, |session, r, k| Decode::resume(engine, session, r, k))
}

/// As [`generate_all`], for any kind of generation; `start` as in [`stream_with`].
///
/// # Errors
/// As [`generate_all`].
pub fn generate_all_with<E, G>(
    engine: &E,
    requests: &[Request],
    width: usize,
    start: impl Fn(E::Session, &Request, usize) -> Result<G, RequestError>,
) -> Result<Vec<Vec<G::Done>>, DriveError<E::Error>>
where
    E: Engine,
    G: Generation<E::Session>,
{
    check(engine, requests)?;
    let lanes = samples(engine, requests, || false, start).map(|lane| lane.map(|(_, generation)| generation));
    let mut answers = drive_all(engine, lanes, width)?.into_iter();
    Ok(requests.iter().map(|request| answers.by_ref().take(request.samples).collect()).collect())
}

/// Decodes every prompt, `width` at a time; answers in the order of the prompts. Prompt `i` draws from stream `i` of
/// `seed`.
///
/// # Errors
/// As [`generate_all`].
pub fn generate<E: Engine>(
    engine: &E,
    prompts: &[Vec<TokenId>],
    max_tokens: usize,
    sampling: Sampling,
    seed: u64,
    width: usize,
) -> Result<Vec<Generated>, DriveError<E::Error>> {
    let answers = generate_all(engine, &Request::batch(prompts, max_tokens, sampling, seed), width)?;
    Ok(answers.into_iter().flatten().collect())
}

/// Whether all requests can be served: nothing is generated where one cannot.
fn check<E: Engine>(engine: &E, requests: &[Request]) -> Result<(), DriveError<E::Error>> {
    let check = |(request, asked): (usize, &Request)| {
        asked.check(engine.shape()).map_err(|source| DriveError::Refused { request, source })
    };
    requests.iter().enumerate().try_for_each(check)
}

/// The samples of all requests, in order. A prompt of several is encoded when the first of them finds room, once for
/// all; not any more when nobody waits for them.
fn samples<'r, E: Engine, G>(
    engine: &'r E,
    requests: &'r [Request],
    cancelled: impl Fn() -> bool + 'r,
    start: impl Fn(E::Session, &Request, usize) -> Result<G, RequestError> + 'r,
) -> impl Iterator<Item = Result<(SampleId, G), DriveError<E::Error>>> + 'r {
    let places =
        requests.iter().enumerate().flat_map(|(i, request)| (0..request.samples).map(move |k| (i, request, k)));
    let mut prefix = engine.session();
    places.map(move |(i, request, sample)| {
        if sample == 0 {
            prefix = if request.samples > 1 && !cancelled() {
                prefill(engine, &request.prompt).map_err(DriveError::Engine)?
            } else {
                engine.session()
            };
        }
        Ok((SampleId { request: i, sample }, start(prefix.fork(), request, sample)?))
    })
}

/// Who hears of a stream's events, and what they want.
struct Listener<'r, F> {
    on_event: RefCell<F>,
    flag: &'r AtomicBool,
    cancelled: Cell<bool>,
}

impl<F> Listener<'_, F> {
    fn cancelled(&self) -> bool {
        self.cancelled.get() || self.flag.load(Ordering::Relaxed)
    }

    /// Whether the answer is to go on.
    fn hear<A, N>(&self, id: SampleId, event: Event<A, N>) -> bool
    where
        F: FnMut(SampleId, Event<A, N>) -> Flow,
    {
        let flow = (self.on_event.borrow_mut())(id, event);
        if flow == Flow::CancelAll {
            self.cancelled.set(true);
        }
        flow == Flow::Continue
    }
}

/// A sequence under way whose tokens are told as they come.
struct Streamed<'r, G, F> {
    id: SampleId,
    generation: G,
    text: TextStream,
    listener: &'r Listener<'r, F>,
}

impl<S, G, F> Lane<S> for Streamed<'_, G, F>
where
    G: Generation<S>,
    F: FnMut(SampleId, Event<G::Done, G::Note>) -> Flow,
{
    type Done = ();

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, S>>) {
        if !self.listener.cancelled() {
            self.generation.rows(rows);
        }
    }

    fn absorb(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<Option<()>, SamplingError> {
        let told = self.generation.sequence().answer().len();
        // No rows, no outputs: cancelled.
        let mut wanted = !outputs.is_empty();
        let advanced = if wanted { self.generation.advance(vocab, outputs) } else { Ok(()) };
        let sequence = self.generation.sequence();
        for (index, &id) in sequence.answer().iter().enumerate().skip(told) {
            let (log_prob, text) = (sequence.log_probs()[index], self.text.push(vocab.bytes(id)));
            let token = Token { index, id, log_prob, text, note: self.generation.note(index) };
            wanted &= self.listener.hear(self.id, Event::Token(token));
        }
        if wanted && advanced.is_ok() && sequence.finish().is_none() {
            return Ok(None);
        }
        let (text, answer) = (self.text.finish(), self.generation.answer());
        self.listener.hear(
            self.id,
            match advanced {
                Ok(()) => Event::Finished { text, answer },
                Err(error) => Event::Failed { text, answer, error },
            },
        );
        Ok(Some(()))
    }
}
