//! Products of every format, with every set of instructions, against the plain rule in f64.

use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

use super::*;

/// Returns random blocks of a format: random bits, with scales of a reasonable size.
fn blocks(format: Format, values: usize, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..format.bytes_for(values).unwrap()).map(|_| rng.random()).collect();
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        let floats: &[usize] = match format {
            Format::Q4_1 | Format::Q5_1 | Format::Q4K | Format::Q5K => &[0, 2],
            Format::Q6K => &[208],
            _ => &[0],
        };
        for &at in floats {
            let float = half::f16::from_f32(rng.random_range(-0.1..0.1));
            block[at..at + 2].copy_from_slice(&float.to_le_bytes());
        }
    }
    bytes
}

struct Case {
    packed: Packed,
    /// `[n, k]`
    values: Vec<f32>,
}

impl Case {
    fn new(format: Format, n: usize, k: usize, rng: &mut ChaCha8Rng) -> Self {
        let bytes = blocks(format, n * k, rng);
        let mut values = vec![0.0; n * k];
        format.dequantise(&bytes, &mut values);
        let rows: Vec<&[u8]> = bytes.chunks_exact(format.bytes_for(k).unwrap()).collect();
        Self { packed: Packed::new(format, n, k, |row| rows[row]).unwrap(), values }
    }
}

fn random(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn packed() -> impl Iterator<Item = Format> {
    Format::ALL.into_iter().filter(|format| format.is_packed())
}

#[test]
fn rows_come_back_as_they_were() {
    assert_eq!(packed().count(), 8);
    let rng = &mut ChaCha8Rng::seed_from_u64(1);
    for format in packed() {
        let (n, k) = (21, 512);
        let Case { packed, values } = Case::new(format, n, k, rng);
        let mut out = vec![f32::NAN; k];
        for row in 0..n {
            packed.row(row, &mut out);
            for (found, expected) in out.iter().zip(&values[row * k..]) {
                assert!((found - expected).abs() <= 1e-6 * expected.abs().max(0.1), "{format}: {found} {expected}");
            }
        }
    }
}

#[test]
fn packed_weights_take_as_much_as_in_a_file() {
    let rng = &mut ChaCha8Rng::seed_from_u64(2);
    for format in packed() {
        let (n, k) = (64, 1024);
        let case = Case::new(format, n, k, rng);
        let ratio = case.packed.memory() as f64 / format.bytes_for(n * k).unwrap() as f64;
        assert!((1.0..1.03).contains(&ratio), "{format}: {ratio}");
    }
}

#[test]
fn products_are_those_of_the_values() {
    let rng = &mut ChaCha8Rng::seed_from_u64(3);
    for format in packed() {
        for (rows, k, sizes) in [(1, 256, &[1][..]), (3, 512, &[16, 5]), (13, 768, &[40, 17, 16]), (9, 1024, &[70])] {
            let cases: Vec<Case> = sizes.iter().map(|&n| Case::new(format, n, k, rng)).collect();
            let weights: Vec<&Packed> = cases.iter().map(|case| &case.packed).collect();
            let values: Vec<f32> = cases.iter().flat_map(|case| case.values.iter().copied()).collect();
            let n = values.len() / k;
            let (x, bias) = (random(rows * k, rng), random(n, rng));
            for (bias, activations) in
                [None, Some(&bias[..])].into_iter().flat_map(|b| [(b, Activations::Exact), (b, Activations::Int8)])
            {
                for set in Integers::available() {
                    let mut y = vec![f32::NAN; rows * n];
                    multiply(set, &x, &weights, bias, &mut y, activations);
                    for (i, &found) in y.iter().enumerate() {
                        let products = x[i / n * k..][..k].iter().zip(&values[i % n * k..]);
                        let products = products.map(|(&x, &w)| f64::from(x) * f64::from(w));
                        let bias = bias.map_or(0.0, |bias| f64::from(bias[i % n]));
                        let (sum, size) = products.fold((bias, bias.abs()), |(s, a), p| (s + p, a + p.abs()));
                        let gap = (f64::from(found) - sum).abs();
                        // Half a step of 127 for each activation, mostly in different directions.
                        let tolerance = if activations == Activations::Exact { 3e-6 } else { 1.5e-3 };
                        assert!(
                            gap <= tolerance * size,
                            "{format} {set:?} {activations:?} {i}: {found}, expected {sum}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn parts_may_be_in_different_formats() {
    let rng = &mut ChaCha8Rng::seed_from_u64(6);
    let (rows, k) = (5, 512);
    let cases: Vec<Case> = packed().map(|format| Case::new(format, 19, k, rng)).collect();
    let weights: Vec<&Packed> = cases.iter().map(|case| &case.packed).collect();
    let (n, x) = (19 * cases.len(), random(rows * k, rng));
    for activations in [Activations::Exact, Activations::Int8] {
        for set in Integers::available() {
            let mut all = vec![f32::NAN; rows * n];
            multiply(set, &x, &weights, None, &mut all, activations);
            for (i, part) in weights.iter().enumerate() {
                let mut alone = vec![0.0; rows * 19];
                multiply(set, &x, &[part], None, &mut alone, activations);
                for row in 0..rows {
                    assert_eq!(
                        alone[row * 19..][..19],
                        all[row * n + 19 * i..][..19],
                        "{set:?} {activations} {part:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_row_gets_what_it_gets_alone() {
    let rng = &mut ChaCha8Rng::seed_from_u64(4);
    for format in packed() {
        let (rows, n, k) = (15, 33, 512);
        let case = Case::new(format, n, k, rng);
        let x = random(rows * k, rng);
        for activations in [Activations::Exact, Activations::Int8] {
            for set in Integers::available() {
                let mut all = vec![0.0; rows * n];
                multiply(set, &x, &[&case.packed], None, &mut all, activations);
                for row in 0..rows {
                    let mut alone = vec![0.0; n];
                    multiply(set, &x[row * k..][..k], &[&case.packed], None, &mut alone, activations);
                    assert_eq!(alone, &all[row * n..][..n], "{format} {set:?} {activations:?} {row}");
                }
            }
        }
    }
}

#[test]
fn the_largest_weights_and_activations_do_not_overflow() {
    for format in packed() {
        let k = 512;
        let mut bytes = vec![0xff; format.bytes_for(16 * k).unwrap()];
        for block in bytes.chunks_exact_mut(format.block_bytes()) {
            let at = if format == Format::Q6K { 208 } else { 0 };
            block[at..at + 2].copy_from_slice(&half::f16::ONE.to_le_bytes());
            if let Format::Q4_1 | Format::Q5_1 | Format::Q4K | Format::Q5K = format {
                block[2..4].copy_from_slice(&half::f16::ZERO.to_le_bytes());
            }
            if format == Format::Q8_0 {
                block[2..].fill(127);
            }
            if format == Format::Q6K {
                block[192..208].fill(127);
            }
        }
        let mut values = vec![0.0; 16 * k];
        format.dequantise(&bytes, &mut values);
        let packed =
            Packed::new(format, 16, k, |row| &bytes[row * bytes.len() / 16..(row + 1) * bytes.len() / 16]).unwrap();
        for (sign, set) in [1.0, -1.0].into_iter().flat_map(|s| Integers::available().map(move |set| (s, set))) {
            let mut y = vec![0.0; 16];
            multiply(set, &vec![sign; k], &[&packed], None, &mut y, Activations::Int8);
            let expected = sign * values[..k].iter().sum::<f32>();
            assert!(
                y.iter().all(|y| (y - expected).abs() <= 1e-5 * expected.abs()),
                "{format} {set:?}: {y:?} {expected}"
            );
        }
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    let rng = &mut ChaCha8Rng::seed_from_u64(5);
    let case = Case::new(Format::Q4K, 20, 512, rng);
    for activations in [Activations::Exact, Activations::Int8] {
        for set in Integers::available() {
            let mut x = random(2 * 512, rng);
            x[700] = f32::NAN;
            let mut y = vec![0.0; 40];
            multiply(set, &x, &[&case.packed], None, &mut y, activations);
            assert!(y[..20].iter().all(|y| y.is_finite()) && y[20..].iter().all(|y| y.is_nan()), "{set:?} {y:?}");
        }
    }
}

#[test]
fn other_formats_and_shapes_are_refused() {
    assert!(Packed::new(Format::F16, 1, 32, |_| &[0; 64]).is_none());
    assert!(Packed::new(Format::Q2K, 1, 256, |_| &[0; 84]).is_none());
    assert!(Packed::new(Format::Q4K, 1, 32, |_| &[0; 18]).is_none());
    assert!(Packed::new(Format::Q8_0, 1, 0, |_| &[]).is_none());
    let empty = Packed::new(Format::Q8_0, 0, 32, |_| &[]).unwrap();
    multiply(Integers::best(), &[0.0; 32], &[&empty], None, &mut [], Activations::Int8);
}
