//! [`Lanes`] of x86-64 processors.

use std::arch::x86_64::*;

use super::lanes::Lanes;

/// One register of 512 bits, with products of bytes.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Vnni;

/// Two registers of 256 bits, with products of bytes.
#[derive(Clone, Copy)]
pub(crate) struct AvxVnni;

/// Two registers of 256 bits.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

/// The functions of [`Lanes`]; the caller promises that the processor has the instructions, and the memory.
macro_rules! functions {
    ($($name:ident($($arg:ident: $type:ty),+) -> $out:ty = $body:expr;)+) => {
        $(
            #[inline(always)]
            unsafe fn $name($($arg: $type),+) -> $out {
                // SAFETY: as the caller promises.
                unsafe { $body }
            }
        )+
    };
}

impl Lanes for Avx512Vnni {
    type I = __m512i;
    type F = __m512;
    const ROWS: usize = 8;

    functions! {
        load(p: *const u8) -> __m512i = _mm512_loadu_si512(p.cast());
        splat(x: i32) -> __m512i = _mm512_set1_epi32(x);
        load_u8(p: *const u8) -> __m512i = _mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()));
        load_i8(p: *const u8) -> __m512i = _mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast()));
        and(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        or(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        add(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        mul(a: __m512i, b: __m512i) -> __m512i = _mm512_mullo_epi32(a, b);
        shr(a: __m512i, count: u32) -> __m512i = _mm512_srl_epi32(a, _mm_cvtsi32_si128(count.cast_signed()));
        shl(a: __m512i, count: u32) -> __m512i = _mm512_sll_epi32(a, _mm_cvtsi32_si128(count.cast_signed()));
        to_float(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
        splat_float(x: f32) -> __m512 = _mm512_set1_ps(x);
        load_f16(p: *const u8) -> __m512 = _mm512_cvtph_ps(_mm256_loadu_si256(p.cast()));
        mul_float(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        store(p: *mut f32, a: __m512) -> () = _mm512_storeu_ps(p, a);
    }

    #[inline(always)]
    unsafe fn dot<const WIDE: bool>(sum: __m512i, w: __m512i, x: *const i8) -> __m512i {
        // SAFETY: as the caller promises.
        unsafe { _mm512_dpbusd_epi32(sum, w, _mm512_set1_epi32(x.cast::<i32>().read_unaligned())) }
    }
}

/// The same for two halves.
macro_rules! halves {
    ($($name:ident($($arg:ident: $type:ty),+) -> $out:ty = $half:expr;)+) => {
        $(
            #[inline(always)]
            unsafe fn $name($($arg: [$type; 2]),+) -> [$out; 2] {
                // SAFETY: as the caller promises.
                unsafe { [$half($($arg[0]),+), $half($($arg[1]),+)] }
            }
        )+
    };
}

macro_rules! avx2 {
    ($name:ident, $dot:expr) => {
        impl Lanes for $name {
            type I = [__m256i; 2];
            type F = [__m256; 2];
            const ROWS: usize = 2;

            functions! {
                load(p: *const u8) -> [__m256i; 2] =
                    [_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(32).cast())];
                splat(x: i32) -> [__m256i; 2] = [_mm256_set1_epi32(x); 2];
                load_u8(p: *const u8) -> [__m256i; 2] = [
                    _mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast())),
                    _mm256_cvtepu8_epi32(_mm_loadl_epi64(p.add(8).cast())),
                ];
                load_i8(p: *const u8) -> [__m256i; 2] = [
                    _mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast())),
                    _mm256_cvtepi8_epi32(_mm_loadl_epi64(p.add(8).cast())),
                ];
                splat_float(x: f32) -> [__m256; 2] = [_mm256_set1_ps(x); 2];
                load_f16(p: *const u8) -> [__m256; 2] = [
                    _mm256_cvtph_ps(_mm_loadu_si128(p.cast())),
                    _mm256_cvtph_ps(_mm_loadu_si128(p.add(16).cast())),
                ];
                store(p: *mut f32, a: [__m256; 2]) -> () = {
                    _mm256_storeu_ps(p, a[0]);
                    _mm256_storeu_ps(p.add(8), a[1]);
                };
                shr(a: [__m256i; 2], count: u32) -> [__m256i; 2] = {
                    let count = _mm_cvtsi32_si128(count.cast_signed());
                    [_mm256_srl_epi32(a[0], count), _mm256_srl_epi32(a[1], count)]
                };
                shl(a: [__m256i; 2], count: u32) -> [__m256i; 2] = {
                    let count = _mm_cvtsi32_si128(count.cast_signed());
                    [_mm256_sll_epi32(a[0], count), _mm256_sll_epi32(a[1], count)]
                };
            }
            halves! {
                and(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256;
                or(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256;
                add(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi32;
                mul(a: __m256i, b: __m256i) -> __m256i = _mm256_mullo_epi32;
                to_float(a: __m256i) -> __m256 = _mm256_cvtepi32_ps;
                mul_float(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps;
                fma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps;
            }

            #[inline(always)]
            unsafe fn dot<const WIDE: bool>(sum: Self::I, w: Self::I, x: *const i8) -> Self::I {
                // SAFETY: as the caller promises.
                unsafe {
                    let x = _mm256_set1_epi32(x.cast::<i32>().read_unaligned());
                    [$dot(sum[0], w[0], x, WIDE), $dot(sum[1], w[1], x, WIDE)]
                }
            }
        }
    };
}

avx2!(AvxVnni, vnni);
avx2!(Avx2, pairs);

#[inline(always)]
unsafe fn vnni(sum: __m256i, w: __m256i, x: __m256i, _wide: bool) -> __m256i {
    // SAFETY: as the caller promises.
    unsafe { _mm256_dpbusd_avx_epi32(sum, w, x) }
}

/// Products in pairs. Two products of 8 unsigned bits and 8 signed ones need not fit into 16 bits, but two of 7 and 8 do:
/// where the weights use all bits, their highest one is multiplied by itself.
#[inline(always)]
unsafe fn pairs(sum: __m256i, w: __m256i, x: __m256i, wide: bool) -> __m256i {
    // SAFETY: as the caller promises.
    unsafe {
        let ones = _mm256_set1_epi16(1);
        if !wide {
            return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), ones));
        }
        let low = _mm256_maddubs_epi16(_mm256_and_si256(w, _mm256_set1_epi8(127)), x);
        let high = _mm256_and_si256(_mm256_srli_epi16::<7>(w), _mm256_set1_epi8(1));
        let high = _mm256_madd_epi16(_mm256_maddubs_epi16(high, x), _mm256_set1_epi16(128));
        _mm256_add_epi32(sum, _mm256_add_epi32(_mm256_madd_epi16(low, ones), high))
    }
}
