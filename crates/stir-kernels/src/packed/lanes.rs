//! One register row: sixteen 32-bit numbers, one for each row of a tile of weights.

/// Sixteen integers or floats, and what the products of a tile need of them.
///
/// # Safety
/// Every function may be called only where the processor has the instructions; pointers must be good for what is read
/// or written.
pub(crate) trait Lanes: Copy {
    type I: Copy;
    type F: Copy;
    /// The largest number of rows of activations that are multiplied at once: 1, 2, 4 or 8.
    const ROWS: usize;

    /// Loads 64 bytes.
    unsafe fn load(p: *const u8) -> Self::I;
    unsafe fn splat(x: i32) -> Self::I;
    /// Loads 16 bytes, each into a number of its own.
    unsafe fn load_u8(p: *const u8) -> Self::I;
    /// Loads 16 signed bytes, each into a number of its own.
    unsafe fn load_i8(p: *const u8) -> Self::I;
    unsafe fn and(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn or(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn add(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn mul(a: Self::I, b: Self::I) -> Self::I;
    /// Shifts zeros in from the left.
    unsafe fn shr(a: Self::I, count: u32) -> Self::I;
    unsafe fn shl(a: Self::I, count: u32) -> Self::I;
    /// Adds the products of four unsigned bytes with the four signed bytes at `x`, which are the same for every number.
    /// Where the weights use all 8 bits, `WIDE` says so.
    unsafe fn dot<const WIDE: bool>(sum: Self::I, w: Self::I, x: *const i8) -> Self::I;

    unsafe fn to_float(a: Self::I) -> Self::F;
    unsafe fn splat_float(x: f32) -> Self::F;
    /// Loads 16 f16.
    unsafe fn load_f16(p: *const u8) -> Self::F;
    unsafe fn mul_float(a: Self::F, b: Self::F) -> Self::F;
    /// Computes `a * b + c`.
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    unsafe fn store(p: *mut f32, a: Self::F);
}

/// Work that is compiled for every kind of [`Lanes`].
pub(crate) trait Work {
    type Output;
    /// Does the work. Must be marked `#[inline(always)]`, like everything it calls with `L`.
    ///
    /// # Safety
    /// The processor has the instructions of `L`.
    unsafe fn run<L: Lanes>(self) -> Self::Output;
}

/// A set of instructions for integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Integers {
    /// Instructions that every processor has.
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

impl Integers {
    /// Returns the sets that this processor has, the best last.
    pub(crate) fn available() -> impl DoubleEndedIterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let avx2 =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        let all = [
            (Self::Portable, true),
            #[cfg(target_arch = "x86_64")]
            (Self::Avx2, avx2),
            #[cfg(target_arch = "x86_64")]
            (Self::AvxVnni, avx2 && is_x86_feature_detected!("avxvnni")),
            #[cfg(target_arch = "x86_64")]
            (
                Self::Avx512Vnni,
                avx2 && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vnni"),
            ),
        ];
        all.into_iter().filter_map(|(set, there)| there.then_some(set))
    }

    /// Returns the best set that this processor has.
    pub(crate) fn best() -> Self {
        Self::available().next_back().unwrap_or(Self::Portable)
    }

    /// Returns the largest number of rows that are multiplied at once.
    pub(crate) fn rows(self) -> usize {
        struct Rows;
        impl Work for Rows {
            type Output = usize;
            #[inline(always)]
            unsafe fn run<L: Lanes>(self) -> usize {
                L::ROWS
            }
        }
        self.run(Rows)
    }

    /// Does the work with these instructions.
    pub(crate) fn run<W: Work>(self, work: W) -> W::Output {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma,f16c")]
        unsafe fn avx512<W: Work>(work: W) -> W::Output {
            // SAFETY: the instructions are there where this function may be called.
            unsafe { work.run::<super::x86::Avx512Vnni>() }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avxvnni,avx2,fma,f16c")]
        unsafe fn avx_vnni<W: Work>(work: W) -> W::Output {
            // SAFETY: the instructions are there where this function may be called.
            unsafe { work.run::<super::x86::AvxVnni>() }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn avx2<W: Work>(work: W) -> W::Output {
            // SAFETY: the instructions are there where this function may be called.
            unsafe { work.run::<super::x86::Avx2>() }
        }
        // SAFETY: a value other than `Portable` comes from `available`, which looked.
        unsafe {
            match self {
                Self::Portable => work.run::<Portable>(),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => avx2(work),
                #[cfg(target_arch = "x86_64")]
                Self::AvxVnni => avx_vnni(work),
                #[cfg(target_arch = "x86_64")]
                Self::Avx512Vnni => avx512(work),
            }
        }
    }
}

/// Arrays, which the compiler turns into whatever every processor has.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Portable {
    #[inline(always)]
    fn zip<T: Copy>(a: [T; 16], b: [T; 16], f: impl Fn(T, T) -> T) -> [T; 16] {
        std::array::from_fn(|i| f(a[i], b[i]))
    }
}

impl Lanes for Portable {
    type I = [i32; 16];
    type F = [f32; 16];
    const ROWS: usize = 1;

    #[inline(always)]
    unsafe fn load(p: *const u8) -> Self::I {
        // SAFETY: the caller promises 64 bytes.
        let bytes = unsafe { p.cast::<[[u8; 4]; 16]>().read() };
        bytes.map(i32::from_le_bytes)
    }

    #[inline(always)]
    unsafe fn splat(x: i32) -> Self::I {
        [x; 16]
    }

    #[inline(always)]
    unsafe fn load_u8(p: *const u8) -> Self::I {
        // SAFETY: the caller promises 16 bytes.
        unsafe { p.cast::<[u8; 16]>().read() }.map(i32::from)
    }

    #[inline(always)]
    unsafe fn load_i8(p: *const u8) -> Self::I {
        // SAFETY: the caller promises 16 bytes.
        unsafe { p.cast::<[i8; 16]>().read() }.map(i32::from)
    }

    #[inline(always)]
    unsafe fn and(a: Self::I, b: Self::I) -> Self::I {
        Self::zip(a, b, |a, b| a & b)
    }

    #[inline(always)]
    unsafe fn or(a: Self::I, b: Self::I) -> Self::I {
        Self::zip(a, b, |a, b| a | b)
    }

    #[inline(always)]
    unsafe fn add(a: Self::I, b: Self::I) -> Self::I {
        Self::zip(a, b, i32::wrapping_add)
    }

    #[inline(always)]
    unsafe fn mul(a: Self::I, b: Self::I) -> Self::I {
        Self::zip(a, b, i32::wrapping_mul)
    }

    #[inline(always)]
    unsafe fn shr(a: Self::I, count: u32) -> Self::I {
        a.map(|a| (a.cast_unsigned() >> count).cast_signed())
    }

    #[inline(always)]
    unsafe fn shl(a: Self::I, count: u32) -> Self::I {
        a.map(|a| a << count)
    }

    #[inline(always)]
    unsafe fn dot<const WIDE: bool>(sum: Self::I, w: Self::I, x: *const i8) -> Self::I {
        // SAFETY: the caller promises four bytes.
        let x = unsafe { x.cast::<[i8; 4]>().read() }.map(i32::from);
        std::array::from_fn(|i| {
            let w = w[i].to_le_bytes().map(i32::from);
            sum[i] + w[0] * x[0] + w[1] * x[1] + w[2] * x[2] + w[3] * x[3]
        })
    }

    #[inline(always)]
    unsafe fn to_float(a: Self::I) -> Self::F {
        a.map(|a| a as f32)
    }

    #[inline(always)]
    unsafe fn splat_float(x: f32) -> Self::F {
        [x; 16]
    }

    #[inline(always)]
    unsafe fn load_f16(p: *const u8) -> Self::F {
        // SAFETY: the caller promises 32 bytes.
        unsafe { p.cast::<[[u8; 2]; 16]>().read() }.map(|bytes| half::f16::from_le_bytes(bytes).to_f32())
    }

    #[inline(always)]
    unsafe fn mul_float(a: Self::F, b: Self::F) -> Self::F {
        Self::zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        // Without the instruction a fused product is a slow call.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    unsafe fn store(p: *mut f32, a: Self::F) {
        // SAFETY: the caller promises room for 16 numbers.
        unsafe { p.cast::<[f32; 16]>().write_unaligned(a) }
    }
}
