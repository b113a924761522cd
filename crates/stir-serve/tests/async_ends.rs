//! Answers of the engine for async code end: because nobody reads them, because something broke, or because it stops.

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::{Duration, Instant},
};

use crate::toy::{events, greedy, plain, request, start, whole};
use futures_util::StreamExt;
use stir_basis::{Action, Entry, Library};
use stir_controller::{Controller, ControllerConfig};
use stir_core::{
    Engine, Event, Finish, Output, Request, RequestError, Row, Text,
    toy::{ToyEngine, ToySession, Watched},
};
use stir_serve::{AnswerError, AsyncConfig, AsyncEngine, ServeError};
use tokio::time::{sleep, timeout};

/// Waits until `holds`, for five seconds at most.
async fn soon(holds: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !holds() && start.elapsed() < Duration::from_secs(5) {
        sleep(Duration::from_millis(1)).await;
    }
    holds()
}

/// Polls a future once.
async fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    timeout(Duration::ZERO, future).await.ok()
}

/// An engine whose passes for tokens wait to be let through, the number of rows of logits that it has begun, and how to
/// let passes through: dropped, all are.
fn gated() -> (impl Text<Session = ToySession>, Arc<AtomicUsize>, mpsc::Sender<()>) {
    let (open, gate) = mpsc::channel();
    let (gate, decoded) = (Mutex::new(gate), Arc::new(AtomicUsize::new(0)));
    let counter = decoded.clone();
    let engine = Watched::new(ToyEngine::without_eos(1), move |rows: &[Row<'_, ToySession>], _: &mut [Output]| {
        let logits = rows.iter().filter(|row| row.logits).count();
        counter.fetch_add(logits, SeqCst);
        if logits > 0 {
            let _ = gate.lock().unwrap().recv();
        }
    });
    (engine, decoded, open)
}

#[tokio::test]
async fn an_answer_ends_with_the_pass_in_which_its_stream_is_dropped() {
    let (engine, decoded, open) = gated();
    let engine = start(engine, AsyncConfig { max_batch: 1, ..AsyncConfig::default() });
    let mut answer = engine.answer(request("abc", 1)).await.unwrap();
    let waiting = engine.answer(request("abd", 2)).await.unwrap();
    for i in 0..3 {
        open.send(()).unwrap();
        assert!(matches!(answer.next().await, Some(Ok(Event::Token(token))) if token.index == i));
    }
    // A future of the next event is no answer: dropping it loses none.
    assert!(now(answer.next()).await.is_none());
    assert!(soon(|| decoded.load(SeqCst) == 4).await);
    drop(answer);
    drop(waiting);
    drop(open);
    let (last, _) = whole(engine.answer(Request { max_tokens: 2, ..request("abc", 3) }).await.unwrap()).await;
    assert_eq!(last.generated.tokens.len(), 2);
    assert_eq!(decoded.load(SeqCst), 4 + 2, "the pass that ran was the last, and none was for the answer that waited");
}

#[tokio::test]
async fn who_asks_for_too_much_waits_for_a_place_and_a_slow_reader_holds_nobody_up() {
    let (engine, _, open) = gated();
    let engine = start(engine, AsyncConfig { max_batch: 1, queue: 1, ..AsyncConfig::default() });
    let unread = engine.answer(request("abc", 1)).await.unwrap();
    let second = engine.answer(request("abc", 2)).await.unwrap();
    assert!(now(engine.answer(request("abc", 3))).await.is_none(), "both places are taken");
    drop(open);
    let third = engine.answer(request("abc", 3)).await.unwrap();
    for (seed, answer) in [(2, second), (3, third), (1, unread)] {
        let expected = &plain(&ToyEngine::without_eos(1), &request("abc", seed))[0];
        let (answer, text) = whole(answer).await;
        assert_eq!(
            (answer.generated.tokens, text),
            (expected.tokens.clone(), expected.text(ToyEngine::new(1).vocab()))
        );
    }
}

/// The token of `z`.
const Z: u32 = 25;

/// Calls `how` for every pass with a row that holds the token of `z`, with whether that row is of a prompt's beginning,
/// and its output.
fn fragile(how: impl Fn(bool, &mut Output) + Send + Sync) -> impl Text<Session = ToySession> {
    Watched::new(ToyEngine::without_eos(1), move |rows: &[Row<'_, ToySession>], outputs: &mut [Output]| {
        for (row, output) in rows.iter().zip(outputs).filter(|(row, _)| row.tokens.contains(&Z)) {
            how(!row.logits, output);
        }
        // So that answers meet.
        std::thread::sleep(Duration::from_millis(1));
    })
}

#[tokio::test]
async fn one_that_breaks_down_ends_alone() {
    let expected = &plain(&ToyEngine::without_eos(1), &greedy("abc"))[0].tokens;
    assert!(!expected.contains(&Z));
    let broken_logits = |_, output: &mut Output| output.logits.fill(f32::NAN);
    let engine = start(fragile(broken_logits), AsyncConfig::default());
    let mut other = engine.answer(greedy("abc")).await.unwrap();
    assert!(other.next().await.unwrap().is_ok());
    let broken = events(engine.answer(greedy("z")).await.unwrap()).await;
    assert!(matches!(&broken[..], [Event::Failed { answer, .. }] if answer.generated.tokens.is_empty()), "{broken:?}");
    assert_eq!(whole(other).await.0.generated.tokens, *expected);

    let engine = start(fragile(|prompt, _| assert!(!prompt)), AsyncConfig::default());
    let mut other = engine.answer(greedy("abc")).await.unwrap();
    assert!(other.next().await.unwrap().is_ok());
    let mut broken = engine.answer(greedy("za")).await.unwrap();
    assert!(matches!(broken.next().await, Some(Err(AnswerError::Panic))));
    assert!(broken.next().await.is_none());
    assert_eq!(whole(other).await.0.generated.tokens, *expected);
}

#[tokio::test]
async fn a_panic_in_a_pass_ends_those_in_it_and_no_later_one() {
    let engine = start(fragile(|_, _| panic!("broken")), AsyncConfig::default());
    let mut other = engine.answer(greedy("abc")).await.unwrap();
    assert!(other.next().await.unwrap().is_ok());
    for answer in [engine.answer(greedy("z")).await.unwrap(), other] {
        let last = answer.filter_map(async |event| event.err()).collect::<Vec<_>>().await;
        assert!(matches!(last[..], [AnswerError::Panic]), "{last:?}");
    }
    assert_eq!(whole(engine.answer(greedy("abc")).await.unwrap()).await.0.generated.finish, Finish::Length);
}

/// The toy engine, which fails in passes with the token of `z`.
struct Failing(ToyEngine);

impl Engine for Failing {
    type Session = ToySession;
    type Error = std::io::Error;

    fn shape(&self) -> stir_core::ModelShape {
        self.0.shape()
    }

    fn vocab(&self) -> &stir_core::Vocab {
        self.0.vocab()
    }

    fn fingerprint(&self) -> &stir_core::Fingerprint {
        self.0.fingerprint()
    }

    fn session(&self) -> ToySession {
        self.0.session()
    }

    fn forward(&self, rows: &mut [Row<'_, ToySession>]) -> Result<Vec<Output>, Self::Error> {
        match rows.iter().any(|row| row.tokens.contains(&Z)) {
            true => Err(std::io::Error::other("the bus is down")),
            false => self.0.forward(rows).map_err(std::io::Error::other),
        }
    }
}

#[tokio::test]
async fn an_error_of_the_engine_is_told_to_those_whose_answer_it_took() {
    let engine = start(Failing(ToyEngine::without_eos(1)), AsyncConfig::default());
    for prompt in ["z", "za"] {
        let Some(Err(error)) = engine.answer(greedy(prompt)).await.unwrap().next().await else { panic!() };
        let AnswerError::Engine(source) = error else { panic!("{error:?}") };
        let source: &(dyn std::error::Error + 'static) = &*source;
        assert_eq!(source.downcast_ref::<std::io::Error>().unwrap().to_string(), "the bus is down");
        assert_eq!(whole(engine.answer(greedy("abc")).await.unwrap()).await.0.generated.finish, Finish::Length);
    }
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused() {
    let engine = start(ToyEngine::new(1), AsyncConfig::default());
    let refused = engine.answer(Request::default()).await.unwrap_err();
    assert!(matches!(refused, AnswerError::Request(RequestError::EmptyPrompt)));
    let refused = engine.answer(Request { samples: 2, ..greedy("a") }).await.unwrap_err();
    assert!(matches!(refused, AnswerError::Samples { samples: 2 }));
    for (layer, width, shown) in
        [(1, 4, "4 values and states after layer 1"), (3, 10, "10 values and states after layer 3")]
    {
        let action = Action::Steer(vec![0.5; width]);
        let entry = Entry { layer, key: vec![1.0; width].into(), action, ..Entry::default() };
        let library = Library::from_vectors([entry]).unwrap();
        let controller = Controller::unchecked(library, ControllerConfig::default()).unwrap();
        let refused = engine.steered(&controller, greedy("a")).await.unwrap_err();
        assert!(matches!(refused, AnswerError::Library { .. }) && refused.to_string().contains(shown), "{refused}");
    }
    for (config, setting) in [
        (AsyncConfig { max_batch: 0, ..AsyncConfig::default() }, "max_batch"),
        (AsyncConfig { queue: usize::MAX, ..AsyncConfig::default() }, "max_batch + queue"),
    ] {
        let refused = AsyncEngine::new(Arc::new(ToyEngine::new(1)), config).unwrap_err();
        assert!(matches!(refused, ServeError::Setting(error) if error.setting == setting));
    }
}

#[tokio::test]
async fn an_engine_without_handles_finishes_what_it_has_and_one_that_is_stopped_does_not() {
    let (gated, _, open) = gated();
    let engine = start(gated, AsyncConfig::default());
    let (answer, weak) = (engine.answer(greedy("abc")).await.unwrap(), Arc::downgrade(engine.engine()));
    drop(engine);
    drop(open);
    assert_eq!(whole(answer).await.0.generated.tokens.len(), 60);
    assert!(soon(|| weak.upgrade().is_none()).await, "the thread has ended, and nobody holds the model");

    let (gated, _, open) = self::gated();
    let engine = start(gated, AsyncConfig { max_batch: 1, queue: 0, ..AsyncConfig::default() });
    let mut answer = engine.answer(greedy("abc")).await.unwrap();
    let stopper = engine.clone();
    let (late, last) = tokio::join!(engine.answer(greedy("abc")), async {
        stopper.stop();
        drop(open);
        while let Some(event) = answer.next().await {
            if let Err(error) = event {
                return Some(error);
            }
        }
        None
    });
    assert!(matches!(last, Some(AnswerError::Stopped)), "{last:?}");
    // It had a place once the first was lost; by then the thread may have been gone.
    let late = match late {
        Ok(mut late) => late.next().await.map(|event| event.unwrap_err()),
        Err(error) => Some(error),
    };
    assert!(matches!(late, Some(AnswerError::Stopped)), "{late:?}");
    assert!(soon(|| now_stopped(&engine)).await);
}

/// Whether the engine refuses everything.
fn now_stopped<E: Engine>(engine: &AsyncEngine<E>) -> bool {
    let asked = std::pin::pin!(engine.answer(greedy("abc")));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    matches!(asked.poll(&mut context), std::task::Poll::Ready(Err(AnswerError::Stopped)))
}
