//! The best pairs of a run in memory that does not grow with it.

use std::{cmp::Ordering, collections::BinaryHeap};

/// Keeps the `capacity` items of highest quality, ties by lower key: exactly what sorting everything by (falling
/// quality, rising key) and cutting off would keep, in whatever order the items come.
#[derive(Debug)]
pub(crate) struct Pool<K, T> {
    capacity: usize,
    /// The worst on top.
    heap: BinaryHeap<Ranked<K, T>>,
}

#[derive(Debug)]
struct Ranked<K, T> {
    quality: f64,
    key: K,
    item: T,
}

impl<K: Ord, T> Pool<K, T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, heap: BinaryHeap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Returns whether an item of this rank would be kept. Once `false` it stays so, as the pool only gets better.
    pub(crate) fn admits(&self, quality: f64, key: &K) -> bool {
        self.heap.len() < self.capacity
            || self.heap.peek().is_some_and(|worst| rank(quality, key, worst.quality, &worst.key).is_lt())
    }

    /// Takes an item; drops the worst when there are too many.
    pub(crate) fn push(&mut self, quality: f64, key: K, item: T) {
        if self.admits(quality, &key) {
            self.heap.push(Ranked { quality, key, item });
            if self.heap.len() > self.capacity {
                self.heap.pop();
            }
        }
    }

    /// Returns the items that were kept, best first.
    pub(crate) fn into_best(self) -> impl Iterator<Item = T> {
        self.heap.into_sorted_vec().into_iter().map(|ranked| ranked.item)
    }
}

/// Orders better before worse.
fn rank<K: Ord>(quality: f64, key: &K, other_quality: f64, other_key: &K) -> Ordering {
    other_quality.total_cmp(&quality).then_with(|| key.cmp(other_key))
}

impl<K: Ord, T> Ord for Ranked<K, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        rank(self.quality, &self.key, other.quality, &other.key)
    }
}

impl<K: Ord, T> PartialOrd for Ranked<K, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord, T> PartialEq for Ranked<K, T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K: Ord, T> Eq for Ranked<K, T> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keeps_what_sorting_would(
            qualities in prop::collection::vec(0u8..6, 0..60),
            capacity in 0usize..12,
            order in any::<u64>(),
        ) {
            let mut items: Vec<(f64, usize)> = qualities.iter().enumerate().map(|(k, &q)| (f64::from(q), k)).collect();
            let mut expected = items.clone();
            expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            expected.truncate(capacity);

            items.sort_by_key(|(_, k)| (*k as u64 ^ order).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut pool = Pool::new(capacity);
            for &(quality, key) in &items {
                let (admitted, before) = (pool.admits(quality, &key), pool.len());
                pool.push(quality, key, (quality, key));
                prop_assert!(pool.len() <= capacity && (admitted || pool.len() == before));
            }
            prop_assert!(expected.iter().all(|(q, k)| pool.admits(*q + 0.5, k) || capacity == 0));
            prop_assert_eq!(pool.into_best().collect::<Vec<_>>(), expected);
        }
    }
}
