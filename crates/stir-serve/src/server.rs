//! The server: its state, and what is over HTTP.

mod answer;
mod api_error;
mod chat;
mod completions;
mod config;
mod fields;
#[cfg(test)]
mod fuzz;
mod http;
mod libraries;
mod model;
mod page;
mod params;
mod reply;
mod routes;
mod steering;

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, pending},
    hash::{BuildHasher, RandomState},
    num::NonZero,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    thread::{self, JoinHandle},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use axum::Router;
use stir_basis::Library;
use stir_core::Text;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot},
};

use crate::{
    ServeError,
    client::{Client, Update},
    metrics::Metrics,
    worker::{self, Command, Job},
};

pub use config::{ApiKey, ServeConfig};
pub use model::{BoxError, Message, Model};

use api_error::ApiError;
use libraries::Libraries;
use model::Served;
use reply::Call;

/// A server: the engine's thread, the libraries, and the routes.
///
/// ```
/// use stir_core::toy::ToyEngine;
/// use stir_serve::{Model, ServeConfig, Server};
/// use tokio::net::TcpListener;
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let server = Server::new(Model::new("toy", ToyEngine::new(1)), ServeConfig::default())?;
/// let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
/// println!("listening on {}", listener.local_addr()?);
/// let shutdown = async { /* wait for a signal */ };
/// server.run(listener, shutdown).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    shared: Arc<Shared>,
}

/// What the routes share.
pub(crate) struct Shared {
    pub model: Box<dyn Served>,
    pub config: ServeConfig,
    pub libraries: Libraries,
    pub metrics: Arc<Metrics>,
    /// The time when the server began, in seconds since 1970.
    pub created: u64,
    /// Held while a library is uploaded.
    pub uploads: tokio::sync::Mutex<()>,
    /// One permit for each request that is being read: a body may take many times its length while it is.
    pub readers: Semaphore,
    /// Set where only this machine can reach the server.
    pub is_local: AtomicBool,
    /// Until the server ends.
    engine: Mutex<Option<EngineThread>>,
    /// One permit for each answer that may run or wait.
    places: Arc<Semaphore>,
}

/// The thread that runs the engine, and how it is told of requests.
struct EngineThread {
    commands: Sender<Command>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Starts the thread that runs the engine. Nothing listens until [`run`](Self::run).
    ///
    /// # Errors
    /// [`ServeError::Setting`] when a setting is out of bounds; [`ServeError::Io`] when no thread can be started.
    pub fn new<E>(model: Model<E>, config: ServeConfig) -> Result<Self, ServeError>
    where
        E: Text + 'static,
        E::Session: 'static,
    {
        config.validate()?;
        let metrics = Arc::new(Metrics::default());
        let (commands, thread) =
            worker::spawn(model.engine(), config.max_batch, config.prefix_positions, metrics.clone())?;
        let shared = Shared {
            model: Box::new(model),
            libraries: Libraries::new(&config),
            metrics,
            created: now(),
            uploads: tokio::sync::Mutex::new(()),
            readers: Semaphore::new(thread::available_parallelism().map_or(1, NonZero::get)),
            is_local: AtomicBool::new(false),
            engine: Mutex::new(Some(EngineThread { commands, thread })),
            places: Arc::new(Semaphore::new(config.max_batch + config.queue)),
            config,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Adds a library that requests can name, or puts it in the place of the one of its name.
    ///
    /// # Errors
    /// [`ServeError`] if the name is no name of a library, if the library is of another model, or if there are too many.
    pub fn add_library(&self, name: &str, library: impl Into<Arc<Library>>) -> Result<(), ServeError> {
        self.shared.libraries.put(name, library.into(), self.shared.model.fingerprint()).map(drop)
    }

    /// Returns the routes, for a server of your own; answers then end with the program.
    pub fn router(&self) -> Router {
        routes::router(self.shared.clone())
    }

    /// Serves until `shutdown` is ready. Then no connection is accepted any more, and answers in progress have
    /// [`ServeConfig::drain`] to finish; those that have not are lost.
    ///
    /// # Errors
    /// [`ServeError::Io`] when the network fails.
    pub async fn run(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let is_local = listener.local_addr()?.ip().is_loopback();
        self.shared.is_local.store(is_local, Ordering::Relaxed);
        let (told, ending) = oneshot::channel();
        let graceful = async move {
            shutdown.await;
            // Nobody listens if the server has failed.
            let _ = told.send(());
        };
        let served = axum::serve(listener, self.router()).with_graceful_shutdown(graceful);
        let drain = self.shared.config.drain;
        let late = async move {
            match ending.await {
                Ok(()) => tokio::time::sleep(drain).await,
                Err(_) => pending().await,
            }
        };
        let result = tokio::select! {
            result = served => result,
            () = late => {
                tracing::warn!("answers in progress are given up: their time to finish is over");
                Ok(())
            }
        };
        if let Some(thread) = self.shared.stop() {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the thread of the engine ended by a panic");
            }
        }
        Ok(result?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("model", &self.shared.model.name()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Returns the number of answers that may run or wait.
    pub(crate) fn room(&self) -> usize {
        self.config.max_batch + self.config.queue
    }

    /// Hands a request to the engine; returns where the events of its answers come.
    pub(crate) fn submit(&self, call: &Call) -> Result<mpsc::UnboundedReceiver<(usize, Update)>, ApiError> {
        let answers: usize = call.requests.iter().map(|request| request.samples).sum();
        let places = u32::try_from(answers).ok().and_then(|n| self.places.clone().try_acquire_many_owned(n).ok());
        let mut places = places.ok_or_else(|| ApiError::full(self.room()))?;
        let (updates, receiver) = mpsc::unbounded_channel();
        let deadline = Some(Instant::now() + self.config.time_limit);
        let mut index = 0;
        for request in &call.requests {
            let mut clients = VecDeque::new();
            while clients.len() < request.samples
                && let Some(place) = places.split(1)
            {
                clients.push_back(Client::new(index, updates.clone(), deadline, self.metrics.clone(), place));
                index += 1;
            }
            let controller = call.params.steer.as_ref().map(|steer| steer.controller.clone());
            let job = Job { request: request.clone(), controller, top: call.params.log_probs.unwrap_or(0), clients };
            let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
            let sent = engine.as_ref().map(|engine| engine.commands.send(Command::Answer(Box::new(job))));
            if !matches!(sent, Some(Ok(()))) {
                return Err(ApiError::ending());
            }
        }
        Ok(receiver)
    }

    /// Returns whether the engine's thread takes requests.
    pub(crate) fn is_alive(&self) -> bool {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        engine.as_ref().is_some_and(|engine| !engine.thread.is_finished())
    }

    /// Ends the engine's thread, and with it all answers; returns the thread if it was not told before.
    fn stop(&self) -> Option<JoinHandle<()>> {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        // It may have ended by itself.
        let _ = engine.commands.send(Command::Stop);
        Some(engine.thread)
    }

    /// Returns a number that nobody can guess, for answers that name no seed and for identifiers.
    pub(crate) fn random(&self) -> u64 {
        RandomState::new().hash_one(now())
    }
}

/// Returns the seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
