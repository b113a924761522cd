//! The speed at which the machine reads memory: no decoding of one sequence can be faster than its weights are read.

use std::{hint::black_box, thread, time::Instant};

use memmap2::{Advice, MmapMut};

/// Bytes per second of reading a buffer of `bytes` with `threads`: the median of `passes`, of the widest registers that
/// do best.
pub fn rate(bytes: usize, passes: usize, threads: usize) -> f64 {
    // The system may refuse large pages; small ones read more slowly, and then that is this machine's rate.
    let mut buffer = MmapMut::map_anon(bytes).unwrap();
    let _ = buffer.advise(Advice::HugePage);
    buffer.fill(1);
    let share = buffer.len().div_ceil(threads).next_multiple_of(64);
    let rates = kernels().into_iter().map(|sum| {
        let pass = || {
            let start = Instant::now();
            thread::scope(|scope| {
                let parts: Vec<_> = buffer.chunks(share).map(|part| scope.spawn(move || sum(part))).collect();
                black_box(parts.into_iter().map(|part| part.join().unwrap()).sum::<f32>());
            });
            bytes as f64 / start.elapsed().as_secs_f64()
        };
        crate::own::median((0..passes).map(|_| pass()).collect())
    });
    rates.fold(0.0, f64::max)
}

type Kernel = fn(&[u8]) -> f32;

/// The sum as compiled for each width of registers that this machine has.
fn kernels() -> Vec<Kernel> {
    let mut kernels: Vec<Kernel> = vec![sum];
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2(bytes: &[u8]) -> f32 {
            sum(bytes)
        }
        #[target_feature(enable = "avx512f")]
        fn avx512(bytes: &[u8]) -> f32 {
            sum(bytes)
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has it.
            kernels.push(|bytes| unsafe { avx2(bytes) });
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: as above.
            kernels.push(|bytes| unsafe { avx512(bytes) });
        }
    }
    kernels
}

/// The sum of the f32 that `bytes` hold, in many partial sums, so that reading is what takes time.
#[inline(always)]
fn sum(bytes: &[u8]) -> f32 {
    const LANES: usize = 128;
    let mut sums = [0.0f32; LANES];
    for chunk in bytes.chunks_exact(4 * LANES) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum +=
                f32::from_le_bytes([chunk[4 * lane], chunk[4 * lane + 1], chunk[4 * lane + 2], chunk[4 * lane + 3]]);
        }
    }
    sums.iter().sum()
}
