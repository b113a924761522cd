use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// What the server counts, shown as Prometheus text at `/metrics`.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// By route and status.
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    pub running: Number,
    pub waiting: Number,
    pub prompt_tokens: Number,
    /// Those of them that another request's encoding held.
    pub cached_tokens: Number,
    pub prefix_positions: Number,
    pub completion_tokens: Number,
    pub probe_tokens: Number,
    /// Answers whose client went away.
    pub cancelled: Number,
    pub lost: Number,
    pub passes: Histogram,
    pub first_token: Histogram,
    pub answer: Histogram,
}

/// A counter or a gauge.
#[derive(Debug, Default)]
pub(crate) struct Number(AtomicU64);

impl Number {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The upper ends of the classes of times, in seconds; one class more has no end.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 25.0, 100.0, 250.0];

/// Times in classes.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    counts: [AtomicU64; BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    pub(crate) fn observe(&self, time: Duration) {
        let class = BUCKETS.partition_point(|&end| end < time.as_secs_f64());
        self.counts[class].fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    fn write(&self, out: &mut String, name: &str) {
        let mut sum = 0;
        let ends = BUCKETS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (count, end) in self.counts.iter().zip(ends) {
            sum += count.load(Relaxed);
            let _ = writeln!(out, "{name}_bucket{{le=\"{end}\"}} {sum}");
        }
        let seconds = Duration::from_nanos(self.nanoseconds.load(Relaxed)).as_secs_f64();
        let _ = writeln!(out, "{name}_sum {seconds}\n{name}_count {sum}");
    }
}

impl Metrics {
    pub(crate) fn count_request(&self, route: &str, status: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((route.to_owned(), status)).or_default() += 1;
    }

    /// Returns everything as Prometheus reads it.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        head(&mut out, "stir_requests_total", "counter", "Requests answered, by route and status.");
        for ((route, status), count) in &*self.requests.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = writeln!(out, "stir_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}");
        }
        for (name, kind, help, number) in [
            ("stir_running_answers", "gauge", "Answers that share the passes.", &self.running),
            ("stir_waiting_answers", "gauge", "Answers that wait for room in a pass.", &self.waiting),
            ("stir_prefix_positions", "gauge", "Positions of prompts that are kept.", &self.prefix_positions),
            ("stir_prompt_tokens_total", "counter", "Tokens of prompts.", &self.prompt_tokens),
            ("stir_cached_tokens_total", "counter", "Tokens of prompts that were kept.", &self.cached_tokens),
            ("stir_completion_tokens_total", "counter", "Tokens of answers.", &self.completion_tokens),
            ("stir_probe_tokens_total", "counter", "Tokens generated in probes.", &self.probe_tokens),
            ("stir_cancelled_answers_total", "counter", "Answers whose client went away.", &self.cancelled),
            ("stir_lost_answers_total", "counter", "Answers lost to a failure.", &self.lost),
        ] {
            head(&mut out, name, kind, help);
            let _ = writeln!(out, "{name} {}", number.get());
        }
        for (name, help, times) in [
            ("stir_pass_seconds", "Time of a forward pass and of what follows from it.", &self.passes),
            ("stir_first_token_seconds", "Time from a request to the first token of an answer.", &self.first_token),
            ("stir_answer_seconds", "Time from a request to the end of an answer.", &self.answer),
        ] {
            head(&mut out, name, "histogram", help);
            times.write(&mut out, name);
        }
        out
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}
