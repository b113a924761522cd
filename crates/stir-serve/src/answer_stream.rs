use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::{FusedStream, Stream};
use stir_controller::{Place, Steered};
use stir_core::{Event, Token};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::{AnswerError, client::Update, lane};

/// An event of an answer of an [`AsyncEngine`](crate::AsyncEngine): a plain answer is one without steps, whose tokens
/// have no place in any.
pub type AnswerEvent = Event<Steered, Option<Place>>;

/// The events of one answer, as they come. Dropping it cancels the answer: after the pass that runs there is none for it.
///
/// The last event is [`Finished`](Event::Finished), [`Failed`](Event::Failed) (this answer alone broke down), or the
/// error with which the answer was lost; after it the stream ends.
///
/// What was not taken waits in a channel. The engine never waits for a slow reader: its pass is that of the others, too,
/// and an answer that is held back would hold its key-value cache, which is far larger than its text. The channel is
/// bounded by the answer: `max_tokens`, and the model's context, plus one.
pub struct AnswerStream {
    /// None after the last event.
    updates: Option<UnboundedReceiver<(usize, Update)>>,
}

impl AnswerStream {
    pub(crate) fn new(updates: UnboundedReceiver<(usize, Update)>) -> Self {
        Self { updates: Some(updates) }
    }

    /// Waits for the next event; `None` after the last one. No event is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Result<AnswerEvent, AnswerError>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for AnswerStream {
    type Item = Result<AnswerEvent, AnswerError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(updates) = &mut self.updates else { return Poll::Ready(None) };
        let update =
            ready!(updates.poll_recv(context)).map_or(Update::Lost(AnswerError::Stopped), |(_, update)| update);
        if update.is_last() {
            self.updates = None;
        }
        Poll::Ready(Some(match update {
            Update::Event(event) => Ok(placed(*event)),
            Update::Lost(error) => Err(error),
        }))
    }
}

impl FusedStream for AnswerStream {
    fn is_terminated(&self) -> bool {
        self.updates.is_none()
    }
}

/// Returns `event` with no more of a token's note than its place.
fn placed(event: lane::NotedEvent) -> AnswerEvent {
    match event {
        Event::Token(Token { index, id, log_prob, text, note }) => {
            Event::Token(Token { index, id, log_prob, text, note: note.place })
        }
        Event::Finished { text, answer } => Event::Finished { text, answer },
        Event::Failed { text, answer, error } => Event::Failed { text, answer, error },
    }
}

impl fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerStream").field("has_ended", &self.updates.is_none()).finish_non_exhaustive()
    }
}
