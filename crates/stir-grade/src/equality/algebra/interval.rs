use num_bigint::BigInt;
use num_traits::ToPrimitive;

/// Bounds of a real number, in double precision. Every operation rounds outwards, so the number is certainly inside;
/// where nothing is known it is the whole line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Interval {
    pub(crate) lo: f64,
    pub(crate) hi: f64,
}

/// The error allowed to a function of the standard library, as a share of its value; far more than any has.
const SLACK: f64 = 1e-14;

impl Interval {
    pub(crate) const WHOLE: Self = Self { lo: f64::NEG_INFINITY, hi: f64::INFINITY };
    pub(crate) const ZERO: Self = Self { lo: 0.0, hi: 0.0 };
    pub(crate) const ONE: Self = Self { lo: 1.0, hi: 1.0 };

    pub(crate) fn point(value: f64) -> Self {
        Self { lo: value, hi: value }
    }

    /// Returns an interval around a value that a function of the standard library gave.
    fn around(lo: f64, hi: f64) -> Self {
        Self::checked(lo - lo.abs() * SLACK - f64::MIN_POSITIVE, hi + hi.abs() * SLACK + f64::MIN_POSITIVE)
    }

    pub(crate) fn near(value: f64) -> Self {
        Self::around(value, value)
    }

    fn checked(lo: f64, hi: f64) -> Self {
        if lo.is_nan() || hi.is_nan() { Self::WHOLE } else { Self { lo, hi } }
    }

    pub(crate) fn integer(value: &BigInt) -> Self {
        match value.to_i64().filter(|v| v.unsigned_abs() < 1 << 53) {
            Some(value) => Self::point(value as f64),
            None => value.to_f64().map_or(Self::WHOLE, |value| {
                if value.is_finite() {
                    Self { lo: value.next_down().next_down(), hi: value.next_up().next_up() }
                } else if value > 0.0 {
                    Self { lo: f64::MAX, hi: f64::INFINITY }
                } else {
                    Self { lo: f64::NEG_INFINITY, hi: f64::MIN }
                }
            }),
        }
    }

    pub(crate) fn add(self, other: Self) -> Self {
        Self::checked((self.lo + other.lo).next_down(), (self.hi + other.hi).next_up())
    }

    pub(crate) fn neg(self) -> Self {
        Self { lo: -self.hi, hi: -self.lo }
    }

    pub(crate) fn mul(self, other: Self) -> Self {
        let products = [self.lo * other.lo, self.lo * other.hi, self.hi * other.lo, self.hi * other.hi];
        // Zero times infinity.
        if products.iter().any(|p| p.is_nan()) {
            return Self::WHOLE;
        }
        let lo = products.into_iter().fold(f64::INFINITY, f64::min);
        let hi = products.into_iter().fold(f64::NEG_INFINITY, f64::max);
        Self::checked(lo.next_down(), hi.next_up())
    }

    pub(crate) fn div(self, other: Self) -> Self {
        if other.lo <= 0.0 && other.hi >= 0.0 {
            return Self::WHOLE;
        }
        self.mul(Self::checked((1.0 / other.hi).next_down(), (1.0 / other.lo).next_up()))
    }

    /// Returns whether zero is certainly not inside.
    pub(crate) fn excludes_zero(self) -> bool {
        self.lo > 0.0 || self.hi < 0.0
    }

    /// Returns the largest distance from zero.
    pub(crate) fn reach(self) -> f64 {
        self.lo.abs().max(self.hi.abs())
    }

    /// Applies an increasing function to both ends, if both are in its domain.
    pub(crate) fn rising(self, domain: (f64, f64), f: impl Fn(f64) -> f64) -> Self {
        if self.lo < domain.0 || self.hi > domain.1 {
            return Self::WHOLE;
        }
        Self::around(f(self.lo), f(self.hi))
    }

    /// Applies a function that never changes faster than its argument, with values from -1 to 1: sine and cosine.
    pub(crate) fn lazy(self, f: impl Fn(f64) -> f64) -> Self {
        let (middle, width) = (self.lo / 2.0 + self.hi / 2.0, self.hi - self.lo);
        // Beyond this the reduction of the argument may lose digits.
        if width.is_nan() || width >= 1.0 || middle.abs() > 1e6 {
            return Self { lo: -1.0, hi: 1.0 };
        }
        let value = f(middle);
        Self { lo: value - width - SLACK, hi: value + width + SLACK }
    }
}

/// Bounds of a complex number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Complex {
    pub(crate) re: Interval,
    pub(crate) im: Interval,
}

impl Complex {
    pub(crate) const WHOLE: Self = Self { re: Interval::WHOLE, im: Interval::WHOLE };

    pub(crate) fn real(re: Interval) -> Self {
        Self { re, im: Interval::ZERO }
    }

    pub(crate) fn is_real(self) -> bool {
        self.im == Interval::ZERO
    }

    pub(crate) fn add(self, other: Self) -> Self {
        if self.is_real() && other.is_real() {
            return Self::real(self.re.add(other.re));
        }
        Self { re: self.re.add(other.re), im: self.im.add(other.im) }
    }

    pub(crate) fn mul(self, other: Self) -> Self {
        if self.is_real() && other.is_real() {
            return Self::real(self.re.mul(other.re));
        }
        Self {
            re: self.re.mul(other.re).add(self.im.mul(other.im).neg()),
            im: self.re.mul(other.im).add(self.im.mul(other.re)),
        }
    }

    pub(crate) fn excludes_zero(self) -> bool {
        self.re.excludes_zero() || self.im.excludes_zero()
    }

    pub(crate) fn reach(self) -> f64 {
        self.re.reach().max(self.im.reach())
    }
}
