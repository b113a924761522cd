//! Work divided among threads.
//!
//! A pass over one token has some 170 jobs of a few hundred microseconds with next to nothing between them. A thread
//! that falls asleep after each of them loses a tenth of the time to waking up. So the workers of the [`Pool`] spin for
//! a moment before they sleep, and a job does not wait for a worker that is late.

use std::{
    cell::Cell,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, OnceLock, TryLockError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// A job of fewer multiplications is done before another thread has noticed it.
const SMALL: usize = 1 << 16;

/// The time that an idle worker spins before it sleeps.
const SPIN: Duration = Duration::from_micros(300);

/// Calls `work` with every number below `parts`, from several threads if `cost` multiplications are worth it. The
/// calling thread takes part from the start. Each thread has a range of parts that it does in order, so that what it
/// fetches ahead of one is what it needs for the next; a thread that has finished its range continues with those of
/// others.
///
/// The threads are as many as those of the global rayon pool, in a [`Pool`] of this module. Only one caller can use it
/// at a time; others fall back to rayon.
pub(crate) fn parallel(parts: usize, cost: usize, work: impl Fn(usize) + Sync) {
    let threads = rayon::current_num_threads().min(parts);
    if threads <= 1 || cost < SMALL {
        return (0..parts).for_each(work);
    }
    let stretch = parts.div_ceil(threads);
    let next: Vec<AtomicUsize> = (0..threads).map(|thread| AtomicUsize::new(thread * stretch)).collect();
    let joined = AtomicUsize::new(0);
    let take = || {
        let own = joined.fetch_add(1, Ordering::Relaxed);
        for thread in (own..own + threads).map(|thread| thread % threads) {
            let end = parts.min((thread + 1) * stretch);
            while let part = next[thread].fetch_add(1, Ordering::Relaxed)
                && part < end
            {
                work(part);
            }
        }
    };
    static POOL: OnceLock<Mutex<Pool>> = OnceLock::new();
    let pool = POOL.get_or_init(|| Mutex::new(Pool::new(rayon::current_num_threads() - 1)));
    match pool.try_lock() {
        Ok(pool) => pool.run(&take),
        // A job that panicked left nothing behind.
        Err(TryLockError::Poisoned(pool)) => pool.into_inner().run(&take),
        Err(TryLockError::WouldBlock) => rayon::in_place_scope(|scope| {
            (1..threads).for_each(|_| scope.spawn(|_| take()));
            take();
        }),
    }
}

/// Threads that wait for jobs to take part in.
struct Pool {
    shared: Arc<Shared>,
    workers: Vec<Thread>,
}

/// The state that the pool and its workers share.
struct Shared {
    /// The number of jobs so far, times [`JOB`]; whether the last one may be joined ([`OPEN`]); and the number of
    /// workers that have joined it and are not done.
    state: AtomicU64,
    /// The work of the job, valid for the workers that have joined it; work that does nothing while no job is open.
    work: Cell<&'static (dyn Fn() + Sync)>,
    /// For each worker, whether it has to be woken.
    asleep: Vec<AtomicBool>,
    /// The panic of a worker, if one panicked.
    panic: Mutex<Option<Box<dyn std::any::Any + Send>>>,
}

const OPEN: u64 = 1 << 16;
const JOB: u64 = 1 << 17;
const WORKERS: u64 = OPEN - 1;

// SAFETY: `work` is written by the one thread that has the pool, while no job is open and no worker runs one, and read
// by workers that have joined a job opened after that.
unsafe impl Sync for Shared {}

impl Pool {
    /// Returns a pool of `workers` threads, or of as many as the system grants.
    fn new(workers: usize) -> Self {
        let workers = workers.min(WORKERS as usize);
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            work: Cell::new(&|| ()),
            asleep: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            panic: Mutex::new(None),
        });
        // After one thread is refused no other is tried: the places in `asleep` are those of the workers.
        let workers = (0..workers).map_while(|worker| {
            let shared = Arc::clone(&shared);
            let name = format!("stir-kernels-{worker}");
            thread::Builder::new().name(name).spawn(move || shared.serve(worker)).ok()
        });
        Self { workers: workers.map(|handle| handle.thread().clone()).collect(), shared }
    }

    /// Calls `work` on this thread, and on every worker that joins before it is done here.
    fn run(&self, work: &(dyn Fn() + Sync)) {
        let shared = &*self.shared;
        // A panic is left over if the caller of an earlier job panicked too. It does not belong to this job.
        drop(shared.panic.lock().ok().and_then(|mut panic| panic.take()));
        // SAFETY: only the lifetime changes. `work` is used by workers that joined, and `Job` waits for them.
        shared.work.set(unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static (dyn Fn() + Sync)>(work) });
        let job = Job::open(shared);
        for (worker, _) in self.workers.iter().zip(&shared.asleep).filter(|(_, asleep)| asleep.load(Ordering::SeqCst)) {
            worker.unpark();
        }
        work();
        drop(job);
        if let Some(panic) = shared.panic.lock().ok().and_then(|mut panic| panic.take()) {
            resume_unwind(panic);
        }
    }
}

/// A job that workers may join. Once it is dropped none may, and none is still running it.
struct Job<'s>(&'s Shared);

impl<'s> Job<'s> {
    fn open(shared: &'s Shared) -> Self {
        let jobs = shared.state.load(Ordering::Relaxed) / JOB;
        shared.state.store(((jobs + 1) * JOB) | OPEN, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut turns = 0u32;
        while self.0.state.load(Ordering::Acquire) & WORKERS != 0 {
            turns = turns.wrapping_add(1);
            // A worker may have lost its core to another process.
            if turns.is_multiple_of(1 << 12) { thread::yield_now() } else { std::hint::spin_loop() }
        }
        // No reference stays behind that may outlive its work.
        self.0.work.set(&|| ());
    }
}

impl Shared {
    /// The loop of a worker.
    fn serve(&self, worker: usize) {
        let mut seen = 0;
        loop {
            let state = self.wait(worker, seen);
            if self.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            seen = state / JOB;
            let work = self.work.get();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work))
                && let Ok(mut place) = self.panic.lock()
            {
                *place = Some(panic);
            }
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for a job that this worker has not `seen`. Returns the state.
    fn wait(&self, worker: usize, seen: u64) -> u64 {
        let there = || Some(self.state.load(Ordering::SeqCst)).filter(|s| s & OPEN != 0 && s / JOB != seen);
        loop {
            let since = Instant::now();
            while since.elapsed() < SPIN {
                for _ in 0..64 {
                    if let Some(state) = there() {
                        return state;
                    }
                    std::hint::spin_loop();
                }
            }
            // A job opened after this store wakes the worker; one opened before is seen here.
            self.asleep[worker].store(true, Ordering::SeqCst);
            if there().is_none() {
                thread::park();
            }
            self.asleep[worker].store(false, Ordering::SeqCst);
        }
    }
}

/// A mutable slice of which threads write different parts.
pub(crate) struct SharedSlice<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it represents a mutable slice, which threads may hand to each other and, by the promise that callers of
// `slice` make, use at the same time.
unsafe impl<T: Send> Sync for SharedSlice<'_, T> {}

impl<'a, T> SharedSlice<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// Returns the elements from `start` on.
    ///
    /// # Safety
    /// No other slice that holds one of them is in use at the same time.
    #[allow(clippy::mut_from_ref, reason = "that is what this type is for")]
    pub(crate) unsafe fn slice(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.len && len <= self.len - start);
        // SAFETY: in bounds, and not shared, as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: usize = usize::MAX;

    #[test]
    fn every_part_is_done_once_for_every_caller() {
        let ask = |parts: usize| {
            let done: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
            parallel(parts, COST, |part| _ = done[part].fetch_add(1, Ordering::Relaxed));
            assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        };
        // Several callers at a time: one uses the pool, the others rayon.
        thread::scope(|scope| {
            (0..4).for_each(|_| _ = scope.spawn(|| (0..2000).for_each(|i| ask(i % 40))));
        });
        // The workers have gone to sleep and are woken.
        for _ in 0..20 {
            thread::sleep(3 * SPIN);
            ask(64);
        }
    }

    #[test]
    fn workers_do_take_part() {
        let pool = Pool::new(2);
        let (met, start) = (AtomicUsize::new(0), Instant::now());
        pool.run(&|| {
            met.fetch_add(1, Ordering::SeqCst);
            while met.load(Ordering::SeqCst) < 3 && start.elapsed() < Duration::from_secs(60) {
                thread::yield_now();
            }
        });
        assert_eq!(met.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_ends_nothing_else() {
        let pool = Pool::new(1);
        let (caller, met) = (thread::current().id(), AtomicUsize::new(0));
        let ends_badly = |where_: fn(bool) -> bool| {
            met.store(0, Ordering::SeqCst);
            catch_unwind(AssertUnwindSafe(|| {
                pool.run(&|| {
                    met.fetch_add(1, Ordering::SeqCst);
                    while met.load(Ordering::SeqCst) < 2 {
                        thread::yield_now();
                    }
                    assert!(!where_(thread::current().id() == caller), "on purpose");
                });
            }))
            .is_err()
        };
        assert!(ends_badly(|by_caller| by_caller));
        assert!(ends_badly(|by_caller| !by_caller));
        assert!(ends_badly(|_| true));
        assert!(!ends_badly(|_| false));
    }
}
