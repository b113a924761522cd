//! Scaled dot-product attention with grouped heads, over a batch of whole sequences (training) or over caches of
//! different lengths that may share a past (inference).

use burn::tensor::{Device, Int, Tensor, TensorData, activation::softmax};

use crate::cache::{KvCache, Span};

/// Stands in for minus infinity where a difference of two is taken.
const MASKED: f32 = -1e30;

/// How one pass of the decoder attends.
pub(crate) trait Attend {
    /// # Shapes
    /// - `q`: `[tokens, n_heads, head_dim]`, `k` and `v`: `[tokens, n_kv_heads, head_dim]`, rotated
    /// - output: `[tokens, n_heads * head_dim]`
    fn attend(&mut self, layer: usize, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<2>;
}

/// Sequences of equal length, each attending to its own past; differentiable.
pub(crate) struct Dense {
    pub(crate) batch: usize,
    pub(crate) length: usize,
    /// `[length, 1, length]`, see [`causal_mask`].
    mask: Tensor<3>,
}

impl Dense {
    pub(crate) fn new(batch: usize, length: usize, device: &Device) -> Self {
        Self { batch, length, mask: causal_mask(length, length, device) }
    }
}

impl Attend for Dense {
    fn attend(&mut self, _layer: usize, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<2> {
        let ([_, heads, width], [_, kv_heads, _]) = (q.dims(), k.dims());
        let group = heads / kv_heads;
        let (batch, length) = (self.batch, self.length);
        let by_head = |x: Tensor<3>, n| x.reshape([batch, length, n, width]).swap_dims(1, 2);
        // Each key head is repeated for the queries of its group.
        let repeated = |x: Tensor<3>| {
            let x: Tensor<5> = by_head(x, kv_heads).unsqueeze_dim(2);
            x.expand([batch, kv_heads, group, length, width]).reshape([batch, heads, length, width])
        };
        let q = by_head(q, heads) * (width as f32).powf(-0.5);
        let scores = q.matmul(repeated(k).transpose()) + self.mask.clone().reshape([1, 1, length, length]);
        softmax(scores, 3).matmul(repeated(v)).swap_dims(1, 2).reshape([batch * length, heads * width])
    }
}

/// Rows of different lengths, each over its own cache. The batch's tokens lie one row after another.
///
/// Every span of every cache is attended to once: rows that share a frozen span share its matrix products, so the
/// branches of a probe tree or the samples of one prompt read their common past once per layer. What a row found in its
/// several spans is merged by the log-sum-exp rule (as in tiled attention).
pub(crate) struct Cached<'c> {
    caches: Vec<&'c mut KvCache>,
    /// First token of each row, and the end of the last.
    starts: Vec<usize>,
    /// `levels[d]`: the spans that stand `d`-th in some chain.
    levels: Vec<Level>,
    device: Device,
}

struct Level {
    groups: Vec<Group>,
    /// Where each token of the batch stands in the concatenation of the groups; `None` when it stands in order.
    order: Option<Tensor<1, Int>>,
    /// Whether some token has no span at this depth, and is sent to one extra, empty place.
    gaps: bool,
}

/// One span and the rows that see it.
struct Group {
    /// Row and depth where the span is found.
    row: usize,
    depth: usize,
    /// Positions visible.
    len: usize,
    tokens: Tokens,
    mask: Option<Tensor<3>>,
}

/// Tokens of the batch.
struct Tokens {
    first: usize,
    count: usize,
    /// Where they are not `first..first + count`.
    listed: Option<Tensor<1, Int>>,
}

/// What a level's spans gave for some tokens: `[n_kv_heads, tokens, group, ..]`.
struct Partial {
    /// Largest score, width 1.
    max: Tensor<4>,
    /// Sum of `exp(score - max)`, width 1.
    sum: Tensor<4>,
    /// Values weighted by `exp(score - max)`, width `head_dim`.
    value: Tensor<4>,
}

impl<'c> Cached<'c> {
    /// Reserves room for `counts[r]` new positions in cache `r` and plans who attends to what.
    pub(crate) fn new(mut caches: Vec<&'c mut KvCache>, counts: &[usize], device: &Device) -> Self {
        let mut starts = vec![0];
        for (cache, &count) in caches.iter_mut().zip(counts) {
            cache.reserve(count);
            starts.push(starts.last().copied().unwrap_or(0) + count);
        }
        let depth = caches.iter().map(|cache| cache.spans().len()).max().unwrap_or(0);
        let mut cached = Self { caches, starts, levels: Vec::new(), device: device.clone() };
        cached.levels = (0..depth).map(|depth| cached.level(depth)).collect();
        cached
    }

    /// The positions written become part of their caches.
    pub(crate) fn finish(self) {
        for (cache, bounds) in self.caches.into_iter().zip(self.starts.windows(2)) {
            cache.advance(bounds[1] - bounds[0]);
        }
    }

    fn level(&self, depth: usize) -> Level {
        let mut members: Vec<(usize, Vec<usize>)> = Vec::new();
        let span = |row: usize| -> Option<&Span> { self.caches[row].spans().get(depth) };
        let is_tail = |row: usize| self.caches[row].spans().len() == depth + 1;
        for row in 0..self.caches.len() {
            let Some(own) = span(row) else { continue };
            let sharing = |first: usize| !is_tail(first) && !is_tail(row) && span(first).is_some_and(|s| s.same(own));
            match members.iter_mut().find(|(first, _)| sharing(*first)) {
                Some((_, rows)) => rows.push(row),
                None => members.push((row, vec![row])),
            }
        }
        let mut place: Vec<Option<usize>> = vec![None; self.starts.last().copied().unwrap_or(0)];
        let mut next = 0;
        let groups = members
            .into_iter()
            .map(|(row, rows)| {
                let tokens: Vec<usize> = rows.iter().flat_map(|&r| self.starts[r]..self.starts[r + 1]).collect();
                for &token in &tokens {
                    place[token] = Some(next);
                    next += 1;
                }
                let new = if is_tail(row) { tokens.len() } else { 0 };
                let len = span(row).map_or(0, |s| s.len) + new;
                let mask = (new > 1).then(|| causal_mask(new, len, &self.device));
                Group { row, depth, len, tokens: Tokens::new(&tokens, &self.device), mask }
            })
            .collect();
        let gaps = place.contains(&None);
        let order: Vec<usize> = place.into_iter().map(|p| p.unwrap_or(next)).collect();
        let in_order = order.iter().enumerate().all(|(i, &p)| i == p);
        Level { groups, order: (!in_order).then(|| indices(&order, &self.device)), gaps }
    }
}

impl Attend for Cached<'_> {
    fn attend(&mut self, layer: usize, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<2> {
        let ([tokens, heads, width], [_, kv_heads, _]) = (q.dims(), k.dims());
        let (k, v) = (k.swap_dims(0, 1), v.swap_dims(0, 1));
        for (cache, bounds) in self.caches.iter_mut().zip(self.starts.windows(2)) {
            let own = |x: &Tensor<3>| x.clone().narrow(1, bounds[0], bounds[1] - bounds[0]);
            cache.write(layer, own(&k), own(&v));
        }
        let q = q * (width as f32).powf(-0.5);
        let q = q.reshape([tokens, kv_heads, heads / kv_heads, width]).swap_dims(0, 1);
        let merged = self.levels.iter().map(|level| level.partial(&self.caches, layer, &q)).reduce(Partial::merge);
        // Every row has at least the span its new tokens were written to.
        let Some(Partial { sum, value, .. }) = merged else { return Tensor::zeros([0, heads * width], &self.device) };
        (value / sum).swap_dims(0, 1).reshape([tokens, heads * width])
    }
}

impl Level {
    fn partial(&self, caches: &[&mut KvCache], layer: usize, q: &Tensor<4>) -> Partial {
        let mut parts: Vec<Partial> = self.groups.iter().map(|group| group.partial(caches, layer, q)).collect();
        if self.gaps {
            let [kv_heads, _, group, width] = q.dims();
            let full = |value, width| Tensor::full([kv_heads, 1, group, width], value, &q.device());
            parts.push(Partial { max: full(MASKED, 1), sum: full(0.0, 1), value: full(0.0, width) });
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
    fn partial(&self, caches: &[&mut KvCache], layer: usize, q: &Tensor<4>) -> Partial {
        let [kv_heads, _, group, width] = q.dims();
        let Tokens { first, count: tokens, listed } = &self.tokens;
        let (tokens, q) = (*tokens, q.clone());
        let q = match listed {
            Some(list) => q.select(1, list.clone()),
            None => q.narrow(1, *first, tokens),
        };
        let [k, v] = caches[self.row].spans()[self.depth].read(layer, self.len);
        let mut scores = q.reshape([kv_heads, tokens * group, width]).matmul(k.transpose());
        if let Some(mask) = &self.mask {
            let by_query = scores.reshape([kv_heads, tokens, group, self.len]);
            scores = (by_query + mask.clone().unsqueeze()).reshape([kv_heads, tokens * group, self.len]);
        }
        let max = scores.clone().max_dim(2);
        let weights = (scores - max.clone()).exp();
        let by_token = |x: Tensor<3>| {
            let [_, _, last] = x.dims();
            x.reshape([kv_heads, tokens, group, last])
        };
        Partial { sum: by_token(weights.clone().sum_dim(2)), value: by_token(weights.matmul(v)), max: by_token(max) }
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

/// `[new, 1, len]`: 0 where the `new` last of `len` positions may look, that is no further than themselves, and
/// [`MASKED`] elsewhere.
fn causal_mask(new: usize, len: usize, device: &Device) -> Tensor<3> {
    let past = len - new;
    let row = |i: usize| (0..len).map(move |j| if j <= past + i { 0.0 } else { MASKED });
    let mask: Vec<f32> = (0..new).flat_map(row).collect();
    Tensor::from_data(TensorData::new(mask, [new, 1, len]), device)
}

pub(crate) fn indices(list: &[usize], device: &Device) -> Tensor<1, Int> {
    let list: Vec<i64> = list.iter().map(|&i| i as i64).collect();
    let count = list.len();
    Tensor::from_data(TensorData::new(list, [count]), device)
}
