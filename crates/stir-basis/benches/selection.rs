//! Selection over the number of candidates and the budget, against the published algorithm in numpy, and retrieval
//! against the rate at which memory can be read. Prints Markdown.
//!
//! ```text
//! cargo bench -p stir-basis
//! STIR_PYTHON=python3 cargo bench -p stir-basis     # with numpy: the published algorithm too, some minutes
//! cargo bench -p stir-basis -- retrieval            # or selection, or published: one part
//! ```
//! Times are medians; compare within one run.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    env, fs,
    hint::black_box,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::Instant,
};

use stir_basis::{Action, DppConfig, Entry, Library, greedy_dpp, normalize};
use stir_core::{Fingerprint, SampleRng};

const WIDTH: usize = 1536;
const LAMBDA: f64 = 0.5;
const EPSILON: f64 = 1e-4;

fn dpp(budget: usize) -> DppConfig {
    DppConfig { budget, lambda: LAMBDA, epsilon: EPSILON, ..DppConfig::default() }
}

/// The bytes allocated now, and their maximum so far.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all work is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(NOW.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The arrangement of the candidates.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Around 300 directions, as states at like moments of like problems do, and of differing quality.
    Clustered,
    /// Apart from each other and of one quality: they differ only in what was chosen.
    Random,
    /// All the same: the gain of every row falls with every pick.
    Equal,
}

impl Kind {
    const ALL: [(Self, &str); 3] = [(Self::Clustered, "clustered"), (Self::Random, "random"), (Self::Equal, "equal")];

    /// Keys `[n, WIDTH]` and qualities `[n]`.
    fn candidates(self, n: usize) -> (Vec<f32>, Vec<f64>) {
        let mut rng = SampleRng::new(1, 0);
        let mut direction = |scale: f64| (0..WIDTH).map(|_| (scale * rng.normal()) as f32).collect::<Vec<_>>();
        let centres: Vec<_> = (0..300).map(|_| direction(1.0)).collect();
        let keys = (0..n).flat_map(|i| match self {
            Self::Clustered => direction(0.3).iter().zip(&centres[i * 7919 % 300]).map(|(x, c)| x + c).collect(),
            Self::Random => direction(1.0),
            Self::Equal => centres[0].clone(),
        });
        let keys = keys.collect();
        let mut rng = SampleRng::new(1, 1);
        // Rewards differ by the length of answers, so qualities do a little.
        let mut quality: Vec<f64> =
            (0..n).map(|_| if self == Self::Clustered { 0.3 + 0.7 * rng.uniform() } else { 1.0 }).collect();
        // One is best: among equals the rounding of the diagonal, which numpy sums differently, would choose the first.
        quality[0] = 1.1;
        (keys, quality)
    }
}

/// Median seconds of some runs.
fn time<T>(runs: usize, mut run: impl FnMut() -> T) -> f64 {
    let mut seconds: Vec<f64> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            black_box(run());
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[runs / 2]
}

/// The exponent `e` of `y = c x^e`, by least squares.
fn exponent(points: &[(usize, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|&(x, y)| ((x as f64).ln(), y.ln())).collect();
    let mean = |f: fn(&(f64, f64)) -> f64| logs.iter().map(f).sum::<f64>() / logs.len() as f64;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    logs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / logs.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

fn selection() {
    const N: [usize; 4] = [2500, 5000, 10_000, 20_000];
    const B: [usize; 5] = [64, 128, 256, 512, 1024];
    println!("| keys | n | budget | seconds | allocated besides the keys, MB | 8 n budget, MB |");
    println!("|---|---|---|---|---|---|");
    for (kind, name) in Kind::ALL {
        let (keys, quality) = kind.candidates(20_000);
        let row = |n: usize, budget: usize| {
            let (keys, quality) = (&keys[..n * WIDTH], &quality[..n]);
            let before = NOW.load(Relaxed);
            PEAK.store(before, Relaxed);
            let seconds = time(3, || greedy_dpp(keys, quality, &dpp(budget)).unwrap());
            let (peak, bound) = (PEAK.load(Relaxed) - before, 8 * n * budget);
            println!("| {name} | {n} | {budget} | {seconds:.3} | {} | {} |", peak / 1_000_000, bound / 1_000_000);
            seconds
        };
        let over_n = N.map(|n| (n, row(n, 256)));
        let over_b = B.map(|budget| (budget, row(10_000, budget)));
        println!("| {name} | n^{:.2} | budget^{:.2} | | | |", exponent(&over_n), exponent(&over_b));
    }
}

/// The published algorithm next to this one, where there is a Python.
fn published(python: &str) {
    const N: usize = 2000;
    const BUDGET: usize = 256;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/published_dpp.py");
    println!("\n| keys, n = {N}, budget = {BUDGET} | seconds | numpy, each | numpy, together | same picks |");
    println!("|---|---|---|---|---|");
    for (kind, name) in &Kind::ALL[..2] {
        let (keys, quality) = kind.candidates(N);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("keys.f32"), keys.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())
            .unwrap();
        fs::write(folder.path().join("quality.f64"), quality.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())
            .unwrap();
        let run = || greedy_dpp(&keys, &quality, &dpp(BUDGET)).unwrap();
        let (seconds, picks) = (time(9, run), run());
        let numpy = ["each", "together"].map(|form| {
            let arguments = [N.to_string(), BUDGET.to_string(), LAMBDA.to_string(), EPSILON.to_string(), form.into()];
            let output = Command::new(python).arg(script).arg(folder.path()).args(arguments).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let (seconds, theirs) = text.split_once('\n').unwrap();
            let theirs: Vec<usize> = theirs.split_whitespace().map(|pick| pick.parse().unwrap()).collect();
            (seconds.parse::<f64>().unwrap(), theirs == picks)
        });
        let times = numpy.map(|(theirs, _)| format!("{theirs:.2} ({:.0} x)", theirs / seconds));
        println!("| {name} | {seconds:.3} | {} | {} |", times.join(" | "), numpy.iter().all(|(_, same)| *same));
    }
}

/// Reads every number once, on two threads.
fn read(numbers: &[f32]) -> f32 {
    let sum = |numbers: &[f32]| {
        let mut sums = [0.0; 64];
        for chunk in numbers.chunks_exact(64) {
            sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += x);
        }
        sums.iter().sum::<f32>()
    };
    let (front, back) = numbers.split_at(numbers.len() / 2);
    thread::scope(|scope| {
        let other = scope.spawn(|| sum(back));
        sum(front) + other.join().unwrap()
    })
}

fn retrieval() {
    println!("\n| entries of the group | queries | ms a pass | GB/s | passes of a plain read | ms a query alone |");
    println!("|---|---|---|---|---|---|");
    let mut rng = SampleRng::new(2, 0);
    let mut random = || -> Vec<f32> { (0..WIDTH).map(|_| (rng.uniform() - 0.5) as f32).collect() };
    for (n, runs) in [(8, 10_001), (256, 1001), (100_000, 15)] {
        // Every other entry has a vector, as a library's do, which lies between the keys.
        let action = |i: usize| if i.is_multiple_of(2) { Action::Steer(vec![1.0; WIDTH]) } else { Action::Stay };
        let entry = |i| Entry {
            problem: String::new(),
            m: 1,
            layer: 0,
            quality: 1.0,
            key: normalize(&random()).unwrap().into(),
            action: action(i),
            ..Entry::default()
        };
        let fingerprint = Fingerprint {
            architecture: "bench".into(),
            n_layers: 1,
            hidden_size: WIDTH,
            vocab_size: 1,
            tokenizer: String::new(),
            weights: String::new(),
        };
        let entries: Vec<Entry> = (0..n).map(entry).collect();
        let library = Library::from_entries(fingerprint, entries).unwrap();
        let states: Vec<Vec<f32>> = (0..16).map(|_| random()).collect();
        let queries: Vec<[(usize, &[f32]); 1]> = states.iter().map(|state| [(0, &state[..])]).collect();
        let queries: Vec<&[(usize, &[f32])]> = queries.iter().map(|query| &query[..]).collect();
        let plain = vec![1.0; n * WIDTH];
        for count in [1, 4, 16] {
            // Measured in turn, so that what else the machine does falls on all.
            let (mut pass, mut stream, mut alone) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..runs {
                pass.push(time(1, || library.retrieve_all(1, &queries[..count], 8)));
                stream.push(time(1, || read(&plain)));
                alone.push(time(1, || library.retrieve(1, queries[0], 8)));
            }
            let median = |mut seconds: Vec<f64>| {
                seconds.sort_by(f64::total_cmp);
                seconds[runs / 2]
            };
            let (pass, stream, alone) = (median(pass), median(stream), median(alone));
            let rate = (n * WIDTH * size_of::<f32>()) as f64 / pass / 1e9;
            let ratio = if n < 1000 { "-".into() } else { format!("{:.2}", pass / stream) };
            println!("| {n} | {count} | {:.4} | {rate:.1} | {ratio} | {:.4} |", pass * 1e3, alone * 1e3);
        }
    }
}

fn main() {
    let parts: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|name| name == part);
    if wanted("selection") {
        selection();
    }
    if let Ok(python) = env::var("STIR_PYTHON")
        && wanted("published")
    {
        published(&python);
    }
    if wanted("retrieval") {
        retrieval();
    }
}
