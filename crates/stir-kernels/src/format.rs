//! The block formats of GGUF files: what a weight takes, and what it is worth.

use half::{bf16, f16};

/// A number format of stored weights.
///
/// A tensor's rows are whole numbers of blocks; a block holds [`block_len`](Self::block_len) values in
/// [`block_bytes`](Self::block_bytes) bytes, little-endian. The names and the numbers are those of ggml.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// 16-bit floats of IEEE 754.
    F16,
    /// The upper halves of 32-bit floats.
    Bf16,
    /// 4 bits and a scale for each 32.
    Q4_0,
    /// 4 bits, a scale and an offset for each 32.
    Q4_1,
    /// 5 bits and a scale for each 32.
    Q5_0,
    /// 5 bits, a scale and an offset for each 32.
    Q5_1,
    /// 8 bits and a scale for each 32.
    Q8_0,
    /// 2 bits, with 4-bit scales and offsets for each 16 of 256.
    Q2K,
    /// 3 bits, with 6-bit scales for each 16 of 256.
    Q3K,
    /// 4 bits, with 6-bit scales and offsets for each 32 of 256.
    Q4K,
    /// 5 bits, with 6-bit scales and offsets for each 32 of 256.
    Q5K,
    /// 6 bits, with 8-bit scales for each 16 of 256.
    Q6K,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 13] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2K,
        Self::Q3K,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    /// Returns the number, the name, the values of a block, and its bytes.
    const fn facts(self) -> (u32, &'static str, usize, usize) {
        match self {
            Self::F32 => (0, "F32", 1, 4),
            Self::F16 => (1, "F16", 1, 2),
            Self::Bf16 => (30, "BF16", 1, 2),
            Self::Q4_0 => (2, "Q4_0", 32, 18),
            Self::Q4_1 => (3, "Q4_1", 32, 20),
            Self::Q5_0 => (6, "Q5_0", 32, 22),
            Self::Q5_1 => (7, "Q5_1", 32, 24),
            Self::Q8_0 => (8, "Q8_0", 32, 34),
            Self::Q2K => (10, "Q2_K", 256, 84),
            Self::Q3K => (11, "Q3_K", 256, 110),
            Self::Q4K => (12, "Q4_K", 256, 144),
            Self::Q5K => (13, "Q5_K", 256, 176),
            Self::Q6K => (14, "Q6_K", 256, 210),
        }
    }

    /// Returns the format that ggml numbers `id`; `None` for one that is not supported.
    pub fn from_ggml(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.ggml() == id)
    }

    /// Returns the number that ggml gives the format.
    pub fn ggml(self) -> u32 {
        self.facts().0
    }

    /// Returns the name of the format, such as `Q4_K`.
    pub fn name(self) -> &'static str {
        self.facts().1
    }

    /// Returns the number of values in a block.
    pub fn block_len(self) -> usize {
        self.facts().2
    }

    /// Returns the number of bytes of a block.
    pub fn block_bytes(self) -> usize {
        self.facts().3
    }

    /// Returns the number of bytes that `values` values take; `None` if they are no whole number of blocks, or if the
    /// number of bytes does not fit.
    pub fn bytes_for(self, values: usize) -> Option<usize> {
        values.is_multiple_of(self.block_len()).then(|| (values / self.block_len()).checked_mul(self.block_bytes()))?
    }

    /// Returns whether each value is stored by itself.
    pub fn is_float(self) -> bool {
        self.block_len() == 1
    }

    /// Writes the values of whole blocks.
    ///
    /// # Panics
    /// If `bytes` are not the whole blocks that hold exactly as many values as `values` has room for.
    pub fn dequantise(self, bytes: &[u8], values: &mut [f32]) {
        assert_eq!(Some(bytes.len()), self.bytes_for(values.len()), "bytes of {} values of {self}", values.len());
        let blocks = bytes.chunks_exact(self.block_bytes()).zip(values.chunks_exact_mut(self.block_len()));
        blocks.for_each(|(block, values)| self.block(block, values));
    }

    /// Returns whether the values of whole blocks are finite. Of blocks with scales it looks at those.
    pub fn is_finite(self, bytes: &[u8]) -> bool {
        let finite = |block: &[u8], at: usize| u16::from_le_bytes([block[at], block[at + 1]]) & 0x7c00 != 0x7c00;
        let scales: &[usize] = match self {
            Self::F32 => {
                let (words, _) = bytes.as_chunks();
                return words.iter().all(|word| f32::from_le_bytes(*word).is_finite());
            }
            Self::Bf16 => {
                let (words, _) = bytes.as_chunks();
                return words.iter().all(|word| bf16::from_le_bytes(*word).is_finite());
            }
            Self::F16 | Self::Q4_0 | Self::Q5_0 | Self::Q8_0 => &[0],
            Self::Q4_1 | Self::Q5_1 | Self::Q4K | Self::Q5K => &[0, 2],
            Self::Q2K => &[80, 82],
            Self::Q3K => &[108],
            Self::Q6K => &[208],
        };
        bytes.chunks_exact(self.block_bytes()).all(|block| scales.iter().all(|&at| finite(block, at)))
    }

    /// Writes the values of one block.
    fn block(self, b: &[u8], out: &mut [f32]) {
        match self {
            Self::F32 => out[0] = f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            Self::F16 => out[0] = half(b, 0),
            Self::Bf16 => out[0] = bf16::from_le_bytes([b[0], b[1]]).to_f32(),
            Self::Q4_0 => {
                let d = half(b, 0);
                fill(out, |i| d * (f32::from(nibble(&b[2..], i)) - 8.0));
            }
            Self::Q4_1 => {
                let (d, m) = (half(b, 0), half(b, 2));
                fill(out, |i| d * f32::from(nibble(&b[4..], i)) + m);
            }
            Self::Q5_0 => {
                let (d, high) = (half(b, 0), word(b, 2));
                fill(out, |i| d * (f32::from(nibble(&b[6..], i) | fifth(high, i)) - 16.0));
            }
            Self::Q5_1 => {
                let (d, m, high) = (half(b, 0), half(b, 2), word(b, 4));
                fill(out, |i| d * f32::from(nibble(&b[8..], i) | fifth(high, i)) + m);
            }
            Self::Q8_0 => {
                let d = half(b, 0);
                fill(out, |i| d * f32::from(b[2 + i].cast_signed()));
            }
            Self::Q2K => {
                let (d, min) = (half(b, 80), half(b, 82));
                fill(out, |i| {
                    let (scale, q) = (b[i / 16], b[16 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3);
                    d * f32::from(scale & 15) * f32::from(q) - min * f32::from(scale >> 4)
                });
            }
            Self::Q3K => {
                let d = half(b, 108);
                fill(out, |i| {
                    let low = b[32 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
                    let high = b[i % 32] >> (i / 32) & 1;
                    d * f32::from(q3_scale(&b[96..108], i / 16)) * (f32::from(low | high << 2) - 4.0)
                });
            }
            Self::Q4K => {
                let (d, min) = (half(b, 0), half(b, 2));
                fill(out, |i| {
                    let (scale, offset) = k_scales(&b[4..16], i / 32);
                    d * f32::from(scale) * f32::from(k_nibble(&b[16..], i)) - min * f32::from(offset)
                });
            }
            Self::Q5K => {
                let (d, min) = (half(b, 0), half(b, 2));
                fill(out, |i| {
                    let (scale, offset) = k_scales(&b[4..16], i / 32);
                    let q = k_nibble(&b[48..], i) | (b[16 + i % 32] >> (i / 32) & 1) << 4;
                    d * f32::from(scale) * f32::from(q) - min * f32::from(offset)
                });
            }
            Self::Q6K => {
                let d = half(b, 208);
                fill(out, |i| d * f32::from(b[192 + i / 16].cast_signed()) * (f32::from(q6(b, i)) - 32.0));
            }
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

fn fill(out: &mut [f32], value: impl Fn(usize) -> f32) {
    out.iter_mut().enumerate().for_each(|(i, out)| *out = value(i));
}

/// Returns the f16 at `at`.
pub(crate) fn half(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// Returns the 32 bits at `at`.
#[inline(always)]
pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Returns value `i` of 32, of which the lower nibbles hold the first half.
pub(crate) fn nibble(bytes: &[u8], i: usize) -> u8 {
    bytes[i % 16] >> (i / 16 * 4) & 15
}

/// Returns the fifth bit of value `i` of 32, in its place.
pub(crate) fn fifth(high: u32, i: usize) -> u8 {
    ((high >> i & 1) << 4) as u8
}

/// Returns value `i` of 256, of which the lower nibbles hold each even 32.
pub(crate) fn k_nibble(bytes: &[u8], i: usize) -> u8 {
    bytes[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15
}

/// Returns the scale and the offset, 6 bits each, of part `i` of the 8 of a block of Q4_K or Q5_K.
#[inline(always)]
pub(crate) fn k_scales(bytes: &[u8], i: usize) -> (u8, u8) {
    if i < 4 {
        return (bytes[i] & 63, bytes[i + 4] & 63);
    }
    let low = bytes[i + 4];
    (low & 15 | bytes[i - 4] >> 6 << 4, low >> 4 | bytes[i] >> 6 << 4)
}

/// Returns the scale of part `i` of the 16 of a block of Q3_K.
fn q3_scale(bytes: &[u8], i: usize) -> i8 {
    let low = bytes[i % 8] >> (i / 8 * 4) & 15;
    let high = bytes[8 + i % 4] >> (i / 4 * 2) & 3;
    (low | high << 4).cast_signed() - 32
}

/// Returns value `i` of a block of Q6_K, from 0 to 63.
pub(crate) fn q6(block: &[u8], i: usize) -> u8 {
    let (part, i) = (i / 128, i % 128);
    let low = block[part * 64 + i % 64] >> (i / 64 * 4) & 15;
    let high = block[128 + part * 32 + i % 32] >> (i / 32 * 2) & 3;
    low | high << 4
}
