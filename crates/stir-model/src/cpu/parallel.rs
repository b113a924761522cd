//! Work shared out among threads.
//!
//! A pass over one token has some 170 pieces of work of a few hundred microseconds with next to nothing between them. A
//! thread that falls asleep after each loses a tenth of the time to waking up. So the threads of the [`Crew`] look out
//! for the next piece for a moment before they sleep, and whoever is late is not waited for.

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

/// Multiplications that one thread does before another has taken notice.
const SMALL: usize = 1 << 16;

/// How long a thread without work looks out for some before it sleeps.
const LOOKOUT: Duration = Duration::from_micros(300);

/// Calls `work` with every number below `parts`, from several threads where `cost` multiplications are worth it. The
/// calling thread takes part from the start. Each thread has a stretch of parts that it does in order, so that what it
/// fetches ahead of one is what it needs for the next; whoever is done with theirs goes on with those of others.
///
/// As many threads as the global rayon pool has take part, in a crew of their own. One caller at a time has it: who comes
/// while it is at work uses the pool.
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
    static CREW: OnceLock<Mutex<Crew>> = OnceLock::new();
    let crew = CREW.get_or_init(|| Mutex::new(Crew::new(rayon::current_num_threads() - 1)));
    match crew.try_lock() {
        Ok(crew) => crew.run(&take),
        // A piece of work that panicked left nothing behind.
        Err(TryLockError::Poisoned(crew)) => crew.into_inner().run(&take),
        Err(TryLockError::WouldBlock) => rayon::in_place_scope(|scope| {
            (1..threads).for_each(|_| scope.spawn(|_| take()));
            take();
        }),
    }
}

/// Threads that wait for work to take part in.
struct Crew {
    board: Arc<Board>,
    members: Vec<Thread>,
}

/// Where work is put up.
struct Board {
    /// How many pieces of work there have been, times [`PIECE`]; whether the last one may be joined ([`OPEN`]); and how
    /// many members are at it.
    state: AtomicU64,
    /// The piece of work, good for those who have joined it; one that does nothing while nothing is open.
    work: Cell<&'static (dyn Fn() + Sync)>,
    /// Of each member: whether it has to be woken.
    asleep: Vec<AtomicBool>,
    /// What a member's share of the work ended in, if not well.
    panic: Mutex<Option<Box<dyn std::any::Any + Send>>>,
}

const OPEN: u64 = 1 << 16;
const PIECE: u64 = 1 << 17;
const MEMBERS: u64 = OPEN - 1;

// SAFETY: `work` is written by the one thread that has the crew, while nothing is open and nobody is at work, and read by
// those who have joined what was opened after that.
unsafe impl Sync for Board {}

impl Crew {
    /// Of as many members as can be had.
    fn new(members: usize) -> Self {
        let members = members.min(MEMBERS as usize);
        let board = Arc::new(Board {
            state: AtomicU64::new(0),
            work: Cell::new(&|| ()),
            asleep: (0..members).map(|_| AtomicBool::new(false)).collect(),
            panic: Mutex::new(None),
        });
        // Where one cannot be had, those after it are not tried: the places in `asleep` are those of the members.
        let members = (0..members).map_while(|member| {
            let board = Arc::clone(&board);
            let name = format!("stir-kernels-{member}");
            thread::Builder::new().name(name).spawn(move || board.serve(member)).ok()
        });
        Self { members: members.map(|handle| handle.thread().clone()).collect(), board }
    }

    /// Calls `work` on this thread, and on every member that comes before it is done here.
    fn run(&self, work: &(dyn Fn() + Sync)) {
        let board = &*self.board;
        // A panic is left over where the caller of an earlier piece panicked too. It is not of this piece.
        drop(board.panic.lock().ok().and_then(|mut panic| panic.take()));
        // SAFETY: only the lifetime changes. `work` is used by members that joined, and `Opened` waits for them.
        board.work.set(unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static (dyn Fn() + Sync)>(work) });
        let opened = Opened::new(board);
        for (member, _) in self.members.iter().zip(&board.asleep).filter(|(_, asleep)| asleep.load(Ordering::SeqCst)) {
            member.unpark();
        }
        work();
        drop(opened);
        if let Some(panic) = board.panic.lock().ok().and_then(|mut panic| panic.take()) {
            resume_unwind(panic);
        }
    }
}

/// A piece of work that may be joined. When this goes, it may not, and nobody is at it any more.
struct Opened<'b>(&'b Board);

impl<'b> Opened<'b> {
    fn new(board: &'b Board) -> Self {
        let pieces = board.state.load(Ordering::Relaxed) / PIECE;
        board.state.store(((pieces + 1) * PIECE) | OPEN, Ordering::SeqCst);
        Self(board)
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut turns = 0u32;
        while self.0.state.load(Ordering::Acquire) & MEMBERS != 0 {
            turns = turns.wrapping_add(1);
            // Whoever is at work may have lost its core to something else.
            if turns.is_multiple_of(1 << 12) { thread::yield_now() } else { std::hint::spin_loop() }
        }
        // Nothing is left on the board that may be gone.
        self.0.work.set(&|| ());
    }
}

impl Board {
    /// The life of a member.
    fn serve(&self, member: usize) {
        let mut seen = 0;
        loop {
            let state = self.wait(member, seen);
            if self.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            seen = state / PIECE;
            let work = self.work.get();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work))
                && let Ok(mut place) = self.panic.lock()
            {
                *place = Some(panic);
            }
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// The state, as soon as there is a piece of work that has not been `seen`.
    fn wait(&self, member: usize, seen: u64) -> u64 {
        let there = || Some(self.state.load(Ordering::SeqCst)).filter(|s| s & OPEN != 0 && s / PIECE != seen);
        loop {
            let since = Instant::now();
            while since.elapsed() < LOOKOUT {
                for _ in 0..64 {
                    if let Some(state) = there() {
                        return state;
                    }
                    std::hint::spin_loop();
                }
            }
            // Whoever puts work up after this wakes the member; what was put up before is seen here.
            self.asleep[member].store(true, Ordering::SeqCst);
            if there().is_none() {
                thread::park();
            }
            self.asleep[member].store(false, Ordering::SeqCst);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const COST: usize = usize::MAX;

    #[test]
    fn every_part_is_done_once_by_whoever_asks() {
        let ask = |parts: usize| {
            let done: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
            parallel(parts, COST, |part| _ = done[part].fetch_add(1, Ordering::Relaxed));
            assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        };
        // Several at a time: one has the crew, the others do without.
        thread::scope(|scope| {
            (0..4).for_each(|_| _ = scope.spawn(|| (0..2000).for_each(|i| ask(i % 40))));
        });
        // Members have gone to sleep and are woken.
        for _ in 0..20 {
            thread::sleep(3 * LOOKOUT);
            ask(64);
        }
    }

    #[test]
    fn members_do_take_part() {
        let crew = Crew::new(2);
        let (met, start) = (AtomicUsize::new(0), Instant::now());
        crew.run(&|| {
            met.fetch_add(1, Ordering::SeqCst);
            while met.load(Ordering::SeqCst) < 3 && start.elapsed() < Duration::from_secs(60) {
                thread::yield_now();
            }
        });
        assert_eq!(met.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_ends_nothing_else() {
        let crew = Crew::new(1);
        let (caller, met) = (thread::current().id(), AtomicUsize::new(0));
        let ends_badly = |where_: fn(bool) -> bool| {
            met.store(0, Ordering::SeqCst);
            catch_unwind(AssertUnwindSafe(|| {
                crew.run(&|| {
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
