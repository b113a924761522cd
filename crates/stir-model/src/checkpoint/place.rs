//! From bytes in a file to weights in memory, in another number type.

use half::{bf16, f16, vec::HalfBitsVecExt};
use rayon::prelude::*;
use stir_kernels::{Format, in_large_pages};

#[cfg(feature = "decoder")]
use crate::ComputeType;

/// A number type that weights are kept and computed in.
pub(crate) trait Weight: Copy + Default + Send + Sync {
    /// The name of this type among those to compute in.
    #[cfg(feature = "decoder")]
    const COMPUTE: ComputeType;

    /// Zeros, in memory that nothing has been written to yet.
    fn zeros(count: usize) -> Vec<Self>;
    fn from_f32(value: f32) -> Self;
    fn from_bf16(value: bf16) -> Self;
    fn from_f16(value: f16) -> Self;
    fn is_finite(self) -> bool;
}

impl Weight for f32 {
    #[cfg(feature = "decoder")]
    const COMPUTE: ComputeType = ComputeType::F32;

    fn zeros(count: usize) -> Vec<Self> {
        in_large_pages(vec![0.0; count])
    }

    fn from_f32(value: f32) -> Self {
        value
    }

    fn from_bf16(value: bf16) -> Self {
        value.to_f32()
    }

    /// Converts as `half` does, but without a branch, so that many values are converted at once: the exponent is
    /// shifted into place, and its different bias is corrected by a product, which is exact even for subnormal values.
    fn from_f16(value: f16) -> Self {
        let bits = u32::from(value.to_bits());
        let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 127 - 15) << 23);
        let infinite = if bits & 0x7c00 == 0x7c00 { 0xff << 23 } else { 0 };
        f32::from_bits(magnitude.to_bits() | infinite | (bits & 0x8000) << 16)
    }

    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
}

impl Weight for bf16 {
    #[cfg(feature = "decoder")]
    const COMPUTE: ComputeType = ComputeType::Bf16;

    fn zeros(count: usize) -> Vec<Self> {
        in_large_pages(vec![0u16; count]).reinterpret_into()
    }

    fn from_f32(value: f32) -> Self {
        bf16::from_f32(value)
    }

    fn from_bf16(value: bf16) -> Self {
        value
    }

    fn from_f16(value: f16) -> Self {
        bf16::from_f32(value.to_f32())
    }

    fn is_finite(self) -> bool {
        bf16::is_finite(self)
    }
}

impl Weight for f16 {
    #[cfg(feature = "decoder")]
    const COMPUTE: ComputeType = ComputeType::F16;

    fn zeros(count: usize) -> Vec<Self> {
        in_large_pages(vec![0u16; count]).reinterpret_into()
    }

    fn from_f32(value: f32) -> Self {
        f16::from_f32(value)
    }

    fn from_bf16(value: bf16) -> Self {
        f16::from_f32(value.to_f32())
    }

    fn from_f16(value: f16) -> Self {
        value
    }

    fn is_finite(self) -> bool {
        f16::is_finite(self)
    }
}

/// Puts stored elements into `place`, which has room for exactly as many. Returns whether all of them are finite, as
/// stored and in `T`.
pub(crate) fn put<T: Weight>(format: Format, bytes: &[u8], place: &mut [T]) -> bool {
    match format {
        Format::F32 => decode(bytes.as_chunks().0, place, |b| T::from_f32(f32::from_le_bytes(b))),
        Format::Bf16 => decode(bytes.as_chunks().0, place, |b| T::from_bf16(bf16::from_le_bytes(b))),
        Format::F16 => decode(bytes.as_chunks().0, place, |b| T::from_f16(f16::from_le_bytes(b))),
        _ => dequantise(format, bytes, place),
    }
}

/// Puts the values of whole blocks into `place`.
fn dequantise<T: Weight>(format: Format, bytes: &[u8], place: &mut [T]) -> bool {
    /// The number of values that are converted at once, a multiple of every block.
    const VALUES: usize = 1 << 12;
    let size = VALUES / format.block_len() * format.block_bytes();
    let parts = place.par_chunks_mut(VALUES).zip(bytes.par_chunks(size));
    parts
        .map(|(place, bytes)| {
            let mut values = [0.0; VALUES];
            let values = &mut values[..place.len()];
            format.dequantise(bytes, values);
            let mut finite = true;
            for (x, &value) in place.iter_mut().zip(&*values) {
                *x = T::from_f32(value);
                finite &= x.is_finite();
            }
            finite
        })
        .reduce(|| true, |a, b| a && b)
}

fn decode<T: Weight, const N: usize>(
    stored: &[[u8; N]],
    place: &mut [T],
    decode: impl Fn([u8; N]) -> T + Sync,
) -> bool {
    let part = stored.len().div_ceil(rayon::current_num_threads()).max(1 << 14);
    let parts = place.par_chunks_mut(part).zip(stored.par_chunks(part));
    parts
        .map(|(place, stored)| {
            let mut finite = true;
            for (x, &bytes) in place.iter_mut().zip(stored) {
                *x = decode(bytes);
                finite &= x.is_finite();
            }
            finite
        })
        .reduce(|| true, |a, b| a && b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_becomes_the_f32_of_its_value() {
        for bits in 0..=u16::MAX {
            let (found, expected) = (<f32 as Weight>::from_f16(f16::from_bits(bits)), f16::from_bits(bits).to_f32());
            assert!(found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(), "{bits:#x}");
        }
    }

    #[test]
    fn blocks_become_their_values_in_every_type() {
        // Scale 0.5 and quanta that are their own number, in more than one part.
        let block = [[0x00, 0x38].as_slice(), &(0..32).collect::<Vec<u8>>()].concat();
        let bytes = block.repeat(200);
        let expected: Vec<f32> = (0..200).flat_map(|_| (0..32).map(|q| 0.5 * q as f32)).collect();
        let (mut single, mut half) = (vec![0.0f32; 6400], vec![f16::ZERO; 6400]);
        assert!(put(Format::Q8_0, &bytes, &mut single) && put(Format::Q8_0, &bytes, &mut half));
        assert_eq!(single, expected);
        assert!(half.iter().zip(&expected).all(|(x, y)| x.to_f32() == *y));
        let infinite = [&[0x00, 0x7c], &block[2..]].concat();
        assert!(!put(Format::Q8_0, &infinite, &mut single[..32]));
    }

    #[test]
    fn values_that_are_not_finite_are_told() {
        for (value, finite) in [(1.0f32, true), (f32::NAN, false), (f32::INFINITY, false), (-0.0, true), (1e6, true)] {
            let bytes: Vec<u8> = [0.5, value].iter().flat_map(|x| x.to_le_bytes()).collect();
            assert_eq!(put(Format::F32, &bytes, &mut [0.0f32; 2]), finite);
            // 1e6 does not fit into f16.
            assert_eq!(put(Format::F32, &bytes, &mut [f16::ZERO; 2]), finite && value < 65504.0);
        }
    }
}
