//! Vectors of f32 in the widest registers of the processor at hand, which is found out at run time.

use half::{bf16, f16};

/// A set of vector instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Isa {
    /// Instructions that every processor has.
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Isa {
    /// Returns the sets that this processor has, the best last.
    pub(crate) fn available() -> impl DoubleEndedIterator<Item = Self> {
        let all = [
            (Self::Portable, true),
            #[cfg(target_arch = "x86_64")]
            (
                Self::Avx2,
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c"),
            ),
            #[cfg(target_arch = "x86_64")]
            (Self::Avx512, is_x86_feature_detected!("avx512f")),
            #[cfg(target_arch = "aarch64")]
            (Self::Neon, std::arch::is_aarch64_feature_detected!("neon")),
        ];
        all.into_iter().filter_map(|(isa, there)| there.then_some(isa))
    }

    /// Returns the best set that this processor has.
    pub(crate) fn best() -> Self {
        Self::available().next_back().unwrap_or(Self::Portable)
    }

    /// Runs the kernel with these instructions.
    pub(crate) fn run<K: Kernel>(self, kernel: K) {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f")]
        unsafe fn avx512<K: Kernel>(kernel: K) {
            // SAFETY: the instructions are there where this function may be called.
            unsafe { kernel.run::<Avx512>() }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn avx2<K: Kernel>(kernel: K) {
            // SAFETY: the instructions are there where this function may be called.
            unsafe { kernel.run::<Avx2>() }
        }
        #[cfg(target_arch = "aarch64")]
        #[target_feature(enable = "neon")]
        unsafe fn neon<K: Kernel>(kernel: K) {
            // SAFETY: the instructions are there where this function may be called.
            unsafe { kernel.run::<Neon>() }
        }
        // SAFETY: a value other than `Portable` comes from `available`, which looked.
        unsafe {
            match self {
                Self::Portable => kernel.run::<Portable>(),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => avx2(kernel),
                #[cfg(target_arch = "x86_64")]
                Self::Avx512 => avx512(kernel),
                #[cfg(target_arch = "aarch64")]
                Self::Neon => neon(kernel),
            }
        }
    }
}

/// Work that is compiled for every set of vector instructions.
pub(crate) trait Kernel {
    /// Does the work. Must be marked `#[inline(always)]`, like everything it calls with `S`: only then is it compiled
    /// for the instructions of `S`.
    ///
    /// # Safety
    /// The processor has the instructions of `S`.
    unsafe fn run<S: Simd>(self);
}

/// A register of `ELEMENTS` f32 and the operations on it.
///
/// # Safety
/// Every function may be called only where the processor has the instructions; pointers must be good for `ELEMENTS`
/// elements.
pub trait Simd: Copy {
    type V: Copy;
    const ELEMENTS: usize;
    /// Rows of the other factor that a product of four rows keeps in registers.
    const ROWS: usize;

    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(p: *const f32) -> Self::V;
    unsafe fn load_bf16(p: *const bf16) -> Self::V;
    unsafe fn load_f16(p: *const f16) -> Self::V;
    unsafe fn store(p: *mut f32, v: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// Computes `a * b + c`.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Returns the smaller; `b` where one is NaN.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// Returns the larger; `b` where one is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// Returns the nearest whole number.
    unsafe fn round(v: Self::V) -> Self::V;
    /// Computes `2^v` of whole numbers from -126 to 127.
    unsafe fn exp2(v: Self::V) -> Self::V;

    /// Makes the processor fetch what lies at `_p`, if anything does, into its second-level cache, where it displaces
    /// nothing that is in use.
    #[inline(always)]
    unsafe fn prefetch<T>(_p: *const T) {}

    /// Returns the sum of a register's elements.
    #[inline(always)]
    unsafe fn sum(v: Self::V) -> f32 {
        // SAFETY: as promised by the caller.
        let all = unsafe { elements::<Self>(v) };
        all[..Self::ELEMENTS].iter().sum()
    }

    /// Returns the sums of four registers.
    #[inline(always)]
    unsafe fn sum4(v: [Self::V; 4]) -> [f32; 4] {
        // SAFETY: as promised by the caller.
        v.map(|v| unsafe { Self::sum(v) })
    }
}

/// The largest number of elements in a register of any processor.
pub(crate) const MAX_ELEMENTS: usize = 16;

/// Returns the elements of a register, followed by zeros.
#[inline(always)]
pub(crate) unsafe fn elements<S: Simd>(v: S::V) -> [f32; MAX_ELEMENTS] {
    let mut out = [0.0; MAX_ELEMENTS];
    // SAFETY: there is room for the longest register.
    unsafe { S::store(out.as_mut_ptr(), v) };
    out
}

/// A number type that weights, keys and values are kept in: f32, bf16 or f16.
pub trait Element: Load + Copy + Send + Sync + 'static {
    /// Returns the value.
    fn to_f32(self) -> f32;
    /// Returns the nearest number of this type.
    fn from_f32(x: f32) -> Self;
}

/// The part of [`Element`] that only this crate sees.
pub trait Load: Sized {
    /// Loads [`Simd::ELEMENTS`] elements.
    ///
    /// # Safety
    /// The conditions of [`Simd`].
    unsafe fn load<S: Simd>(p: *const Self) -> S::V;
}

impl Load for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const Self) -> S::V {
        // SAFETY: as promised by the caller.
        unsafe { S::load(p) }
    }
}

impl Element for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        x
    }
}

impl Load for bf16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const Self) -> S::V {
        // SAFETY: as promised by the caller.
        unsafe { S::load_bf16(p) }
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        Self::from_f32(x)
    }
}

impl Load for f16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const Self) -> S::V {
        // SAFETY: as promised by the caller.
        unsafe { S::load_f16(p) }
    }
}

impl Element for f16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self.to_f32()
    }

    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        Self::from_f32(x)
    }
}

/// Returns the first `count` elements behind `p`, fewer than a register holds, and zeros.
#[inline(always)]
pub(crate) unsafe fn load_part<S: Simd, T: Element>(p: *const T, count: usize) -> S::V {
    let mut whole = [0.0; MAX_ELEMENTS];
    for (i, x) in whole.iter_mut().enumerate().take(count) {
        // SAFETY: the caller promises `count` elements.
        *x = unsafe { *p.add(i) }.to_f32();
    }
    // SAFETY: the array holds the longest register.
    unsafe { S::load(whole.as_ptr()) }
}

/// Computes `e^v`, to 2 units in the last place; what would be smaller than 1e-38 is about that.
#[inline(always)]
pub(crate) unsafe fn exp<S: Simd>(v: S::V) -> S::V {
    // SAFETY: as promised by the caller.
    unsafe {
        // The order of the operands lets NaN through.
        let v = S::max(S::splat(-87.3), S::min(S::splat(88.3), v));
        let n = S::round(S::mul(v, S::splat(std::f32::consts::LOG2_E)));
        // ln 2 in two parts, the first of which has few digits: the product with a small whole number is exact.
        let r = S::fma(n, S::splat(-0.693_359_4), v);
        let r = S::fma(n, S::splat(2.121_944_4e-4), r);
        let mut series = S::splat(1.987_569_1e-4);
        for factor in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
            series = S::fma(series, r, S::splat(factor));
        }
        let fraction = S::add(S::fma(series, S::mul(r, r), r), S::splat(1.0));
        S::mul(fraction, S::exp2(n))
    }
}

/// One element at a time where the compiler finds nothing better.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Portable {
    #[inline(always)]
    fn zip(a: [f32; 8], b: [f32; 8], f: impl Fn(f32, f32) -> f32) -> [f32; 8] {
        std::array::from_fn(|i| f(a[i], b[i]))
    }
}

impl Simd for Portable {
    type V = [f32; 8];
    const ELEMENTS: usize = 8;
    const ROWS: usize = 1;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        [x; 8]
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        // SAFETY: the caller promises eight elements.
        unsafe { p.cast::<[f32; 8]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_bf16(p: *const bf16) -> Self::V {
        // SAFETY: the caller promises eight elements.
        unsafe { p.cast::<[bf16; 8]>().read_unaligned() }.map(Element::to_f32)
    }

    #[inline(always)]
    unsafe fn load_f16(p: *const f16) -> Self::V {
        // SAFETY: the caller promises eight elements.
        unsafe { p.cast::<[f16; 8]>().read_unaligned() }.map(Element::to_f32)
    }

    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        // SAFETY: the caller promises room for eight elements.
        unsafe { p.cast::<[f32; 8]>().write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        Self::zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        Self::zip(a, b, |a, b| a - b)
    }

    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        Self::zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        Self::zip(a, b, |a, b| a / b)
    }

    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // Without the instruction a fused product is a slow call.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        Self::zip(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        Self::zip(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    unsafe fn round(v: Self::V) -> Self::V {
        v.map(f32::round_ties_even)
    }

    #[inline(always)]
    unsafe fn exp2(v: Self::V) -> Self::V {
        v.map(|x| f32::from_bits(((x as i32 + 127) << 23) as u32))
    }
}

/// Registers of 512 bits.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

/// Registers of 256 bits, with fused products and conversions of f16.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

/// The functions that are one instruction each.
macro_rules! instructions {
    ($($name:ident($($arg:ident),+) = $body:expr;)+) => {
        $(
            #[inline(always)]
            unsafe fn $name($($arg: Self::V),+) -> Self::V {
                // SAFETY: the caller promises that the processor has the instruction.
                unsafe { $body }
            }
        )+
    };
}

/// The functions that read and write memory.
macro_rules! memory {
    ($($name:ident($p:ident: $type:ty) = $body:expr;)+) => {
        $(
            #[inline(always)]
            unsafe fn $name($p: *const $type) -> Self::V {
                // SAFETY: the caller promises the instruction, and `ELEMENTS` elements behind the pointer.
                unsafe { $body }
            }
        )+
    };
}

#[cfg(target_arch = "x86_64")]
mod x86;

/// Registers of 128 bits.
#[cfg(target_arch = "aarch64")]
#[derive(Clone, Copy)]
pub(crate) struct Neon;

#[cfg(target_arch = "aarch64")]
mod aarch64;
