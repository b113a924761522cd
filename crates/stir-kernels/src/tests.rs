//! Every kernel, with every set of instructions this processor has, against the plain rule in f64.

use half::{bf16, f16};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

use crate::{
    Activation,
    attention::{AttentionShape, Sequence, SpanView, attend},
    linear::linear,
    prepare_heads,
    rows::{Heads, gate, norm},
    simd::{Element, Isa, Kernel, MAX_ELEMENTS, Simd, elements, exp},
};

fn normal(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let uniform = |rng: &mut ChaCha8Rng| rng.random::<f64>();
    let normal = |rng: &mut ChaCha8Rng| {
        let radius = (-2.0 * (1.0 - uniform(rng)).ln()).sqrt();
        (radius * (std::f64::consts::TAU * uniform(rng)).cos()) as f32
    };
    (0..count).map(|_| normal(rng)).collect()
}

fn assert_close(what: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (&found, expected)) in found.iter().zip(expected).enumerate() {
        let gap = (f64::from(found) - expected).abs();
        assert!(gap <= tolerance * expected.abs().max(1.0), "{what}: {found} at {i}, expected {expected}");
    }
}

fn dot(a: &[f32], b: impl Iterator<Item = f32>) -> f64 {
    a.iter().zip(b).map(|(&a, b)| f64::from(a) * f64::from(b)).sum()
}

fn products<W: Element>(rng: &mut ChaCha8Rng) {
    // Around what registers, tiles, blocks and depths hold, in every remainder.
    let shapes = [
        (1, 1, 1),
        (1, 37, 5),
        (2, 16, 4),
        (3, 17_000, 6),
        (4, 16_384, 3),
        (5, 64, 67),
        (7, 1100, 9),
        (13, 1025, 130),
        (1, 5000, 300),
    ];
    for (rows, k, n) in shapes {
        let (x, w, b) = (normal(rows * k, rng), normal(n * k, rng), normal(n, rng));
        let w: Vec<W> = w.into_iter().map(W::from_f32).collect();
        for bias in [None, Some(&b[..])] {
            let column = |row: usize, n: usize| {
                let product = dot(&x[row * k..][..k], w[n * k..][..k].iter().map(|w| w.to_f32()));
                product + bias.map_or(0.0, |b| f64::from(b[n]))
            };
            let expected: Vec<f64> = (0..rows * n).map(|i| column(i / n, i % n)).collect();
            for isa in Isa::available() {
                let mut y = vec![f32::NAN; rows * n];
                linear(isa, &x, &w, bias, &mut y, k);
                assert_close(&format!("{isa:?} {rows} {k} {n}"), &y, &expected, 1e-4);
            }
        }
    }
}

#[test]
fn products_of_every_type_and_shape() {
    let rng = &mut ChaCha8Rng::seed_from_u64(1);
    products::<f32>(rng);
    products::<bf16>(rng);
    products::<f16>(rng);
}

#[test]
fn a_row_does_not_depend_on_the_others() {
    let rng = &mut ChaCha8Rng::seed_from_u64(2);
    for (k, n) in [(1500, 70), (20_000, 7)] {
        let (x, w) = (normal(20 * k, rng), normal(n * k, rng));
        let halves: Vec<bf16> = w.iter().map(|w| bf16::from_f32(*w)).collect();
        let same = |what: &str, product: &dyn Fn(&[f32], &mut [f32])| {
            let mut all = vec![0.0; 20 * n];
            product(&x, &mut all);
            for rows in 1..6 {
                for (x, expected) in x.chunks_exact(rows * k).zip(all.chunks_exact(rows * n)) {
                    let mut alone = vec![0.0; rows * n];
                    product(x, &mut alone);
                    assert_eq!(alone, expected, "{what}, {rows} rows of {k}");
                }
            }
        };
        for isa in Isa::available() {
            same(&format!("{isa:?}"), &|x, y| linear(isa, x, &w, None, y, k));
            same(&format!("{isa:?} of bf16"), &|x, y| linear(isa, x, &halves, None, y, k));
        }
        same("pairs of bf16", &|x, y| crate::linear_bf16(x, &halves, None, y, k));
    }
}

#[test]
fn products_of_pairs_are_those_of_rounded_activations() {
    let rng = &mut ChaCha8Rng::seed_from_u64(3);
    for (rows, k, n) in [(1, 1, 1), (1, 37, 5), (2, 1056, 7), (9, 1000, 66), (6, 32, 4)] {
        let (x, w, bias) = (normal(rows * k, rng), normal(n * k, rng), normal(n, rng));
        let w: Vec<bf16> = w.into_iter().map(bf16::from_f32).collect();
        let rounded: Vec<f32> = x.iter().map(|x| bf16::from_f32(*x).to_f32()).collect();
        let (mut found, mut expected) = (vec![f32::NAN; rows * n], vec![f32::NAN; rows * n]);
        // A processor without the instruction computes with activations as they are.
        let x = if crate::has_bf16() { rounded } else { x };
        crate::linear_bf16(&x, &w, Some(&bias), &mut found, k);
        linear(Isa::best(), &x, &w, Some(&bias), &mut expected, k);
        let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
        assert_close(&format!("{rows} {k} {n}"), &found, &expected, 1e-4);
    }
}

#[test]
fn nan_reaches_the_product() {
    for isa in Isa::available() {
        let mut y = [0.0];
        linear(isa, &[f32::NAN, 1.0], &[0.0, 1.0], None, &mut y, 2);
        assert!(y[0].is_nan());
        let mut out = [0.0; 2];
        gate(isa, &[f32::NAN, 1.0, 1.0, 1.0], Activation::Silu, 2, &mut out);
        assert!(out[0].is_nan() && out[1].is_finite());
    }
}

struct Exponentials<'a>(&'a mut Vec<(f32, f32)>);

impl Kernel for Exponentials<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for i in -8800..8800 {
            let x = i as f32 * 0.01 + 0.001;
            // SAFETY: the processor has the instructions.
            self.0.push((x, unsafe { elements::<S>(exp::<S>(S::splat(x)))[0] }));
        }
    }
}

#[test]
fn exponentials_to_a_few_units_in_the_last_place() {
    for isa in Isa::available() {
        let mut found = Vec::new();
        isa.run(Exponentials(&mut found));
        for (x, y) in found {
            let expected = f64::from(x).exp();
            let gap = (f64::from(y) - expected).abs();
            assert!(gap <= 3e-7 * expected || expected < 2e-38, "{isa:?}: exp({x}) = {y}");
        }
    }
}

#[test]
fn norms_and_gates() {
    let rng = &mut ChaCha8Rng::seed_from_u64(3);
    for (rows, width) in [(1, 1), (3, 7), (19, 48), (2, 1000)] {
        let (x, gamma) = (normal(rows * width, rng), normal(width, rng));
        let expected: Vec<f64> = x
            .chunks_exact(width)
            .flat_map(|x| {
                let rms = (dot(x, x.iter().copied()) / width as f64 + 1e-6).sqrt();
                x.iter().zip(&gamma).map(move |(&x, &gamma)| f64::from(x) / rms * f64::from(gamma))
            })
            .collect();
        for isa in Isa::available() {
            let mut out = vec![0.0; rows * width];
            norm(isa, &x, &gamma, 1e-6, &mut out);
            assert_close(&format!("norm {isa:?} {width}"), &out, &expected, 1e-5);
        }
        let gate_up: Vec<f32> = normal(rows * 2 * width, rng).into_iter().map(|x| 3.0 * x).collect();
        for activation in [Activation::Silu, Activation::GeluTanh] {
            let active = |x: f64| match activation {
                Activation::Silu => x / (1.0 + (-x).exp()),
                Activation::GeluTanh => {
                    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
                    0.5 * x * (1.0 + inner.tanh())
                }
            };
            let expected: Vec<f64> = gate_up
                .chunks_exact(2 * width)
                .flat_map(|row| {
                    (0..width).map(move |i| active(f64::from(row[i])) * f64::from(row[width + i])).collect::<Vec<_>>()
                })
                .collect();
            for isa in Isa::available() {
                let mut out = vec![0.0; rows * width];
                gate(isa, &gate_up, activation, width, &mut out);
                assert_close(&format!("{activation:?} {isa:?} {width}"), &out, &expected, 1e-5);
            }
        }
    }
}

#[test]
fn heads_are_normed_each_or_at_once_and_turned_or_not() {
    let rng = &mut ChaCha8Rng::seed_from_u64(5);
    let (n_heads, n_kv_heads, head_dim, stride) = (3, 2, 4, 7 * 4);
    let qkv = normal(2 * stride, rng);
    for parts in [[3, 2], [1, 1]] {
        let gammas = [n_heads, n_kv_heads].map(|heads| heads * head_dim);
        let gammas = [normal(gammas[0] / parts[0], rng), normal(gammas[1] / parts[1], rng)];
        let normed = |row: &[f32]| -> Vec<f64> {
            let (queries, rest) = row.split_at(n_heads * head_dim);
            let keys = &rest[..n_kv_heads * head_dim];
            let parts = [(queries, &gammas[0]), (keys, &gammas[1])].map(|(x, gamma)| {
                let rows = x.chunks_exact(gamma.len()).flat_map(move |x| {
                    let rms = (dot(x, x.iter().copied()) / x.len() as f64 + 1e-6).sqrt();
                    x.iter().zip(gamma).map(move |(&x, &gamma)| f64::from(x) / rms * f64::from(gamma))
                });
                rows.collect::<Vec<_>>()
            });
            parts.concat()
        };
        for rotary_dim in [4, 2, 0] {
            let angles: Vec<f32> = normal(2 * rotary_dim / 2, rng);
            let (sin, cos): (Vec<f32>, Vec<f32>) = angles.iter().map(|angle| angle.sin_cos()).unzip();
            let norms = Some(gammas.each_ref().map(|gamma| &gamma[..]));
            let (epsilon, scale) = (1e-6, 0.5);
            let (cos, sin) = (&cos[..], &sin[..]);
            let heads = Heads { n_heads, n_kv_heads, head_dim, norms, epsilon, cos, sin, rotary_dim, scale };
            let mut found = qkv.clone();
            prepare_heads(&mut found, stride, &heads);
            for (token, (row, found)) in qkv.chunks(stride).zip(found.chunks(stride)).enumerate() {
                let mut expected = normed(row);
                let half = rotary_dim / 2;
                for (head, x) in expected.chunks_exact_mut(head_dim).enumerate() {
                    for i in 0..half {
                        let (sin, cos) = f64::from(angles[token * half + i]).sin_cos();
                        (x[i], x[i + half]) = (x[i] * cos - x[i + half] * sin, x[i + half] * cos + x[i] * sin);
                    }
                    x.iter_mut().filter(|_| head < n_heads).for_each(|x| *x *= 0.5);
                }
                let (prepared, values) = found.split_at(expected.len());
                assert_close(&format!("{parts:?} {rotary_dim}"), prepared, &expected, 1e-5);
                assert_eq!(values, &row[expected.len()..]);
            }
        }
    }
}

/// Computes attention of sequences of several spans with some new tokens each.
fn attention<T: Element>(shape: AttentionShape, lens: &[&[usize]], new: &[usize], rng: &mut ChaCha8Rng) {
    let AttentionShape { n_heads, n_kv_heads, head_dim, window, softcap } = shape;
    let group = n_heads / n_kv_heads;
    let stride = (n_heads + 2 * n_kv_heads) * head_dim;
    let tokens: usize = new.iter().sum();
    let q = normal(tokens * stride, rng);
    // Room for more positions than there are, filled with what must not be seen.
    let held: Vec<Vec<[Vec<T>; 2]>> = lens
        .iter()
        .map(|spans| {
            let piece = |len: usize, rng: &mut ChaCha8Rng| -> Vec<T> {
                let room = (len + 3) * head_dim;
                let mut all: Vec<T> = normal(n_kv_heads * room, rng).into_iter().map(T::from_f32).collect();
                all.chunks_exact_mut(room).for_each(|head| head[len * head_dim..].fill(T::from_f32(f32::NAN)));
                all
            };
            spans.iter().map(|&len| [piece(len, rng), piece(len, rng)]).collect()
        })
        .collect();
    let mut first = 0;
    let sequences: Vec<Sequence<'_, T>> = held
        .iter()
        .zip(lens)
        .zip(new)
        .map(|((held, lens), &count)| {
            let spans = held.iter().zip(lens.iter());
            let spans = spans.map(|([keys, values], &len)| SpanView { keys, values, capacity: len + 3, len }).collect();
            first += count;
            Sequence { spans, tokens: first - count..first, position: lens.iter().sum::<usize>() - count }
        })
        .collect();
    let mut expected = vec![0.0; tokens * n_heads * head_dim];
    for sequence in &sequences {
        for (i, token) in sequence.tokens.clone().enumerate() {
            let position = sequence.position + i;
            for head in 0..n_heads {
                let at = |which: fn(&SpanView<'_, T>) -> *const T| -> Vec<Vec<f32>> {
                    let vectors = sequence.spans.iter().flat_map(|span| {
                        let start = head / group * span.capacity * head_dim;
                        // SAFETY: the span has so many positions for every key head.
                        let all = unsafe { std::slice::from_raw_parts(which(span).add(start), span.len * head_dim) };
                        all.chunks_exact(head_dim).map(|v| v.iter().map(|x| x.to_f32()).collect())
                    });
                    vectors.collect()
                };
                let (keys, values) = (at(|span| span.keys.as_ptr()), at(|span| span.values.as_ptr()));
                let query = &q[token * stride + head * head_dim..][..head_dim];
                let seen = window.map_or(0, |w| (position + 1).saturating_sub(w))..position + 1;
                let scores: Vec<f64> = keys[seen.clone()].iter().map(|key| dot(query, key.iter().copied())).collect();
                let bound = |x: f64| softcap.map_or(x, |c| (x / f64::from(c)).tanh() * f64::from(c));
                let weights: Vec<f64> = scores.iter().map(|&x| bound(x).exp()).collect();
                let sum: f64 = weights.iter().sum();
                for (weight, value) in weights.iter().zip(&values[seen]) {
                    let out = &mut expected[(token * n_heads + head) * head_dim..][..head_dim];
                    out.iter_mut().zip(value).for_each(|(out, &v)| *out += weight / sum * f64::from(v));
                }
            }
        }
    }
    for isa in Isa::available() {
        let mut out = vec![f32::NAN; expected.len()];
        attend(isa, shape, &q, stride, &sequences, &mut out);
        assert_close(&format!("{isa:?} {shape:?} {lens:?} {new:?}"), &out, &expected, 2e-5);
    }
}

#[test]
fn attention_does_not_depend_on_how_a_past_is_divided() {
    let (rng, head_dim, len) = (&mut ChaCha8Rng::seed_from_u64(5), 36, 67);
    let (q, keys, values) = (normal(4 * 3 * head_dim, rng), normal(len * head_dim, rng), normal(len * head_dim, rng));
    let shape = AttentionShape { n_heads: 1, n_kv_heads: 1, head_dim, window: Some(50), softcap: None };
    for isa in Isa::available() {
        let attended = |lens: &[usize]| {
            let mut first = 0;
            let spans = lens.iter().map(|&len| {
                first += len;
                let of = |all| &<[f32]>::as_ref(all)[(first - len) * head_dim..first * head_dim];
                SpanView { keys: of(&keys), values: of(&values), capacity: len, len }
            });
            let sequence = Sequence { spans: spans.collect(), tokens: 0..4, position: len - 4 };
            let mut out = vec![0.0; 4 * head_dim];
            attend(isa, shape, &q, 3 * head_dim, &[sequence], &mut out);
            out
        };
        let whole = attended(&[len]);
        for lens in [&[1, 66][..], &[20, 7, 40], &[63, 1, 1, 2], &[33, 34]] {
            assert_eq!(attended(lens), whole, "{isa:?} {lens:?}");
        }
    }
}

#[test]
fn attention_over_chains_of_spans() {
    let rng = &mut ChaCha8Rng::seed_from_u64(4);
    let sized =
        |n_heads, n_kv_heads, head_dim| AttentionShape { n_heads, n_kv_heads, head_dim, window: None, softcap: None };
    for shape in [sized(14, 2, 64), sized(3, 1, 20), sized(1, 1, 2), sized(4, 4, 128), sized(40, 1, 36)] {
        attention::<f32>(shape, &[&[1]], &[1], rng);
        attention::<f32>(shape, &[&[20, 7, 40], &[33]], &[1, 33], rng);
        attention::<bf16>(shape, &[&[20, 7, 40], &[33]], &[5, 1], rng);
        attention::<f16>(shape, &[&[MAX_ELEMENTS, 50]], &[50], rng);
        attention::<f32>(
            AttentionShape { window: Some(9), softcap: Some(2.0), ..shape },
            &[&[20, 7, 40], &[6]],
            &[30, 6],
            rng,
        );
        attention::<f32>(AttentionShape { window: Some(1), ..shape }, &[&[20, 2]], &[2], rng);
    }
}
