//! Scaled dot-product attention with grouped heads: [`Dense`] over a batch of whole sequences, [`Cached`] over caches
//! of different lengths that may share a past.
//!
//! Read `Dense::attend` first. It is the whole computation in twenty lines; training uses it, and everything else here
//! and in `cpu/attention.rs` gives its numbers faster.

use std::ops::Range;

use burn::tensor::{DType, Device, Int, Tensor, TensorData, activation::softmax};
use stir_core::Session;

use crate::{
    DecoderConfig,
    batch::Batch,
    cache::Span,
    compute::{Compute, Norm, Rotation, Rotations, in_f32, in_type, indices, softcap, split_heads},
};

/// Replaces minus infinity, because differences of two such values are taken.
const MASKED: f32 = -1e30;

/// Sequences of equal length, each attending to its own past; differentiable.
pub(crate) struct Dense<'c> {
    config: &'c DecoderConfig,
    batch: usize,
    length: usize,
    rotations: Rotations<Rotation>,
    /// `[1, 1, length, length]` for every window that some layer has.
    masks: Vec<(Option<usize>, Tensor<4>)>,
}

impl<'c> Dense<'c> {
    pub(crate) fn new(config: &'c DecoderConfig, batch: usize, length: usize, dtype: DType, device: &Device) -> Self {
        let positions: Vec<usize> = (0..length).collect();
        let mask = |window| visible(&positions, 0..length, window, device).reshape([1, 1, length, length]);
        let masks = windows(config).into_iter().map(|window| (window, mask(window))).collect();
        let of_batch = positions.repeat(batch);
        let rotations = Rotations::new(config, &of_batch, |angles| Rotation::new(&angles, dtype, device));
        Self { config, batch, length, rotations, masks }
    }
}

impl Compute for Dense<'_> {
    fn attend(&mut self, layer: usize, qkv: Tensor<2>, norms: Option<&[Norm; 2]>) -> Tensor<2> {
        let [q, k, v] = split_heads(self.config, qkv, norms, self.rotations.of(self.config, layer));
        let ([_, heads, head_dim], [_, kv_heads, _]) = (q.dims(), k.dims());
        let group = heads / kv_heads;
        let (batch, length) = (self.batch, self.length);
        let by_head = |x: Tensor<3>, n| x.reshape([batch, length, n, head_dim]).swap_dims(1, 2);
        // Each key head is repeated for the queries of its group.
        let repeated = |x: Tensor<3>| {
            let x: Tensor<5> = by_head(x, kv_heads).unsqueeze_dim(2);
            x.expand([batch, kv_heads, group, length, head_dim]).reshape([batch, heads, length, head_dim])
        };
        let q = by_head(q, heads) * self.config.attention_scale as f32;
        let mut scores = softcap(in_f32(q.matmul(repeated(k).transpose())), self.config.attention_softcap);
        if let Some((_, mask)) = self.masks.iter().find(|(window, _)| *window == self.config.windows[layer]) {
            scores = scores + mask.clone();
        }
        let v = repeated(v);
        let weights = in_type(softmax(scores, 3), v.dtype());
        weights.matmul(v).swap_dims(1, 2).reshape([batch * length, heads * head_dim])
    }

    fn finish(self) {}
}

/// Rows of different lengths, each over its own cache. The batch's tokens lie one row after another.
///
/// Every span of every cache is attended to once: rows that share a frozen span share its matrix products, so the
/// branches of a probe tree or the samples of one prompt read their common past once per layer. What a row found in its
/// several spans is merged by the log-sum-exp rule (as in tiled attention).
pub(crate) struct Cached<'c> {
    config: &'c DecoderConfig,
    batch: Batch<'c>,
    rotations: Rotations<Rotation>,
    /// For every window that some layer has, the levels in which something can be seen.
    plans: Vec<(Option<usize>, Vec<Level>)>,
    device: Device,
}

/// The spans at one depth of the caches' chains.
struct Level {
    groups: Vec<Group>,
    /// The place of each token of the batch in the concatenation of the groups; `None` when they are in order.
    order: Option<Tensor<1, Int>>,
    /// True if some token has no span at this depth; such tokens are sent to one extra, empty place.
    gaps: bool,
}

/// One span and the rows that see it.
struct Group {
    /// A row that has the span.
    row: usize,
    /// The span's place in the row's chain.
    depth: usize,
    /// Positions of the span that some of the rows see.
    keys: Range<usize>,
    tokens: Tokens,
    mask: Option<Tensor<3>>,
}

/// Tokens of the batch.
struct Tokens {
    first: usize,
    count: usize,
    /// The tokens, if they are not `first..first + count`.
    listed: Option<Tensor<1, Int>>,
}

/// Attention of some tokens to the spans of one level: `[n_kv_heads, tokens, group, ..]`.
struct Partial {
    /// Largest score, 1 element each.
    max: Tensor<4>,
    /// Sum of `exp(score - max)`, 1 element each.
    sum: Tensor<4>,
    /// Values weighted by `exp(score - max)`, `head_dim` elements each.
    value: Tensor<4>,
}

impl<'c> Cached<'c> {
    /// Plans which tokens attend to which spans.
    pub(crate) fn new(config: &'c DecoderConfig, batch: Batch<'c>, dtype: DType, device: &Device) -> Self {
        let depth = batch.leaders().map(|(row, _)| row.cache.spans().len()).max().unwrap_or(0);
        let rotations = Rotations::new(config, &batch.positions(), |angles| Rotation::new(&angles, dtype, device));
        let mut cached = Self { config, batch, rotations, plans: Vec::new(), device: device.clone() };
        let levels = |window| (0..depth).filter_map(|depth| cached.level(depth, window)).collect();
        cached.plans = windows(config).into_iter().map(|window| (window, levels(window))).collect();
        cached
    }

    /// Returns the spans at `depth` of which some position can be seen through `window`; `None` when there are none.
    fn level(&self, depth: usize, window: Option<usize>) -> Option<Level> {
        let mut sharing_rows: Vec<(usize, Vec<usize>)> = Vec::new();
        let span = |row: usize| -> Option<&Span> { self.batch.cache(row).spans().get(depth) };
        let is_tail = |row: usize| self.batch.cache(row).spans().len() == depth + 1;
        for row in 0..self.batch.len() {
            let Some(own) = span(row) else { continue };
            let sharing = |first: usize| !is_tail(first) && !is_tail(row) && span(first).is_some_and(|s| s.same(own));
            match sharing_rows.iter_mut().find(|(first, _)| sharing(*first)) {
                Some((_, rows)) => rows.push(row),
                None => sharing_rows.push((row, vec![row])),
            }
        }
        let mut place: Vec<Option<usize>> = vec![None; self.batch.n_tokens()];
        let mut next = 0;
        let mut groups = Vec::new();
        for (row, rows) in sharing_rows {
            let tokens: Vec<usize> = rows.iter().flat_map(|&r| self.batch.tokens(r)).collect();
            let positions: Vec<usize> = rows.iter().flat_map(|&r| self.positions(r)).collect();
            // Rows that share a span share all that is before it.
            let start: usize = self.batch.cache(row).spans()[..depth].iter().map(|span| span.len).sum();
            let new = if is_tail(row) { tokens.len() } else { 0 };
            let end = start + span(row).map_or(0, |s| s.len) + new;
            let first_seen = |position: &usize| window.map_or(0, |w| (position + 1).saturating_sub(w)).max(start);
            let first = positions.iter().map(first_seen).min().unwrap_or(start);
            if first >= end {
                continue;
            }
            let all_see_all = new <= 1 && positions.iter().all(|position| first_seen(position) <= first);
            let mask = (!all_see_all).then(|| visible(&positions, first..end, window, &self.device));
            for &token in &tokens {
                place[token] = Some(next);
                next += 1;
            }
            let tokens = Tokens::new(&tokens, &self.device);
            groups.push(Group { row, depth, keys: first - start..end - start, tokens, mask });
        }
        let gaps = place.contains(&None);
        let order: Vec<usize> = place.into_iter().map(|p| p.unwrap_or(next)).collect();
        let in_order = order.iter().enumerate().all(|(i, &p)| i == p);
        (next > 0).then(|| Level { groups, order: (!in_order).then(|| indices(&order, &self.device)), gaps })
    }

    /// Returns the positions of a row's new tokens.
    fn positions(&self, row: usize) -> Range<usize> {
        let past = self.batch.cache(row).len();
        past..past + self.batch.tokens(row).len()
    }
}

impl Compute for Cached<'_> {
    fn attend(&mut self, layer: usize, qkv: Tensor<2>, norms: Option<&[Norm; 2]>) -> Tensor<2> {
        let [q, k, v] = split_heads(self.config, qkv, norms, self.rotations.of(self.config, layer));
        let ([tokens, heads, head_dim], [_, kv_heads, _], dtype) = (q.dims(), k.dims(), q.dtype());
        let (k, v) = (k.swap_dims(0, 1), v.swap_dims(0, 1));
        for (cache, tokens) in self.batch.all_mut() {
            let own = |x: &Tensor<3>| x.clone().narrow(1, tokens.start, tokens.len());
            cache.write(layer, own(&k), own(&v));
        }
        let q = q * self.config.attention_scale as f32;
        let q = q.reshape([tokens, kv_heads, heads / kv_heads, head_dim]).swap_dims(0, 1);
        let window = self.config.windows[layer];
        let levels = self.plans.iter().filter(|(of, _)| *of == window).flat_map(|(_, levels)| levels);
        let merged = levels.map(|level| level.partial(self, layer, &q)).reduce(Partial::merge);
        // Every row has at least the span its new tokens were written to.
        let Some(Partial { sum, value, .. }) = merged else {
            return Tensor::zeros([0, heads * head_dim], &self.device);
        };
        in_type(value / sum, dtype).swap_dims(0, 1).reshape([tokens, heads * head_dim])
    }

    fn finish(self) {
        self.batch.finish();
    }
}

impl Level {
    fn partial(&self, cached: &Cached<'_>, layer: usize, q: &Tensor<4>) -> Partial {
        let mut parts: Vec<Partial> = self.groups.iter().map(|group| group.partial(cached, layer, q)).collect();
        if self.gaps {
            let [kv_heads, _, group, head_dim] = q.dims();
            let full = |value, size| Tensor::full([kv_heads, 1, group, size], value, (&q.device(), DType::F32));
            parts.push(Partial { max: full(MASKED, 1), sum: full(0.0, 1), value: full(0.0, head_dim) });
        }
        let assemble = |part: fn(&Partial) -> &Tensor<4>| {
            let listed: Vec<Tensor<4>> = parts.iter().map(|p| part(p).clone()).collect();
            let listed = Tensor::cat(listed, 1);
            match &self.order {
                Some(order) => listed.select(1, order.clone()),
                None => listed,
            }
        };
        Partial { max: assemble(|p| &p.max), sum: assemble(|p| &p.sum), value: assemble(|p| &p.value) }
    }
}

impl Group {
    fn partial(&self, cached: &Cached<'_>, layer: usize, q: &Tensor<4>) -> Partial {
        let [kv_heads, _, group, head_dim] = q.dims();
        let Tokens { first, count: tokens, listed } = &self.tokens;
        let (tokens, q) = (*tokens, q.clone());
        let q = match listed {
            Some(list) => q.select(1, list.clone()),
            None => q.narrow(1, *first, tokens),
        };
        let [k, v] = cached.batch.cache(self.row).spans()[self.depth].read(layer, self.keys.clone());
        let scores = q.reshape([kv_heads, tokens * group, head_dim]).matmul(k.transpose());
        // Exponentials and sums are taken in full precision, whatever type the weights are kept in.
        let mut scores = softcap(in_f32(scores), cached.config.attention_softcap);
        if let Some(mask) = &self.mask {
            let keys = self.keys.len();
            let by_query = scores.reshape([kv_heads, tokens, group, keys]);
            scores = (by_query + mask.clone().unsqueeze()).reshape([kv_heads, tokens * group, keys]);
        }
        let max = scores.clone().max_dim(2);
        let weights = (scores - max.clone()).exp();
        let by_token = |x: Tensor<3>| {
            let [_, _, last] = x.dims();
            x.reshape([kv_heads, tokens, group, last])
        };
        let sum = weights.clone().sum_dim(2);
        let value = match v.dtype() {
            DType::F32 => weights.matmul(v),
            // A mean stays in the range of its values where a sum of thousands may leave that of f16.
            dtype => in_f32((weights / sum.clone()).cast(dtype).matmul(v)) * sum.clone(),
        };
        Partial { sum: by_token(sum), value: by_token(value), max: by_token(max) }
    }
}

impl Partial {
    fn merge(self, other: Self) -> Self {
        let max = self.max.clone().max_pair(other.max.clone());
        let (own, others) = ((self.max - max.clone()).exp(), (other.max - max.clone()).exp());
        Self {
            sum: self.sum * own.clone() + other.sum * others.clone(),
            value: self.value * own + other.value * others,
            max,
        }
    }
}

impl Tokens {
    fn new(tokens: &[usize], device: &Device) -> Self {
        let first = tokens.first().copied().unwrap_or(0);
        let in_order = tokens.iter().enumerate().all(|(i, &t)| t == first + i);
        Self { first, count: tokens.len(), listed: (!in_order).then(|| indices(tokens, device)) }
    }
}

/// Returns the different windows that layers have.
fn windows(config: &DecoderConfig) -> Vec<Option<usize>> {
    let mut windows = config.windows.clone();
    windows.sort_unstable();
    windows.dedup();
    windows
}

/// Returns a mask, `[tokens, 1, keys]`: 0 where the token at a position sees a key, that is one no further than itself
/// and among the last `window`, and [`MASKED`] elsewhere.
///
/// A token that sees none of these keys gets a maximum of [`MASKED`] here and no weight when partial results are
/// merged.
fn visible(positions: &[usize], keys: Range<usize>, window: Option<usize>, device: &Device) -> Tensor<3> {
    let sees = |position: usize, key: usize| key <= position && window.is_none_or(|w| position - key < w);
    let row = |position: usize| keys.clone().map(move |key| if sees(position, key) { 0.0 } else { MASKED });
    let mask: Vec<f32> = positions.iter().flat_map(|&position| row(position)).collect();
    Tensor::from_data(TensorData::new(mask, [positions.len(), 1, keys.len()]), (device, DType::F32))
}
