//! The progress of a command: a bar on a terminal, and lines at least every half minute where there is none.

use std::{
    fmt,
    io::{self, IsTerminal},
    ops::ControlFlow,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use stir::validation::Phase;

use crate::output;

/// The target of the messages that tell of progress.
pub(crate) const TARGET: &str = "stir_cli::progress";
/// The longest time between two lines.
const EVERY: Duration = Duration::from_secs(30);
/// The bars of this process.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Writes to the standard error with no bar in the way.
pub(crate) fn beside_bars<T>(write: impl FnOnce() -> T) -> T {
    BARS.suspend(write)
}

/// The progress of a command. It is shown until this is dropped.
pub(crate) struct Progress(Output);

enum Output {
    Bar(ProgressBar),
    Lines { lines: Arc<Mutex<Lines>>, _ended: Sender<()> },
}

impl Progress {
    /// Begins to show how much of `total` is done; 0 where the total is not known yet.
    pub(crate) fn new(total: u64, what: &str) -> Self {
        if io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {pos}/{len} eta {eta} {msg}");
            let bar = BARS.add(ProgressBar::new(total).with_prefix(what.to_owned()));
            return Self(Output::Bar(match style {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }));
        }
        let start = Instant::now();
        let mut lines = Lines::new(what, total, move || start.elapsed());
        lines.line().tell();
        let lines = Arc::new(Mutex::new(lines));
        let (ended, has_ended) = channel();
        let watched = Arc::clone(&lines);
        thread::spawn(move || {
            // The other end is dropped with the progress.
            while has_ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                if let Some(line) = locked(&watched).due() {
                    line.tell();
                }
            }
        });
        Self(Output::Lines { lines, _ended: ended })
    }

    /// Says how much there is to do.
    pub(crate) fn set_total(&self, total: u64) {
        match &self.0 {
            Output::Bar(bar) => bar.set_length(total),
            Output::Lines { lines, .. } => locked(lines).total = total,
        }
    }

    /// Says how much is done.
    pub(crate) fn set_done(&self, done: u64) {
        match &self.0 {
            Output::Bar(bar) => bar.set_position(done),
            Output::Lines { lines, .. } => locked(lines).set_done(done),
        }
    }

    /// Says that one more is done.
    pub(crate) fn advance(&self) {
        match &self.0 {
            Output::Bar(bar) => bar.inc(1),
            Output::Lines { lines, .. } => {
                let mut lines = locked(lines);
                let done = lines.done + 1;
                lines.set_done(done);
            }
        }
    }

    /// Shows how far a run of continuations is.
    pub(crate) fn show_replay(&self, progress: stir::validation::Progress) -> ControlFlow<()> {
        let what = match progress.phase {
            Phase::States => "states, ",
            Phase::Continuations => "",
        };
        self.set_total(progress.asked as u64);
        self.set_done(progress.done as u64);
        self.set_note(format!("{what}{} tokens", progress.tokens));
        ControlFlow::Continue(())
    }

    /// Prints something in addition to the numbers.
    pub(crate) fn set_note(&self, note: String) {
        match &self.0 {
            Output::Bar(bar) => bar.set_message(note),
            Output::Lines { lines, .. } => locked(lines).note = note,
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        match &self.0 {
            Output::Bar(bar) => {
                bar.finish_and_clear();
                BARS.remove(bar);
            }
            Output::Lines { lines, .. } => locked(lines).line().tell(),
        }
    }
}

/// Locks a number, which is still valid when another thread has failed.
fn locked(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Decides when a line is due, and what it says.
struct Lines {
    what: String,
    done: u64,
    total: u64,
    note: String,
    /// The amount done before the first report, by an earlier run: it does not count towards the rate of this one.
    before: Option<u64>,
    last: Duration,
    /// The time since the beginning.
    clock: Box<dyn Fn() -> Duration + Send>,
}

impl Lines {
    fn new(what: &str, total: u64, clock: impl Fn() -> Duration + Send + 'static) -> Self {
        let (what, note, clock) = (what.to_owned(), String::new(), Box::new(clock));
        Self { what, done: 0, total, note, before: None, last: Duration::ZERO, clock }
    }

    fn set_done(&mut self, done: u64) {
        self.before.get_or_insert(done.saturating_sub(1));
        self.done = done;
    }

    /// Returns the line, where it is time for one.
    fn due(&mut self) -> Option<Line> {
        ((self.clock)() >= self.last + EVERY).then(|| self.line())
    }

    /// Returns the line, now.
    fn line(&mut self) -> Line {
        let now = (self.clock)();
        self.last = now;
        let (seconds, before) = (now.as_secs_f64(), self.before.unwrap_or(0));
        let own = self.done.saturating_sub(before);
        // One report that is not of the first thing may be of any number of things done just now.
        let known = seconds > 0.0 && own > usize::from(before > 0) as u64;
        let rate = known.then(|| own as f64 / seconds);
        let left = self.total.saturating_sub(self.done);
        let eta = rate.filter(|_| left > 0).map(|rate| (left as f64 / rate).ceil() as u64);
        let (what, note) = (self.what.clone(), self.note.clone());
        Line { what, done: self.done, total: self.total, seconds, rate, eta, note }
    }
}

/// The progress of something at one moment.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    what: String,
    done: u64,
    /// 0 where it is not known.
    total: u64,
    /// The time since the beginning.
    seconds: f64,
    /// The amount done per second.
    rate: Option<f64>,
    /// The seconds that are left.
    eta: Option<u64>,
    note: String,
}

impl Line {
    fn tell(&self) {
        let Self { what, done, total, seconds, rate, eta, .. } = self;
        // Programs find the numbers as fields beside the text.
        match output::is_json() {
            true => tracing::info!(target: TARGET, what, done, total, seconds, rate, eta_seconds = eta, "{self}"),
            false => tracing::info!(target: TARGET, "{self}"),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.done)?;
        if self.total > 0 {
            write!(f, "/{}", self.total)?;
        }
        if let Some(rate) = self.rate {
            write!(f, ", {rate:.2}/s")?;
        }
        match self.eta {
            Some(seconds) => write!(f, ", eta {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?,
            None if self.done > 0 && self.done >= self.total => write!(f, ", after {:.0} s", self.seconds)?,
            None => {}
        }
        if self.note.is_empty() { Ok(()) } else { write!(f, ", {}", self.note) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Lines of a job of 100 things, and the seconds that its clock shows.
    fn lines() -> (Lines, Arc<AtomicU64>) {
        let seconds = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&seconds);
        (Lines::new("rollout", 100, move || Duration::from_secs(shown.load(Ordering::SeqCst))), seconds)
    }

    #[test]
    fn a_line_is_due_every_half_minute_however_little_is_done() {
        let (mut lines, clock) = lines();
        assert_eq!(lines.line().to_string(), "rollout 0/100");
        let mut told = Vec::new();
        for second in 1..=95 {
            clock.store(second, Ordering::SeqCst);
            if second % 10 == 0 {
                lines.set_done(second / 10);
            }
            told.extend(lines.due().map(|line| (second, line.to_string())));
        }
        assert_eq!(
            told,
            [
                (30, "rollout 3/100, 0.10/s, eta 00:16:10".to_owned()),
                (60, "rollout 6/100, 0.10/s, eta 00:15:40".to_owned()),
                (90, "rollout 9/100, 0.10/s, eta 00:15:10".to_owned()),
            ]
        );
        lines.set_done(100);
        lines.note = "7 tokens".to_owned();
        assert_eq!(lines.line().to_string(), "rollout 100/100, 1.05/s, after 95 s, 7 tokens");
    }

    #[test]
    fn what_an_earlier_run_did_says_nothing_of_the_rate() {
        let (mut lines, clock) = lines();
        lines.set_done(51);
        clock.store(10, Ordering::SeqCst);
        lines.set_done(60);
        let line = lines.line();
        assert_eq!((line.rate, line.eta), (Some(1.0), Some(40)));
    }

    #[test]
    fn without_a_total_there_is_no_end_to_expect() {
        let (mut lines, clock) = lines();
        lines.total = 0;
        clock.store(4, Ordering::SeqCst);
        lines.set_done(1);
        lines.set_done(8);
        let line = lines.line();
        assert_eq!((line.eta, line.to_string()), (None, "rollout 8, 2.00/s, after 4 s".to_owned()));
    }
}
