//! Activations in 8 bits.

use super::{
    lanes::{Integers, Lanes, Work},
    tile::STEP,
};
use crate::parallel::{SharedSlice, parallel};

/// Rows of activations, each 32 of them as whole numbers from -127 to 127 and a scale.
///
/// Rows that are multiplied together lie together: what four consecutive values of a group's rows are comes one row after
/// another.
pub(crate) struct Quantised {
    /// `[k / 4, rows, 4]` for each group, which begins at `k` times its first row.
    pub(crate) values: Vec<i8>,
    /// `[k / 32, rows]` for each group, in the same way.
    pub(crate) scales: Vec<f32>,
    /// The sums of the values of each 16, `[k / 16, rows]` for each group.
    pub(crate) sums: Vec<i32>,
}

/// Returns the groups of rows that are multiplied together: the first row, and how many.
pub(crate) fn groups(rows: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let mut count = most;
        while count > rows - first {
            count /= 2;
        }
        first += count;
        (count > 0).then_some((first - count, count))
    })
}

impl Quantised {
    /// # Shapes
    /// - `x`: `[rows, k]`, with `k` a multiple of 32
    pub(crate) fn new(set: Integers, x: &[f32], k: usize) -> Self {
        let rows = x.len() / k;
        let (mut values, mut scales, mut sums) = (vec![0; rows * k], vec![0.0; x.len() / STEP], vec![0; x.len() / 16]);
        let (v, s, t) = (SharedSlice::new(&mut values), SharedSlice::new(&mut scales), SharedSlice::new(&mut sums));
        let groups: Vec<(usize, usize)> = groups(rows, set.rows()).collect();
        parallel(groups.len(), 4 * x.len(), |part| {
            let (first, count) = groups[part];
            // SAFETY: a group is one part.
            let (values, scales, sums) = unsafe {
                let of = first * k;
                (v.slice(of, count * k), s.slice(of / STEP, count * k / STEP), t.slice(of / 16, count * k / 16))
            };
            set.run(Group { x: &x[first * k..(first + count) * k], k, count, values, scales, sums });
        });
        Self { values, scales, sums }
    }
}

struct Group<'a> {
    x: &'a [f32],
    k: usize,
    count: usize,
    values: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [i32],
}

impl Work for Group<'_> {
    type Output = ();

    // Loops that the compiler turns into vectors by itself.
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { x, k, count, values, scales, sums } = self;
        for row in 0..count {
            for step in 0..k / STEP {
                let x = &x[row * k + step * STEP..][..STEP];
                let mut most = 0.0f32;
                let mut strange = false;
                for &x in x {
                    most = if x.abs() > most { x.abs() } else { most };
                    strange |= !x.is_finite();
                }
                // What is not finite makes everything that it is multiplied with NaN.
                let scale = if strange { f32::NAN } else { most / 127.0 };
                let inverse = if scale > 0.0 { 127.0 / most } else { 0.0 };
                let mut whole = [0i32; STEP];
                for i in 0..STEP {
                    whole[i] = (x[i] * inverse).round_ties_even() as i32;
                }
                scales[step * count + row] = scale;
                for half in 0..2 {
                    let mut sum = 0;
                    for i in 0..16 {
                        sum += whole[16 * half + i];
                    }
                    sums[(2 * step + half) * count + row] = sum;
                }
                for g in 0..STEP / 4 {
                    for i in 0..4 {
                        values[((step * STEP / 4 + g) * count + row) * 4 + i] = whole[4 * g + i] as i8;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cover_all_rows_once() {
        let all = |rows, most| groups(rows, most).collect::<Vec<_>>();
        assert_eq!(all(0, 8), []);
        assert_eq!(all(15, 8), [(0, 8), (8, 4), (12, 2), (14, 1)]);
        assert_eq!(all(2, 1), [(0, 1), (1, 1)]);
    }

    #[test]
    fn values_are_within_half_a_step_and_lie_in_groups() {
        let k = 64;
        let x: Vec<f32> = (0..3 * k).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.1).collect();
        for set in Integers::available() {
            let quantised = Quantised::new(set, &x, k);
            for (first, count) in groups(3, set.rows()) {
                for (row, i) in (0..count).flat_map(|row| (0..k).map(move |i| (row, i))) {
                    let value = quantised.values[first * k + (i / 4 * count + row) * 4 + i % 4];
                    let scale = quantised.scales[first * k / 32 + i / 32 * count + row];
                    let gap = (f32::from(value) * scale - x[(first + row) * k + i]).abs();
                    assert!(gap <= 0.5001 * scale, "{set:?} {first} {row} {i}: {gap}");
                }
                let sum: i32 =
                    (0..16).map(|i| i32::from(quantised.values[first * k + i / 4 * count * 4 + i % 4])).sum();
                assert_eq!(quantised.sums[first * k / 16], sum);
            }
        }
    }

    #[test]
    fn zeros_are_zero_and_what_is_not_finite_is_told() {
        for set in Integers::available() {
            let mut x = [0.0; 64];
            x[40] = f32::INFINITY;
            let quantised = Quantised::new(set, &x, 64);
            assert_eq!((quantised.scales[0], quantised.scales[1].is_nan()), (0.0, true));
        }
    }
}
