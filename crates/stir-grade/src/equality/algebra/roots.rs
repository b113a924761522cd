//! Roots, and the prime factors that they are split into.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_traits::{One, Signed, ToPrimitive, Zero as _};

use super::{
    arithmetic::Algebra,
    atom::Atom,
    poly::{AtomId, Frac, Mono, Poly},
    zero::Zero,
};
use crate::equality::{limits::MAX_BITS, why::Why};

/// Highest degree of a root that is computed with.
pub(crate) const MAX_DEGREE: u32 = 64;

impl Algebra {
    /// Returns the principal root of a real number or expression, real for odd degrees; `i` times a real one for square
    /// roots of negative numbers.
    pub(crate) fn root(&mut self, degree: u32, of: &Frac) -> Result<Frac, Why> {
        if degree == 1 || of.is_zero() {
            return Ok(of.clone());
        }
        if degree > MAX_DEGREE {
            return Err(Why::TooManyBits);
        }
        if let Some((num, den)) = of.as_rational() {
            return self.root_of_rational(degree, &num, &den);
        }
        let (num, den) = (&of.num, &of.den);
        if den.as_integer().is_none() && self.sign(den)? != Some(true) {
            let atom = if self.sign(den)? == Some(false) {
                let flipped = Frac { num: num.clone().neg(), den: den.clone().neg() };
                return self.root(degree, &flipped);
            } else {
                Atom::OpaqueRoot(degree, of.clone())
            };
            return Ok(Frac::atom(self.intern(atom)));
        }
        // root(N/D) = root(N D^(k-1)) / D for positive D.
        let mut radicand = num.clone();
        for _ in 1..degree {
            radicand = self.product(&radicand, den)?;
        }
        let sign = self.sign(&radicand)?;
        if sign.is_none() && radicand.atoms().all(|id| self.known(id).algebraic) {
            // A nested root that is zero, or may be.
            return match self.zero(&radicand)? {
                Zero::Yes => Ok(Frac::integer(0)),
                _ => Err(Why::Undecided),
            };
        }
        let negative = sign == Some(false);
        if negative {
            radicand = radicand.neg();
        }
        let unit = match (negative, degree) {
            (false, _) => Frac::integer(1),
            (true, k) if k % 2 == 1 => Frac::integer(-1),
            (true, 2) => Frac::atom(self.intern(Atom::I)),
            (true, _) => return Ok(Frac::atom(self.intern(Atom::OpaqueRoot(degree, of.clone())))),
        };
        let content = radicand.content();
        let (outer, radicand) = self.take_squares(degree, radicand.divided(&content))?;
        let scale = self.root_of_rational(degree, &content, &BigInt::one())?;
        let root =
            if radicand.is_one() { Frac::integer(1) } else { Frac::atom(self.intern(Atom::Root(degree, radicand))) };
        let root = self.mul(&root, &outer)?;
        let root = self.mul(&root, &scale)?;
        let root = self.mul(&root, &unit)?;
        let den = Frac { num: den.clone(), den: Poly::constant(BigInt::one()) };
        self.div(&root, &den)
    }

    /// `x^3` under a square root is `x` times the root of `x`: it is defined for `x >= 0` only. The same for any odd
    /// power of a variable with positive factors, and for powers of pi and e.
    fn take_squares(&mut self, degree: u32, radicand: Poly) -> Result<(Frac, Poly), Why> {
        let single = (degree == 2 && radicand.0.len() == 1).then(|| radicand.0.first_key_value()).flatten();
        let Some((mono, coefficient)) = single else { return Ok((Frac::integer(1), radicand)) };
        let positive = |id: AtomId| matches!(self.known(id).atom, Atom::Pi | Atom::E) || self.known(id).algebraic;
        let mut others = mono.iter().filter(|&&(id, _)| !positive(id));
        let single = others.next().filter(|_| others.next().is_none() && coefficient.is_positive());
        let outer_and_inner = |part: &(AtomId, u32)| {
            let odd = matches!(self.known(part.0).atom, Atom::Symbol(_)) && part.1 % 2 == 1 && single == Some(part);
            if positive(part.0) || odd { (part.1 / 2, part.1 % 2) } else { (0, part.1) }
        };
        let (mut outer, mut inner) = (Mono::new(), Mono::new());
        for part in mono {
            let (out, left) = outer_and_inner(part);
            if out > 0 {
                outer.push((part.0, out));
            }
            if left > 0 {
                inner.push((part.0, left));
            }
        }
        let inner = Poly(BTreeMap::from([(inner, coefficient.clone())]));
        let outer = Poly(BTreeMap::from([(outer, BigInt::one())]));
        Ok((Frac { num: outer, den: Poly::constant(BigInt::one()) }, inner))
    }

    fn root_of_rational(&mut self, degree: u32, num: &BigInt, den: &BigInt) -> Result<Frac, Why> {
        if den.bits() * u64::from(degree) > MAX_BITS {
            return Err(Why::TooManyBits);
        }
        let radicand = num.abs() * den.pow(degree - 1);
        let mut out = match (num.is_negative(), degree) {
            (false, _) => Frac::integer(1),
            (true, k) if k % 2 == 1 => Frac::integer(-1),
            (true, 2) => Frac::atom(self.intern(Atom::I)),
            (true, _) => {
                let of = Frac { num: Poly::constant(num.clone()), den: Poly::constant(den.clone()) };
                return Ok(Frac::atom(self.intern(Atom::OpaqueRoot(degree, of))));
            }
        };
        for (prime, exponent) in self.factor(&radicand)? {
            let whole = Frac::integer(prime.pow(exponent / degree));
            out = self.mul(&out, &whole)?;
            let rest = exponent % degree;
            if rest > 0 {
                let divisor = num_integer::gcd(rest, degree);
                let atom = self.intern(Atom::Root(degree / divisor, Poly::constant(prime)));
                let factor = self.power(&Frac::atom(atom), i64::from(rest / divisor))?;
                out = self.mul(&out, &factor)?;
            }
        }
        self.div(&out, &Frac::integer(den.clone()))
    }

    /// Returns prime factors with exponents, ascending. What is left after the small primes is split no further, except
    /// where it is a perfect power.
    pub(crate) fn factor(&mut self, of: &BigInt) -> Result<Vec<(BigInt, u32)>, Why> {
        let mut rest = of.abs();
        let mut out = Vec::new();
        let mut prime = 2u32;
        while prime < 1000 && rest > BigInt::one() {
            let mut exponent = 0;
            self.budget.spend(1 + rest.bits() / 512)?;
            while (&rest % prime).is_zero() {
                rest /= prime;
                exponent += 1;
                self.budget.spend(1 + rest.bits() / 512)?;
            }
            if exponent > 0 {
                out.push((BigInt::from(prime), exponent));
            }
            prime += if prime == 2 { 1 } else { 2 };
            if rest.to_u32().is_some_and(|rest| rest < prime * prime) {
                break;
            }
        }
        if rest > BigInt::one() {
            self.budget.spend(rest.bits() * rest.bits() / 2048)?;
            let perfect = (2..=7u32).rev().find_map(|k| {
                let root = rest.nth_root(k);
                (root.pow(k) == rest).then_some((root, k))
            });
            out.push(perfect.unwrap_or((rest, 1)));
        }
        Ok(out)
    }
}
