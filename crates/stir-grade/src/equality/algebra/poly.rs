use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::{One, Signed, Zero};

/// An irreducible part of an expression; see [`Algebra`](super::arithmetic::Algebra).
pub(crate) type AtomId = u32;

/// A product of powers of atoms: ascending atoms, positive exponents.
pub(crate) type Mono = Vec<(AtomId, u32)>;

/// A polynomial in atoms with integer coefficients, none of them zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Poly(pub(crate) BTreeMap<Mono, BigInt>);

/// A quotient of polynomials; the denominator is never the empty polynomial.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Frac {
    pub(crate) num: Poly,
    pub(crate) den: Poly,
}

impl Poly {
    pub(crate) fn constant(value: BigInt) -> Self {
        let mut poly = Self::default();
        poly.add_term(Mono::new(), value);
        poly
    }

    pub(crate) fn atom(id: AtomId) -> Self {
        Self(BTreeMap::from([(vec![(id, 1)], BigInt::one())]))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add_term(&mut self, mono: Mono, coefficient: BigInt) {
        if coefficient.is_zero() {
            return;
        }
        match self.0.entry(mono) {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(coefficient);
            }
            std::collections::btree_map::Entry::Occupied(mut place) => {
                *place.get_mut() += coefficient;
                if place.get().is_zero() {
                    place.remove();
                }
            }
        }
    }

    pub(crate) fn add(mut self, other: &Self) -> Self {
        for (mono, coefficient) in &other.0 {
            self.add_term(mono.clone(), coefficient.clone());
        }
        self
    }

    pub(crate) fn neg(mut self) -> Self {
        for coefficient in self.0.values_mut() {
            *coefficient = -std::mem::take(coefficient);
        }
        self
    }

    /// Returns the value of a polynomial without atoms.
    pub(crate) fn as_integer(&self) -> Option<BigInt> {
        match self.0.len() {
            0 => Some(BigInt::zero()),
            1 => self.0.get(&Mono::new()).cloned(),
            _ => None,
        }
    }

    pub(crate) fn is_one(&self) -> bool {
        self.0.len() == 1 && self.0.get(&Mono::new()).is_some_and(BigInt::is_one)
    }

    /// Returns the greatest common divisor of the coefficients; positive, or zero without any.
    pub(crate) fn content(&self) -> BigInt {
        let mut content = BigInt::zero();
        for coefficient in self.0.values() {
            content = content.gcd(coefficient);
            if content.is_one() {
                break;
            }
        }
        content
    }

    /// Divides every coefficient by a common divisor of them.
    pub(crate) fn divided(mut self, divisor: &BigInt) -> Self {
        if !divisor.is_one() {
            for coefficient in self.0.values_mut() {
                *coefficient = &*coefficient / divisor;
            }
        }
        self
    }

    /// Returns whether the last term, in the order of monomials, is negative: true of exactly one of `p` and `-p`.
    pub(crate) fn leads_negative(&self) -> bool {
        self.0.last_key_value().is_some_and(|(_, coefficient)| coefficient.is_negative())
    }

    pub(crate) fn atoms(&self) -> impl Iterator<Item = AtomId> + '_ {
        self.0.keys().flatten().map(|&(id, _)| id)
    }

    /// Bits of the longest coefficient.
    pub(crate) fn bits(&self) -> u64 {
        self.0.values().map(BigInt::bits).max().unwrap_or(0)
    }
}

impl Frac {
    pub(crate) fn integer(value: impl Into<BigInt>) -> Self {
        Self { num: Poly::constant(value.into()), den: Poly::constant(BigInt::one()) }
    }

    pub(crate) fn atom(id: AtomId) -> Self {
        Self { num: Poly::atom(id), den: Poly::constant(BigInt::one()) }
    }

    pub(crate) fn neg(self) -> Self {
        Self { num: self.num.neg(), den: self.den }
    }

    /// Returns numerator and positive denominator of a rational number in lowest terms. A quotient of proportional
    /// polynomials is one.
    pub(crate) fn as_rational(&self) -> Option<(BigInt, BigInt)> {
        if self.num.is_empty() {
            return Some((BigInt::zero(), BigInt::one()));
        }
        if self.num.0.len() != self.den.0.len() {
            return None;
        }
        let (_, a) = self.num.0.first_key_value()?;
        let (_, b) = self.den.0.first_key_value()?;
        let pairs = self.num.0.iter().zip(&self.den.0);
        if !pairs.into_iter().all(|((m, c), (n, d))| m == n && (self.num.0.len() == 1 || c * b == d * a)) {
            return None;
        }
        let divisor = if b.is_negative() { -a.gcd(b) } else { a.gcd(b) };
        Some((a / &divisor, b / &divisor))
    }

    /// Returns the value, where that is an integer.
    pub(crate) fn as_integer(&self) -> Option<BigInt> {
        self.as_rational().filter(|(_, den)| den.is_one()).map(|(num, _)| num)
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.num.is_empty()
    }

    pub(crate) fn is_one(&self) -> bool {
        self.num == self.den
    }

    pub(crate) fn atoms(&self) -> impl Iterator<Item = AtomId> + '_ {
        self.num.atoms().chain(self.den.atoms())
    }

    /// Returns the fraction without common integer factors and with a denominator that leads positive.
    pub(crate) fn tidy(mut self) -> Self {
        if self.num.is_empty() {
            return Self::integer(0);
        }
        if self.den.is_one() {
            return self;
        }
        if self.den.leads_negative() {
            self = Self { num: self.num.neg(), den: self.den.neg() };
        }
        let divisor = self.den.content();
        if divisor.is_one() {
            return self;
        }
        let divisor = divisor.gcd(&self.num.content());
        Self { num: self.num.divided(&divisor), den: self.den.divided(&divisor) }
    }
}

/// Returns the product of two monomials.
pub(crate) fn merge(a: &[(AtomId, u32)], b: &[(AtomId, u32)]) -> Mono {
    let mut out = Mono::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(&&(x, e)), Some(&&(y, f))) = (a.peek(), b.peek()) {
        if x <= y {
            a.next();
        }
        if y <= x {
            b.next();
        }
        out.push(match x.cmp(&y) {
            std::cmp::Ordering::Less => (x, e),
            std::cmp::Ordering::Greater => (y, f),
            std::cmp::Ordering::Equal => (x, e.saturating_add(f)),
        });
    }
    out.extend(a);
    out.extend(b);
    out
}
