//! What the elements of two rows are while they are multiplied.

use std::marker::PhantomData;

use crate::simd::{Element, Simd, load_part};

/// How elements of two rows are loaded, and their products summed up.
///
/// # Safety
/// That of [`Simd`]: every function may be called only where the processor has the instructions; pointers must be good
/// for `ELEMENTS` elements, or for `count` where that is given, which is smaller.
pub(crate) trait Operands<S: Simd> {
    type X: Copy;
    type W: Copy;
    type Register: Copy;
    /// Elements in a register.
    const ELEMENTS: usize;

    unsafe fn x(p: *const Self::X) -> Self::Register;
    unsafe fn w(p: *const Self::W) -> Self::Register;
    /// Loads `count` elements, and zeros behind them.
    unsafe fn x_part(p: *const Self::X, count: usize) -> Self::Register;
    unsafe fn w_part(p: *const Self::W, count: usize) -> Self::Register;
    /// Adds the products to the elements of a sum.
    unsafe fn add_products(x: Self::Register, w: Self::Register, sum: S::V) -> S::V;
}

/// Both in f32, to which weights of another type are widened.
pub(crate) struct InF32<W>(PhantomData<W>);

impl<S: Simd, W: Element> Operands<S> for InF32<W> {
    type X = f32;
    type W = W;
    type Register = S::V;
    const ELEMENTS: usize = S::ELEMENTS;

    #[inline(always)]
    unsafe fn x(p: *const f32) -> S::V {
        // SAFETY: as promised by the caller.
        unsafe { S::load(p) }
    }

    #[inline(always)]
    unsafe fn w(p: *const W) -> S::V {
        // SAFETY: as promised by the caller.
        unsafe { W::load::<S>(p) }
    }

    #[inline(always)]
    unsafe fn x_part(p: *const f32, count: usize) -> S::V {
        // SAFETY: as promised by the caller.
        unsafe { load_part::<S, f32>(p, count) }
    }

    #[inline(always)]
    unsafe fn w_part(p: *const W, count: usize) -> S::V {
        // SAFETY: as promised by the caller.
        unsafe { load_part::<S, W>(p, count) }
    }

    #[inline(always)]
    unsafe fn add_products(x: S::V, w: S::V, sum: S::V) -> S::V {
        // SAFETY: as promised by the caller.
        unsafe { S::fma(x, w, sum) }
    }
}

/// Returns whether this processor multiplies pairs of bf16.
pub(crate) fn has_pairs() -> bool {
    #[cfg(target_arch = "x86_64")]
    let there = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    let there = false;
    there
}

/// Both in bf16, multiplied in pairs by one instruction and summed up in f32.
#[cfg(target_arch = "x86_64")]
pub(crate) mod pairs {
    use std::arch::x86_64::*;

    use half::bf16;

    use super::Operands;
    use crate::{
        linear::Columns,
        parallel::{SharedSlice, parallel},
        simd::{Avx512, Element},
    };

    pub(crate) struct Pairs;

    /// # Safety
    /// The processor has the instructions: [`has_pairs`](super::has_pairs).
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(crate) unsafe fn run(columns: Columns<'_, bf16, bf16>) {
        // SAFETY: as promised by the caller.
        unsafe { columns.run_with::<Avx512, Pairs>() }
    }

    /// Returns the nearest numbers in bf16.
    pub(crate) fn rounded(x: &[f32]) -> Vec<bf16> {
        const PART: usize = 1 << 14;
        let mut all = vec![bf16::ZERO; x.len()];
        let shared = SharedSlice::new(&mut all);
        parallel(x.len().div_ceil(PART), x.len(), |part| {
            let x = &x[part * PART..x.len().min((part + 1) * PART)];
            // SAFETY: the parts do not overlap.
            let all = unsafe { shared.slice(part * PART, x.len()) };
            all.iter_mut().zip(x).for_each(|(all, x)| *all = Element::from_f32(*x));
        });
        all
    }

    impl Operands<Avx512> for Pairs {
        type X = bf16;
        type W = bf16;
        type Register = __m512bh;
        const ELEMENTS: usize = 32;

        #[inline(always)]
        unsafe fn x(p: *const bf16) -> __m512bh {
            // SAFETY: as promised by the caller; the types are two views of one register.
            unsafe { std::mem::transmute(_mm512_loadu_si512(p.cast())) }
        }

        #[inline(always)]
        unsafe fn w(p: *const bf16) -> __m512bh {
            // SAFETY: as promised by the caller.
            unsafe { Self::x(p) }
        }

        #[inline(always)]
        unsafe fn x_part(p: *const bf16, count: usize) -> __m512bh {
            // SAFETY: as promised by the caller; what the mask leaves out is not read.
            unsafe { std::mem::transmute(_mm512_maskz_loadu_epi16((1 << count) - 1, p.cast())) }
        }

        #[inline(always)]
        unsafe fn w_part(p: *const bf16, count: usize) -> __m512bh {
            // SAFETY: as promised by the caller.
            unsafe { Self::x_part(p, count) }
        }

        #[inline(always)]
        unsafe fn add_products(x: __m512bh, w: __m512bh, sum: __m512) -> __m512 {
            // SAFETY: as promised by the caller.
            unsafe { _mm512_dpbf16_ps(sum, x, w) }
        }
    }
}
