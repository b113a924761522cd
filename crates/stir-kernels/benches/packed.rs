//! Products with weights, dense and quantised: the rate at which weights are read by one row, and products per second of many.
//!
//! `cargo bench -p stir-kernels --bench packed [-- FORMAT ..]`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::{hint::black_box, time::Instant};

use half::bf16;
use stir_kernels::{
    Activations, Element, Format, LINE, Packed, before_line, in_large_pages, linear, linear_bf16, linear_packed,
};

/// The width of Qwen2.5-1.5B, and enough rows that nothing stays in a cache.
const K: usize = 1536;
const N: usize = 160_000;

fn median(mut work: impl FnMut()) -> f64 {
    let mut seconds: Vec<f64> = (0..7)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[3]
}

/// Weights as those of a model lie in memory: in large pages, from the beginning of a cache line on.
struct Lines<T> {
    memory: Vec<T>,
    start: usize,
}

impl<T: Element> Lines<T> {
    fn new(value: T) -> Self {
        let mut memory = in_large_pages(Vec::with_capacity(N * K + LINE));
        memory.resize(N * K + LINE, value);
        let start = before_line(&memory);
        Self { memory, start }
    }

    fn rows(&self, n: usize) -> &[T] {
        &self.memory[self.start..self.start + n * K]
    }
}

/// Prints the rates of a product: `product(x, n, y)` multiplies rows of `x` with `n` rows of weights.
fn dense(name: &str, bytes: usize, x: &[f32], y: &mut [f32], product: impl Fn(&[f32], usize, &mut [f32])) {
    let one = median(|| product(&x[..K], N, &mut y[..N]));
    let many = median(|| product(x, 8960, &mut y[..512 * 8960]));
    println!(
        "{name}: 1 row {:.1} GB/s, 512 rows {:.0} G products/s",
        (bytes * N * K) as f64 / one / 1e9,
        (512 * 8960 * K) as f64 / many / 1e9,
    );
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let x: Vec<f32> = (0..512 * K).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
    let mut y = vec![0.0; 512 * N];
    let singles = Lines::new(0.01f32);
    dense("f32", 4, &x, &mut y, |x, n, y| linear(x, black_box(singles.rows(n)), None, y, K));
    drop(singles);
    let halves = Lines::new(bf16::from_f32(0.01));
    dense("bf16", 2, &x, &mut y, |x, n, y| linear(x, black_box(halves.rows(n)), None, y, K));
    dense("bf16 pairs", 2, &x, &mut y, |x, n, y| linear_bf16(x, black_box(halves.rows(n)), None, y, K));
    drop(halves);
    println!("format  activations  pack GB/s   1 row GB/s   8 rows  16 rows   (ms)   512 rows: G products/s");
    for format in Format::ALL.into_iter().filter(|format| format.is_packed()) {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == format.name()) {
            continue;
        }
        let row_bytes = format.bytes_for(K).unwrap();
        // Half-precision 0.01 wherever a scale may lie, and some bits.
        let bytes: Vec<u8> = [0x1f, 0x21].into_iter().cycle().take(row_bytes * 64).collect();
        let start = Instant::now();
        let packed = Packed::new(format, N, K, |row| &bytes[row % 64 * row_bytes..][..row_bytes]).unwrap();
        let packing = (row_bytes * N) as f64 / start.elapsed().as_secs_f64() / 1e9;
        for activations in [Activations::Exact, Activations::Int8] {
            let mut run = |rows: usize, n: usize| {
                median(|| linear_packed(&x[..rows * K], &[black_box(&packed)], None, &mut y[..rows * n], activations))
            };
            let [one, eight, sixteen] = [1, 8, 16].map(|rows| run(rows, N));
            let small = Packed::new(format, 8960, K, |row| &bytes[row % 64 * row_bytes..][..row_bytes]).unwrap();
            let many = median(|| linear_packed(&x, &[black_box(&small)], None, &mut y[..512 * 8960], activations));
            println!(
                "{format:6}  {activations:?}  {packing:10.1} {:12.1} {:9.1}ms {:8.1}ms {:8.1}ms {:16.0}",
                packed.memory() as f64 / one / 1e9,
                one * 1e3,
                eight * 1e3,
                sixteen * 1e3,
                (512 * 8960 * K) as f64 / many / 1e9,
            );
        }
    }
}
