use std::{ops::Range, sync::Arc};

use burn::tensor::{DType, Device, Tensor};
use stir_core::{Session, TokenId};

use crate::DecoderConfig;

/// Positions are allocated in multiples of this, and of more where there are many.
const BLOCK: usize = 64;

/// Returns the number of positions that a span of `positions` takes room for: at most a sixteenth more, or what fills a
/// block.
fn capacity(positions: usize) -> usize {
    let sixteenth = positions.next_power_of_two() / 32;
    positions.next_multiple_of(sixteenth.max(BLOCK))
}

/// The keys and values of one sequence.
///
/// A cache is a chain of spans. The last span belongs to this sequence alone and is written in place; the spans before
/// it were frozen by a fork and may be shared by any number of sequences, so a fork copies nothing and branches of one
/// prefix read it from one place. Space is taken in blocks that grow with the span: appending a token moves existing
/// data only when a block fills up, or when two spans are merged after a fork was dropped.
#[derive(Debug, Clone)]
pub struct KvCache {
    spans: Vec<Span>,
    /// The tokens at the positions, for [`SharedRows`](crate::shared_rows::SharedRows).
    tokens: Vec<TokenId>,
    /// The number of layers below the first one in which an addition has changed keys or values.
    untouched: usize,
    sizes: Arc<Sizes>,
}

#[derive(Debug)]
struct Sizes {
    n_layers: usize,
    n_kv_heads: usize,
    head_dim: usize,
    max_context: usize,
    dtype: DType,
    device: Device,
}

/// The first `len` positions of a piece.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    piece: Arc<Piece>,
    pub(crate) len: usize,
}

/// Keys and values of consecutive positions, `[n_kv_heads, capacity, head_dim]` for each layer.
#[derive(Debug, Clone)]
struct Piece {
    layers: Vec<[Tensor<3>; 2]>,
    capacity: usize,
}

impl KvCache {
    pub(crate) fn new(config: &DecoderConfig, dtype: DType, device: &Device) -> Self {
        let sizes = Arc::new(Sizes {
            n_layers: config.n_layers,
            n_kv_heads: config.n_kv_heads,
            head_dim: config.head_dim,
            max_context: config.max_context,
            dtype,
            device: device.clone(),
        });
        Self { spans: Vec::new(), tokens: Vec::new(), untouched: config.n_layers, sizes }
    }

    /// Returns the number of bytes of keys and values that this sequence keeps alive. What forks share counts for each
    /// of them.
    pub fn bytes(&self) -> usize {
        self.spans.iter().map(|span| span.piece.capacity * self.sizes.position_bytes()).sum()
    }

    /// Returns the number of bytes that a new sequence takes for `positions`.
    pub(crate) fn bytes_for(&self, positions: usize) -> usize {
        self.sizes.capacity(positions.min(self.sizes.max_context), 0) * self.sizes.position_bytes()
    }

    /// Makes room for `tokens` more positions in a span that only this sequence holds.
    pub(crate) fn reserve(&mut self, tokens: usize) {
        while self.join() {}
        let past = self.len();
        let owned = self.spans.last_mut().is_some_and(|span| Arc::get_mut(&mut span.piece).is_some());
        if !owned {
            let piece = self.sizes.piece(self.sizes.capacity(tokens, past));
            self.spans.push(Span { piece: Arc::new(piece), len: 0 });
        }
        let sizes = &self.sizes;
        let Some(span) = self.spans.last_mut() else { return };
        let needed = span.len + tokens;
        if needed > span.piece.capacity {
            let wanted = sizes.capacity(needed, past - span.len);
            let mut larger = sizes.piece(wanted);
            larger.copy(0, &span.piece, span.len);
            span.piece = Arc::new(larger);
        }
    }

    /// Moves the last span into the one before it, if only this sequence still holds them and there is room: otherwise
    /// a sequence would take another block for every fork that it has outlived. Returns whether it did.
    fn join(&mut self) -> bool {
        let [.., before, last] = &mut self.spans[..] else { return false };
        let both = Arc::get_mut(&mut before.piece).zip(Arc::get_mut(&mut last.piece));
        let Some((piece, from)) = both.filter(|(piece, _)| before.len + last.len <= piece.capacity) else {
            return false;
        };
        piece.copy(before.len, from, last.len);
        before.len += last.len;
        self.spans.pop();
        true
    }

    /// Writes keys and values behind the positions held, without counting them yet; space must have been reserved.
    ///
    /// # Shapes
    /// - both: `[n_kv_heads, tokens, head_dim]`
    pub(crate) fn write(&mut self, layer: usize, key: Tensor<3>, value: Tensor<3>) {
        let [heads, tokens, head_dim] = key.dims();
        for (Tail { tensor, len, .. }, new) in self.tail(layer).into_iter().flatten().zip([key, value]) {
            tensor.inplace(|old| old.slice_assign([0..heads, len..len + tokens, 0..head_dim], new));
        }
    }

    /// Counts the positions of `tokens`, which every layer has written.
    pub(crate) fn advance(&mut self, tokens: &[TokenId], untouched: usize) {
        if let Some(span) = self.spans.last_mut() {
            span.len += tokens.len();
        }
        self.tokens.extend_from_slice(tokens);
        self.untouched = self.untouched.min(untouched);
    }

    /// Returns the number of lowest layers whose keys and values follow from the tokens alone.
    pub(crate) fn untouched(&self) -> usize {
        self.untouched
    }

    /// Returns an identity of the piece that the sequence begins with, which forks share; `None` for an empty sequence.
    pub(crate) fn root(&self) -> Option<usize> {
        self.spans.first().map(|span| Arc::as_ptr(&span.piece).addr())
    }

    /// Returns whether another sequence of the same length holds the same tokens. Called for forks of one sequence,
    /// which are compared only in what they do not share.
    pub(crate) fn same_tokens(&self, other: &Self) -> bool {
        let mut shared = 0;
        for (own, others) in self.spans.iter().zip(&other.spans) {
            if !Arc::ptr_eq(&own.piece, &others.piece) {
                break;
            }
            shared += own.len.min(others.len);
            if own.len != others.len {
                break;
            }
        }
        self.tokens[shared..] == other.tokens[shared..]
    }

    pub(crate) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Returns the type that keys and values are kept in.
    pub(crate) fn dtype(&self) -> DType {
        self.sizes.dtype
    }

    /// Returns the places for the keys and the values of a layer's next positions; space must have been reserved.
    pub(crate) fn tail(&mut self, layer: usize) -> Option<[Tail<'_>; 2]> {
        let Span { piece, len } = self.spans.last_mut()?;
        // Unique since `reserve`, so this copies nothing.
        let piece = Arc::make_mut(piece);
        Some(piece.layers[layer].each_mut().map(|tensor| Tail { tensor, len: *len, capacity: piece.capacity }))
    }
}

/// The end of what a sequence holds.
pub(crate) struct Tail<'a> {
    /// `[n_kv_heads, capacity, head_dim]`
    pub(crate) tensor: &'a mut Tensor<3>,
    /// The number of positions held.
    pub(crate) len: usize,
    pub(crate) capacity: usize,
}

/// A sequence and the tokens that one pass appends to it.
pub(crate) struct Extension<'c> {
    pub(crate) cache: &'c mut KvCache,
    pub(crate) tokens: &'c [TokenId],
    /// The number of layers below the first one that an addition to one of the tokens changes.
    pub(crate) untouched: usize,
}

impl Extension<'_> {
    /// Returns the positions of the new tokens.
    pub(crate) fn positions(&self) -> Range<usize> {
        let past = self.cache.len();
        past..past + self.tokens.len()
    }
}

impl Session for KvCache {
    fn len(&self) -> usize {
        self.tokens.len()
    }

    fn fork(&self) -> Self {
        self.clone()
    }

    fn rewind(&mut self, len: usize) {
        let mut left = len;
        self.spans.retain_mut(|span| {
            span.len = span.len.min(left);
            left -= span.len;
            span.len > 0
        });
        self.tokens.truncate(len);
    }
}

impl Piece {
    /// Copies the first `len` positions of another to the positions from `at` on.
    fn copy(&mut self, at: usize, from: &Self, len: usize) {
        // A failed pass may have left an empty span.
        for (new, old) in self.layers.iter_mut().flatten().zip(from.layers.iter().flatten()).filter(|_| len > 0) {
            let [heads, _, head_dim] = old.dims();
            let kept = old.clone().narrow(1, 0, len);
            new.inplace(|new| new.slice_assign([0..heads, at..at + len, 0..head_dim], kept));
        }
    }
}

impl Span {
    /// Keys and values of some positions of one layer, `[n_kv_heads, keys, head_dim]` each.
    pub(crate) fn read(&self, layer: usize, keys: Range<usize>) -> [Tensor<3>; 2] {
        self.layer(layer).map(|tensor| tensor.narrow(1, keys.start, keys.len()))
    }

    /// Keys and values of one layer, `[n_kv_heads, capacity, head_dim]` each.
    pub(crate) fn layer(&self, layer: usize) -> [Tensor<3>; 2] {
        self.piece.layers[layer].clone()
    }

    /// Positions there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.piece.capacity
    }

    /// Returns whether two spans show the same positions of the same piece.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.piece, &other.piece) && self.len == other.len
    }
}

impl Sizes {
    /// Returns the room for `positions`, at most what the context leaves after `past`.
    fn capacity(&self, positions: usize, past: usize) -> usize {
        capacity(positions).min(self.max_context.saturating_sub(past)).max(positions)
    }

    /// Bytes of the keys and values of one position in all layers.
    fn position_bytes(&self) -> usize {
        2 * self.n_layers * self.n_kv_heads * self.head_dim * self.dtype.size()
    }

    fn piece(&self, capacity: usize) -> Piece {
        let zeros = || Tensor::zeros([self.n_kv_heads, capacity, self.head_dim], (&self.device, self.dtype));
        Piece { layers: (0..self.n_layers).map(|_| [zeros(), zeros()]).collect(), capacity }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_at_most_a_sixteenth_more_or_a_block() {
        let mut last = 0;
        for positions in 0..10_000 {
            let room = capacity(positions);
            assert!(room >= positions && room >= last);
            assert!(room - positions < BLOCK.max(positions / 16 + 1), "{positions}: {room}");
            last = room;
        }
    }
}
