//! From bytes in a file to weights in memory, in another number type.

use half::{bf16, f16, vec::HalfBitsVecExt};
use rayon::prelude::*;
use safetensors::Dtype;

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

/// Asks the system to back memory that nothing has been written to by large pages. Weights are read from beginning to
/// end for every token, and looking up the addresses of small pages takes a quarter of that time.
#[cfg(target_os = "linux")]
fn in_large_pages<T>(memory: Vec<T>) -> Vec<T> {
    /// Pages begin at multiples of this or of less.
    const PAGE: usize = 1 << 16;
    let range = memory.as_ptr_range();
    let (start, end) = (range.start.addr().next_multiple_of(PAGE), range.end.addr() / PAGE * PAGE);
    if start < end {
        let inside = memory.as_ptr().cast_mut().wrapping_byte_add(start - range.start.addr());
        // SAFETY: the pages are inside the vector's memory, and advice changes nothing of what they hold. A refusal
        // costs time, nothing else.
        let _ = unsafe { libc::madvise(inside.cast(), end - start, libc::MADV_HUGEPAGE) };
    }
    memory
}

#[cfg(not(target_os = "linux"))]
fn in_large_pages<T>(memory: Vec<T>) -> Vec<T> {
    memory
}

/// Puts stored elements into `place`. Returns whether all of them are finite, as stored and in `T`; `None` for a type
/// that is not supported.
pub(crate) fn put<T: Weight>(dtype: Dtype, bytes: &[u8], place: &mut [T]) -> Option<bool> {
    Some(match dtype {
        Dtype::F32 => decode(bytes.as_chunks().0, place, |b| T::from_f32(f32::from_le_bytes(b))),
        Dtype::BF16 => decode(bytes.as_chunks().0, place, |b| T::from_bf16(bf16::from_le_bytes(b))),
        Dtype::F16 => decode(bytes.as_chunks().0, place, |b| T::from_f16(f16::from_le_bytes(b))),
        _ => return None,
    })
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
    fn values_that_are_not_finite_are_told() {
        for (value, finite) in [(1.0f32, true), (f32::NAN, false), (f32::INFINITY, false), (-0.0, true), (1e6, true)] {
            let bytes: Vec<u8> = [0.5, value].iter().flat_map(|x| x.to_le_bytes()).collect();
            assert_eq!(put(Dtype::F32, &bytes, &mut [0.0f32; 2]), Some(finite));
            // 1e6 does not fit into f16.
            assert_eq!(put(Dtype::F32, &bytes, &mut [f16::ZERO; 2]), Some(finite && value < 65504.0));
        }
        assert_eq!(put(Dtype::I64, &[0; 8], &mut [0.0f32; 1]), None);
    }
}
