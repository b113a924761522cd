use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, mpsc::Sender},
};

use stir_controller::Controller;
use stir_core::{Engine, Request, SettingError};
use tokio::sync::{Semaphore, mpsc};

use crate::{
    AnswerError, AnswerStream, ServeError,
    client::Client,
    metrics::Metrics,
    worker::{self, Command, Job, MAX_ANSWERS},
};

/// The bounds of an [`AsyncEngine`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsyncConfig {
    /// The number of answers that share a forward pass at most.
    pub max_batch: usize,
    /// The number of answers that may wait for room in a pass; who asks for more waits for a place among them.
    pub queue: usize,
    /// The number of positions of prompts that are kept for requests that begin alike; 0 for none. A position takes as
    /// much memory as one of a running answer.
    pub prefix_positions: usize,
}

impl Default for AsyncConfig {
    fn default() -> Self {
        Self { max_batch: 16, queue: 64, prefix_positions: 16_384 }
    }
}

impl AsyncConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`SettingError`] with the first setting out of bounds.
    pub fn validate(&self) -> Result<(), SettingError> {
        SettingError::positive("max_batch", self.max_batch)?;
        let room = self.max_batch.saturating_add(self.queue);
        SettingError::check(room <= MAX_ANSWERS, "max_batch + queue", room, "<= 100000")
    }
}

/// An engine for async code: any number of tasks ask it, and their answers share its passes.
///
/// It has one thread of its own, on which every pass runs, so that no thread of the async runtime is ever blocked.
/// (`spawn_blocking` would take a thread for each answer, and answers on different threads could not share passes.)
/// Streams and waiting need no certain runtime; that of tokio is not even started here. A clone is another handle of the
/// same engine. Once the last handle is dropped, answers in progress go on to their ends, and then the thread ends.
///
/// ```
/// use std::sync::Arc;
/// use stir_core::{Event, Request, Text, toy::ToyEngine};
/// use stir_serve::{AsyncConfig, AsyncEngine};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let engine = AsyncEngine::new(Arc::new(ToyEngine::new(1)), AsyncConfig::default())?;
/// let prompt = engine.engine().encode_prompt("abc")?;
/// let mut answer = engine.answer(Request { max_tokens: 20, ..Request::new(prompt) }).await?;
/// while let Some(event) = answer.next().await {
///     match event? {
///         Event::Token(token) => print!("{}", token.text),
///         Event::Finished { text, answer } => println!("{text} ({:?})", answer.generated.finish),
///         Event::Failed { error, .. } => eprintln!("{error}"),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AsyncEngine<E> {
    engine: Arc<E>,
    commands: Sender<Command>,
    /// One permit for each answer that may run or wait.
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl<E: Engine> AsyncEngine<E> {
    /// Starts the thread that runs `engine`.
    ///
    /// # Errors
    /// [`ServeError::Setting`] when a setting is out of bounds; [`ServeError::Io`] when no thread can be started.
    pub fn new(engine: Arc<E>, config: AsyncConfig) -> Result<Self, ServeError>
    where
        E: 'static,
        E::Session: 'static,
    {
        config.validate()?;
        let AsyncConfig { max_batch, queue, prefix_positions } = config;
        let metrics = Arc::new(Metrics::default());
        let (commands, _) = worker::spawn(engine.clone(), max_batch, prefix_positions, metrics.clone())?;
        Ok(Self { engine, commands, places: Arc::new(Semaphore::new(max_batch + queue)), metrics })
    }

    /// Returns the engine, for its tokenizer and its vocabulary. A pass of it that is run elsewhere shares nothing with
    /// those of the answers and blocks the thread that runs it.
    pub fn engine(&self) -> &Arc<E> {
        &self.engine
    }

    /// Asks for a plain answer, as [`stir_core::stream`] generates it. A request is one answer here; several samples are
    /// several requests that differ in [`stream`](Request::stream), and their prompt is encoded once.
    ///
    /// Where as many answers run and wait as may, this waits for a place, in the order of asking. Whoever would rather
    /// refuse puts a time limit around it. Nothing was asked if the future is dropped before it is ready.
    ///
    /// # Errors
    /// [`AnswerError::Request`] or [`AnswerError::Samples`] if the request cannot be served; [`AnswerError::Stopped`]
    /// after [`stop`](Self::stop).
    pub async fn answer(&self, request: Request) -> Result<AnswerStream, AnswerError> {
        self.submit(request, None).await
    }

    /// Asks for a steered answer, as [`Controller::stream`] generates it; otherwise like [`answer`](Self::answer).
    ///
    /// # Errors
    /// As [`answer`](Self::answer), and [`AnswerError::Library`] if the vectors do not fit the model.
    pub async fn steered(&self, controller: &Controller, request: Request) -> Result<AnswerStream, AnswerError> {
        self.check(controller)?;
        self.submit(request, Some(controller.clone())).await
    }

    /// Ends the thread after the pass that runs, whatever handles are left. Answers in progress are lost:
    /// [`AnswerError::Stopped`] ends their streams.
    pub fn stop(&self) {
        // It may have ended before.
        let _ = self.commands.send(Command::Stop);
    }

    /// A vector that fits no pass would fail those of all other answers.
    fn check(&self, controller: &Controller) -> Result<(), AnswerError> {
        let shape = self.engine.shape();
        let (model_hidden_size, n_layers) = (shape.hidden_size, shape.n_layers);
        let hidden_size = controller.library().fingerprint().hidden_size;
        match controller.layers().last() {
            Some(&layer) if hidden_size != model_hidden_size || layer >= n_layers => {
                Err(AnswerError::Library { hidden_size, layer, model_hidden_size, n_layers })
            }
            _ => Ok(()),
        }
    }

    async fn submit(&self, request: Request, controller: Option<Controller>) -> Result<AnswerStream, AnswerError> {
        request.check(self.engine.shape())?;
        if request.samples != 1 {
            return Err(AnswerError::Samples { samples: request.samples });
        }
        let place = self.places.clone().acquire_owned().await.map_err(|_| AnswerError::Stopped)?;
        let (updates, receiver) = mpsc::unbounded_channel();
        let clients = VecDeque::from([Client::new(0, updates, None, self.metrics.clone(), place)]);
        let job = Job { request, controller, top: 0, clients };
        self.commands.send(Command::Answer(Box::new(job))).map_err(|_| AnswerError::Stopped)?;
        Ok(AnswerStream::new(receiver))
    }
}

impl<E> Clone for AsyncEngine<E> {
    fn clone(&self) -> Self {
        let Self { engine, commands, places, metrics } = self;
        let (engine, commands, places, metrics) = (engine.clone(), commands.clone(), places.clone(), metrics.clone());
        Self { engine, commands, places, metrics }
    }
}

impl<E> fmt::Debug for AsyncEngine<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncEngine").field("free_places", &self.places.available_permits()).finish_non_exhaustive()
    }
}
