//! Functions of angles and their inverses.

use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::{One, Signed, ToPrimitive};

use super::{
    arithmetic::Algebra,
    atom::{Atom, Func},
    poly::{Frac, Mono, Poly},
};
use crate::equality::why::Why;

/// Largest multiple of an angle that is expanded.
const MAX_MULTIPLE: i64 = 24;

impl Algebra {
    pub(crate) fn quotient_of_angle(&mut self, func: Func, arg: &Frac) -> Result<Frac, Why> {
        let (cosine, sine) = self.angle(arg)?;
        let one = Frac::integer(1);
        match func {
            Func::Tan => self.div(&sine, &cosine),
            Func::Cot => self.div(&cosine, &sine),
            Func::Sec => self.div(&one, &cosine),
            _ => self.div(&one, &sine),
        }
    }

    /// Returns cosine and sine. Sums and small multiples are expanded, known angles evaluated, so that what is left are
    /// angles of one term with a numerator of one.
    pub(crate) fn angle(&mut self, arg: &Frac) -> Result<(Frac, Frac), Why> {
        let Some(den) = arg.den.as_integer() else { return Ok(self.sine_and_cosine(arg.clone())) };
        let (mut cosine, mut sine) = (Frac::integer(1), Frac::integer(0));
        for (mono, coefficient) in arg.num.0.clone() {
            let (c, s) = self.angle_of_term(&mono, &coefficient, &den)?;
            (cosine, sine) = self.turned(&cosine, &sine, &c, &s)?;
        }
        Ok((cosine, sine))
    }

    /// Returns cosine and sine of the sum of two angles.
    fn turned(&mut self, c: &Frac, s: &Frac, d: &Frac, t: &Frac) -> Result<(Frac, Frac), Why> {
        let (cd, st) = (self.mul(c, d)?, self.mul(s, t)?);
        let (ct, sd) = (self.mul(c, t)?, self.mul(s, d)?);
        Ok((self.add(cd, &st.neg())?, self.add(ct, &sd)?))
    }

    fn angle_of_term(&mut self, mono: &Mono, coefficient: &BigInt, den: &BigInt) -> Result<(Frac, Frac), Why> {
        let divisor = coefficient.gcd(den);
        let (num, den) = (coefficient / &divisor, den / &divisor);
        if mono.len() == 1 && mono[0].1 == 1 && self.known(mono[0].0).atom == Atom::Pi {
            return self.turn(&num, &den);
        }
        let unit =
            Frac { num: Poly(std::iter::once((mono.clone(), BigInt::one())).collect()), den: Poly::constant(den) };
        let multiple = num.to_i64().filter(|n| n.abs() <= MAX_MULTIPLE);
        let Some(multiple) = multiple else {
            let scale = Frac::integer(num.abs());
            let arg = self.mul(&unit, &scale)?;
            let (c, s) = self.sine_and_cosine(arg);
            return Ok((c, if num.is_negative() { s.neg() } else { s }));
        };
        let (c, s) = self.sine_and_cosine(unit);
        let (mut cosine, mut sine) = (Frac::integer(1), Frac::integer(0));
        for _ in 0..multiple.abs() {
            (cosine, sine) = self.turned(&cosine, &sine, &c, &s)?;
        }
        Ok((cosine, if multiple < 0 { sine.neg() } else { sine }))
    }

    /// Returns cosine and sine of `num / den` half turns.
    fn turn(&mut self, num: &BigInt, den: &BigInt) -> Result<(Frac, Frac), Why> {
        let cosine = self.cosine_of_turn(num, den)?;
        // sin(x) = cos(1/2 - x), in half turns.
        let sine = self.cosine_of_turn(&(den - num * 2), &(den * 2))?;
        Ok((cosine, sine))
    }

    /// Returns the cosine of `num / den` half turns, from that of an angle in the first quarter.
    fn cosine_of_turn(&mut self, num: &BigInt, den: &BigInt) -> Result<Frac, Why> {
        let mut num = num.mod_floor(&(den * 2));
        if &num > den {
            num = den * 2 - num;
        }
        let negative = &num * 2 > *den;
        if negative {
            num = den - num;
        }
        let divisor = num.gcd(den);
        let cosine = self.cosine_of_quarter(&(num / &divisor), &(den / &divisor))?;
        Ok(if negative { cosine.neg() } else { cosine })
    }

    fn cosine_of_quarter(&mut self, num: &BigInt, den: &BigInt) -> Result<Frac, Why> {
        let key = (num.to_u32(), den.to_u32());
        let (Some(num), Some(den)) = key else { return Err(Why::TooManyBits) };
        match (num, den) {
            (0, _) => Ok(Frac::integer(1)),
            (1, 2) => Ok(Frac::integer(0)),
            (1, 3) => self.div(&Frac::integer(1), &Frac::integer(2)),
            // (a + b sqrt(c)) / 4
            (1, 5) => self.surds(&[(1, 1), (1, 5)]),
            (2, 5) => self.surds(&[(-1, 1), (1, 5)]),
            (1, 4) => self.surds(&[(2, 2)]),
            (1, 6) => self.surds(&[(2, 3)]),
            (1, 12) => self.surds(&[(1, 6), (1, 2)]),
            (5, 12) => self.surds(&[(1, 6), (-1, 2)]),
            // Half angles of the above: cos(x/2)^2 = (1 + cos x) / 2.
            (_, 8 | 10 | 16 | 24 | 20 | 32) => {
                let (n, d) = (num * 2, den);
                let common = n.gcd(&d);
                let (n, d) = (BigInt::from(n / common), BigInt::from(d / common));
                let double = self.cosine_of_turn(&n, &d)?;
                let square = self.add(Frac::integer(1), &double)?;
                let square = self.div(&square, &Frac::integer(2))?;
                self.root(2, &square)
            }
            _ => {
                let pi = Frac::atom(self.intern(Atom::Pi));
                let arg = self.mul(&pi, &Frac { num: Poly::constant(num.into()), den: Poly::constant(den.into()) })?;
                Ok(self.sine_and_cosine(arg).0)
            }
        }
    }

    /// Returns a quarter of a sum of multiples of square roots.
    fn surds(&mut self, parts: &[(i32, i32)]) -> Result<Frac, Why> {
        let mut sum = Frac::integer(0);
        for &(scale, radicand) in parts {
            let root = self.root(2, &Frac::integer(radicand))?;
            let part = self.mul(&root, &Frac::integer(scale))?;
            sum = self.add(sum, &part)?;
        }
        self.div(&sum, &Frac::integer(4))
    }

    /// Angles whose sine, cosine or tangent is one of a table, and atoms for all others.
    pub(crate) fn arc(&mut self, func: Func, arg: &Frac) -> Result<Frac, Why> {
        let constant = arg.atoms().all(|id| self.known(id).algebraic);
        if constant {
            let pi = Frac::atom(self.intern(Atom::Pi));
            for (num, den) in [
                (0, 1),
                (1, 6),
                (1, 4),
                (1, 3),
                (1, 2),
                (1, 12),
                (5, 12),
                (1, 5),
                (2, 5),
                (1, 10),
                (3, 10),
                (1, 8),
                (3, 8),
            ] {
                for sign in [1, -1] {
                    let (cosine, sine) = self.turn(&BigInt::from(num * sign), &BigInt::from(den))?;
                    let (value, den_value) = if func == Func::Atan { (sine, cosine) } else { (sine, Frac::integer(1)) };
                    if den_value.is_zero() {
                        continue;
                    }
                    let scaled = self.mul(arg, &den_value)?;
                    if self.equal(&scaled, &value)? != Some(true) {
                        continue;
                    }
                    let turns = Frac { num: Poly::constant(BigInt::from(num * sign)), den: Poly::constant(den.into()) };
                    let angle = self.mul(&pi, &turns)?;
                    // acos(x) = pi/2 - asin(x)
                    if func == Func::Acos {
                        let quarter = self.div(&pi, &Frac::integer(2))?;
                        return self.add(quarter, &angle.neg());
                    }
                    return Ok(angle);
                }
            }
        }
        Ok(Frac::atom(self.intern(Atom::Call(func, arg.clone()))))
    }
}
