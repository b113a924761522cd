//! The registers of 64-bit Arm processors.

use std::arch::aarch64::*;

use half::{bf16, f16};

use super::{Element, Neon, Simd};

impl Simd for Neon {
    type V = float32x4_t;
    const ELEMENTS: usize = 4;
    const ROWS: usize = 6;

    instructions! {
        add(a, b) = vaddq_f32(a, b);
        sub(a, b) = vsubq_f32(a, b);
        mul(a, b) = vmulq_f32(a, b);
        div(a, b) = vdivq_f32(a, b);
        fma(a, b, c) = vfmaq_f32(c, a, b);
        min(a, b) = vminq_f32(a, b);
        max(a, b) = vmaxq_f32(a, b);
        round(v) = vrndnq_f32(v);
        exp2(v) = vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(vcvtnq_s32_f32(v), vdupq_n_s32(127))));
    }

    memory! {
        load(p: f32) = vld1q_f32(p);
        load_bf16(p: bf16) = vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(vld1_u16(p.cast()))));
        load_f16(p: f16) = vld1q_f32(p.cast::<[f16; 4]>().read_unaligned().map(Element::to_f32).as_ptr());
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        // SAFETY: the caller promises that the processor has the instruction.
        unsafe { vdupq_n_f32(x) }
    }

    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        // SAFETY: the caller promises the instruction and the room.
        unsafe { vst1q_f32(p, v) }
    }

    #[inline(always)]
    unsafe fn sum(v: Self::V) -> f32 {
        // SAFETY: the caller promises that the processor has the instruction.
        unsafe { vaddvq_f32(v) }
    }
}
