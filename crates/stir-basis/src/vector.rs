use std::ops::{AddAssign, Mul};

/// Partial sums of a dot product: four 256-bit registers of f32, which hides the latency of an addition.
const ELEMENTS: usize = 32;

/// Products below which threads cost more than they save: some tens of microseconds of them.
pub(crate) const WORTH_THREADS: usize = 1 << 19;

/// Returns `<a, b>`, summed in `A`: the same bits on every machine.
#[allow(unsafe_code, reason = "instructions are used that not every processor has, where it has them")]
pub(crate) fn dot<T: Copy + Into<A>, A: Sum>(a: &[T], b: &[T]) -> A {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            return unsafe { dot_avx512(a, b) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { dot_avx2(a, b) };
        }
    }
    sum_of_products(a, b)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn dot_avx512<T: Copy + Into<A>, A: Sum>(a: &[T], b: &[T]) -> A {
    sum_of_products(a, b)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn dot_avx2<T: Copy + Into<A>, A: Sum>(a: &[T], b: &[T]) -> A {
    sum_of_products(a, b)
}

/// Computes [`dot`] for the registers of the function that this becomes part of.
///
/// The partial sums are written out because the compiler may not reorder floating-point additions itself; with them
/// it vectorises, and the result is the same bits whatever the width of the registers.
#[inline(always)]
fn sum_of_products<T: Copy + Into<A>, A: Sum>(a: &[T], b: &[T]) -> A {
    let mut sums = [A::default(); ELEMENTS];
    let (a_chunks, b_chunks) = (a.chunks_exact(ELEMENTS), b.chunks_exact(ELEMENTS));
    let tail = a_chunks.remainder().iter().zip(b_chunks.remainder());
    for (a, b) in a_chunks.zip(b_chunks) {
        for i in 0..ELEMENTS {
            sums[i] += a[i].into() * b[i].into();
        }
    }
    for (sum, (&a, &b)) in sums.iter_mut().zip(tail) {
        *sum += a.into() * b.into();
    }
    total(sums)
}

/// Returns the sum of the partial sums, by halves. A call of its own: seen together with the loop before it, its
/// pattern misleads the compiler into breaking up the registers there.
#[inline(never)]
fn total<A: Sum>(mut sums: [A; ELEMENTS]) -> A {
    let mut half = ELEMENTS / 2;
    while half > 0 {
        for i in 0..half {
            let other = sums[i + half];
            sums[i] += other;
        }
        half /= 2;
    }
    sums[0]
}

/// A type that products are summed in.
pub(crate) trait Sum: Copy + Default + Mul<Output = Self> + AddAssign {}

impl Sum for f32 {}
impl Sum for f64 {}

/// Returns the L2 norm, in f64. Finite f32 values cannot overflow it; others make it NaN or infinite.
pub fn norm(vector: &[f32]) -> f64 {
    dot::<f32, f64>(vector, vector).sqrt()
}

/// Returns the cosine of the angle between two vectors of the same length, in f64; 0 where one is zero or not finite.
///
/// ```
/// use stir_basis::cosine;
/// assert_eq!(cosine(&[3.0, 4.0], &[4.0, 3.0]), 0.96);
/// assert_eq!(cosine(&[3.0, 4.0], &[0.0, 0.0]), 0.0);
/// ```
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let lengths = norm(a) * norm(b);
    if lengths.is_finite() && lengths > 0.0 { dot::<f32, f64>(a, b) / lengths } else { 0.0 }
}

/// Returns `vector` divided by its L2 norm, which is taken in f64; `None` when it is zero or not finite.
///
/// ```
/// use stir_basis::normalize;
/// assert_eq!(normalize(&[3.0, 4.0]), Some(vec![0.6, 0.8]));
/// assert_eq!(normalize(&[0.0, 0.0]), None);
/// assert_eq!(normalize(&[f32::NAN, 1.0]), None);
/// ```
pub fn normalize(vector: &[f32]) -> Option<Vec<f32>> {
    let norm = norm(vector);
    let usable = norm.is_finite() && norm > 0.0;
    usable.then(|| vector.iter().map(|&x| (f64::from(x) / norm) as f32).collect())
}

/// Returns whether `key` is of length 1, as far as f32 can tell.
pub(crate) fn is_unit(key: &[f32]) -> bool {
    (norm(key) - 1.0).abs() < 1e-3
}

#[cfg(test)]
mod tests {
    use stir_core::SampleRng;

    use super::*;

    #[test]
    fn dot_covers_every_length() {
        for n in 0..70u16 {
            let a: Vec<f32> = (0..n).map(|i| f32::from(i % 7) - 3.0).collect();
            let b: Vec<f32> = (0..n).map(|i| f32::from(i % 5)).collect();
            let expected: f32 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
            // Small integers: every order of summation is exact.
            assert_eq!(dot::<f32, f32>(&a, &b), expected);
            assert_eq!(dot::<f32, f64>(&a, &b), f64::from(expected));
        }
    }

    #[test]
    #[allow(unsafe_code, reason = "as in `dot`")]
    fn dot_is_the_same_bits_on_every_machine() {
        let mut rng = SampleRng::new(3, 0);
        let mut random = |n: usize| -> Vec<f64> { (0..n).map(|_| rng.normal()).collect() };
        for n in [0, 1, 31, 32, 33, 100, 1536, 2049] {
            let (a, b) = (random(n), random(n));
            let narrow = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<_>>();
            let (c, d) = (narrow(&a), narrow(&b));
            let same = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
            let portable =
                [sum_of_products(&a, &b), sum_of_products(&c, &d), sum_of_products::<f32, f32>(&c, &d).into()];
            assert!(same(&portable, &[dot(&a, &b), dot(&c, &d), dot::<f32, f32>(&c, &d).into()]), "{n}");
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2.
                let narrower = unsafe { [dot_avx2(&a, &b), dot_avx2(&c, &d), dot_avx2::<f32, f32>(&c, &d).into()] };
                assert!(same(&portable, &narrower), "{n}");
            }
        }
    }

    #[test]
    fn the_largest_and_smallest_numbers_normalise() {
        for scale in [f32::MAX, f32::MIN_POSITIVE, 1e-45] {
            assert!(is_unit(&normalize(&[scale, -scale, 0.0]).unwrap()));
        }
    }
}
