use std::collections::{BTreeMap, HashMap};

use num_bigint::BigInt;
use num_traits::One;

use super::{
    atom::{Atom, Func, Known},
    interval::Complex,
    poly::{AtomId, Frac, Mono, Poly, merge},
};
use crate::equality::{
    budget::Budget,
    limits::{MAX_BITS, MAX_TERMS},
    why::Why,
};

/// Exact arithmetic with quotients of polynomials over atoms.
///
/// Equal atoms have one identifier. Powers of an atom with a relation (`i^2 = -1`, `sqrt(2)^2 = 2`,
/// `sin^2 = 1 - cos^2`) are rewritten at once, so many equal expressions become equal polynomials. Two that do not are
/// told apart in `zero.rs`.
#[derive(Debug)]
pub(crate) struct Algebra {
    atoms: Vec<Known>,
    index: HashMap<Atom, AtomId>,
    pub(crate) budget: Budget,
    /// Values of the atoms, by sample point and atom.
    pub(crate) samples: Vec<Vec<Complex>>,
}

impl Algebra {
    pub(crate) fn new() -> Self {
        Self { atoms: Vec::new(), index: HashMap::new(), budget: Budget::new(), samples: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.atoms.len()
    }

    pub(crate) fn known(&self, id: AtomId) -> &Known {
        &self.atoms[id as usize]
    }

    pub(crate) fn intern(&mut self, atom: Atom) -> AtomId {
        if let Some(&id) = self.index.get(&atom) {
            return id;
        }
        let id = self.atoms.len() as AtomId;
        let relation = match &atom {
            Atom::I => Some((2, Poly::constant(-BigInt::one()))),
            Atom::Root(degree, radicand) => Some((*degree, radicand.clone())),
            Atom::Call(Func::Sin, arg) => self.sine_relation(arg),
            _ => None,
        };
        let constant = match &atom {
            Atom::Symbol(_) | Atom::Apply(..) => false,
            Atom::Pi | Atom::E | Atom::I => true,
            Atom::Root(_, p) => p.atoms().all(|id| self.known(id).constant),
            Atom::Call(_, f) | Atom::OpaqueRoot(_, f) => f.atoms().all(|id| self.known(id).constant),
            Atom::Binomial(a, b) | Atom::Power(a, b) => a.atoms().chain(b.atoms()).all(|id| self.known(id).constant),
        };
        let algebraic = match &atom {
            Atom::Root(_, p) => p.atoms().all(|id| self.known(id).algebraic),
            _ => false,
        };
        self.atoms.push(Known { atom: atom.clone(), relation, algebraic, constant });
        self.index.insert(atom, id);
        id
    }

    /// `sin(x)^2 = 1 - cos(x)^2`. The cosine must be older than the sine, which [`Algebra::sine_and_cosine`] sees to.
    fn sine_relation(&self, arg: &Frac) -> Option<(u32, Poly)> {
        let cosine = *self.index.get(&Atom::Call(Func::Cos, arg.clone()))?;
        let mut square = Poly::constant(BigInt::one());
        square.add_term(vec![(cosine, 2)], -BigInt::one());
        Some((2, square))
    }

    pub(crate) fn symbol(&mut self, name: &str) -> Frac {
        Frac::atom(self.intern(Atom::Symbol(name.to_owned())))
    }

    /// Returns the cosine and sine of an argument as atoms.
    pub(crate) fn sine_and_cosine(&mut self, arg: Frac) -> (Frac, Frac) {
        let cosine = self.intern(Atom::Call(Func::Cos, arg.clone()));
        let sine = self.intern(Atom::Call(Func::Sin, arg));
        (Frac::atom(cosine), Frac::atom(sine))
    }

    pub(crate) fn product(&mut self, a: &Poly, b: &Poly) -> Result<Poly, Why> {
        self.budget.spend(1)?;
        if a.is_one() {
            return Ok(b.clone());
        }
        if b.is_one() {
            return Ok(a.clone());
        }
        let mut out = Poly::default();
        for (m, c) in &a.0 {
            for (n, d) in &b.0 {
                self.budget.multiply(c.bits(), d.bits())?;
                self.budget.spend((m.len() + n.len()) as u64 / 2)?;
                out.add_term(merge(m, n), c * d);
            }
            if out.0.len() > MAX_TERMS {
                return Err(Why::TooManyTerms);
            }
        }
        self.reduce(out)
    }

    /// Rewrites the powers of atoms that have a relation.
    fn reduce(&mut self, poly: Poly) -> Result<Poly, Why> {
        let reducible = |atoms: &[Known], mono: &Mono| {
            mono.iter().position(|&(id, e)| atoms[id as usize].relation.as_ref().is_some_and(|(k, _)| e >= *k))
        };
        if !poly.0.keys().any(|mono| reducible(&self.atoms, mono).is_some()) {
            return Ok(poly);
        }
        let mut todo: BTreeMap<Mono, BigInt> = poly.0;
        let mut done = Poly::default();
        while let Some((mut mono, coefficient)) = todo.pop_last() {
            self.budget.spend(2)?;
            let Some(place) = reducible(&self.atoms, &mono) else {
                done.add_term(mono, coefficient);
                continue;
            };
            let (id, exponent) = mono[place];
            let Some((degree, value)) = &self.atoms[id as usize].relation else { continue };
            // A number can be taken out at once, a longer value power by power.
            let times = if value.as_integer().is_some() { exponent / degree } else { 1 };
            if exponent == degree * times {
                mono.remove(place);
            } else {
                mono[place].1 -= degree * times;
            }
            let mut rest = Poly(std::mem::take(&mut todo));
            for (factor, scale) in &value.0 {
                if scale.bits().saturating_mul(times.into()) > MAX_BITS {
                    return Err(Why::TooManyBits);
                }
                let scale = scale.pow(times);
                self.budget.multiply(scale.bits(), coefficient.bits())?;
                rest.add_term(merge(&mono, factor), &coefficient * scale);
            }
            todo = rest.0;
            if todo.len() + done.0.len() > MAX_TERMS {
                return Err(Why::TooManyTerms);
            }
        }
        Ok(done)
    }

    pub(crate) fn add(&mut self, a: Frac, b: &Frac) -> Result<Frac, Why> {
        self.budget.spend((a.num.0.len() + b.num.0.len()) as u64)?;
        let sum = if a.den == b.den {
            Frac { num: a.num.add(&b.num), den: a.den }
        } else {
            let left = self.product(&a.num, &b.den)?;
            let right = self.product(&b.num, &a.den)?;
            Frac { num: left.add(&right), den: self.product(&a.den, &b.den)? }
        };
        if sum.num.0.len() > MAX_TERMS {
            return Err(Why::TooManyTerms);
        }
        self.tidied(sum)
    }

    pub(crate) fn mul(&mut self, a: &Frac, b: &Frac) -> Result<Frac, Why> {
        let product = Frac { num: self.product(&a.num, &b.num)?, den: self.product(&a.den, &b.den)? };
        self.tidied(product)
    }

    /// # Errors
    ///
    /// [`Why::DivisionByZero`] and [`Why::Undecided`]: a divisor must be shown not to be zero.
    pub(crate) fn div(&mut self, a: &Frac, b: &Frac) -> Result<Frac, Why> {
        self.require_nonzero(&b.num)?;
        let inverse = Frac { num: b.den.clone(), den: b.num.clone() };
        self.mul(a, &inverse)
    }

    fn tidied(&mut self, frac: Frac) -> Result<Frac, Why> {
        if !frac.den.is_one() {
            let bits = frac.den.bits().max(frac.num.bits());
            let terms = (frac.num.0.len() + frac.den.0.len()) as u64;
            // The greatest common divisor takes quadratic time.
            self.budget.spend(terms * (1 + ((bits * bits) >> 12)))?;
        }
        Ok(frac.tidy())
    }

    /// Returns `base` to an integer power.
    pub(crate) fn power(&mut self, base: &Frac, exponent: i64) -> Result<Frac, Why> {
        let (base, times) = match exponent {
            ..0 => (self.div(&Frac::integer(1), base)?, exponent.unsigned_abs()),
            0 => {
                // 0^0 has no value.
                self.require_nonzero(&base.num)?;
                return Ok(Frac::integer(1));
            }
            _ => (base.clone(), exponent.unsigned_abs()),
        };
        let bits = base.num.bits().max(base.den.bits()).saturating_sub(1).saturating_mul(times);
        if bits > MAX_BITS || times > 1 << 20 {
            return Err(Why::TooManyBits);
        }
        let mut out = Frac::integer(1);
        for bit in (0..u64::BITS - times.leading_zeros()).rev() {
            out = self.mul(&out.clone(), &out)?;
            if times >> bit & 1 == 1 {
                out = self.mul(&out, &base)?;
            }
        }
        Ok(out)
    }
}
