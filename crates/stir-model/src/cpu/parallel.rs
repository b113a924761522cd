//! Work shared out among the threads of the global rayon pool.

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Multiplications that one thread does before another has woken up.
const SMALL: usize = 1 << 16;

/// Calls `work` with every number below `parts`, from several threads where `cost` multiplications are worth it. The
/// calling thread takes part from the start; parts go to whoever is free.
pub(crate) fn parallel(parts: usize, cost: usize, work: impl Fn(usize) + Sync) {
    let threads = rayon::current_num_threads().min(parts);
    if threads <= 1 || cost < SMALL {
        return (0..parts).for_each(work);
    }
    let next = AtomicUsize::new(0);
    let take = || {
        while let part = next.fetch_add(1, Ordering::Relaxed)
            && part < parts
        {
            work(part);
        }
    };
    rayon::in_place_scope(|scope| {
        (1..threads).for_each(|_| scope.spawn(|_| take()));
        take();
    });
}

/// A slice of which threads write different parts.
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for a mutable slice, which threads may hand to each other and, by the promise that callers of
// `slice` make, use at the same time.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The elements from `start` on.
    ///
    /// # Safety
    /// Nobody else has a slice with one of them at the same time.
    #[allow(clippy::mut_from_ref, reason = "that is what this type is for")]
    pub(crate) unsafe fn slice(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.len && len <= self.len - start);
        // SAFETY: in bounds, and not shared, as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}
