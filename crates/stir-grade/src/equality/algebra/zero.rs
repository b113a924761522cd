//! Decides whether a polynomial in atoms is zero, and so whether two expressions are equal.

use std::collections::BTreeMap;

use num_traits::Signed;

use super::{
    arithmetic::Algebra,
    atom::Atom,
    poly::{AtomId, Frac, Mono, Poly},
    sample::SAMPLES,
    separation::{self, Sign},
};
use crate::equality::why::Why;

/// The state of knowledge about the difference of two expressions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Zero {
    Yes,
    No,
    /// Not shown either way; its size where it was evaluated is at most this.
    Unknown(f64),
}

impl Algebra {
    /// Returns whether two expressions are the same function, `None` where that is not decided.
    pub(crate) fn equal(&mut self, a: &Frac, b: &Frac) -> Result<Option<bool>, Why> {
        Ok(match self.difference(a, b)? {
            Zero::Yes => Some(true),
            Zero::No => Some(false),
            Zero::Unknown(_) => None,
        })
    }

    pub(crate) fn difference(&mut self, a: &Frac, b: &Frac) -> Result<Zero, Why> {
        if a == b {
            return Ok(Zero::Yes);
        }
        if let (Some(a), Some(b)) = (a.as_rational(), b.as_rational()) {
            return Ok(if a == b { Zero::Yes } else { Zero::No });
        }
        let left = self.product(&a.num, &b.den)?;
        let right = self.product(&b.num, &a.den)?;
        self.zero(&left.add(&right.neg()))
    }

    pub(crate) fn require_nonzero(&mut self, poly: &Poly) -> Result<(), Why> {
        if poly.as_integer().is_some() {
            return if poly.is_empty() { Err(Why::DivisionByZero) } else { Ok(()) };
        }
        match self.zero(poly)? {
            Zero::Yes => Err(Why::DivisionByZero),
            Zero::No => Ok(()),
            Zero::Unknown(_) => Err(Why::Undecided),
        }
    }

    /// Returns whether a polynomial is zero.
    ///
    /// Variables are independent of each other and of all numbers, and pi (or e) of all algebraic numbers. So without
    /// other atoms it is zero exactly if all its coefficients, algebraic numbers, are. Other atoms (logarithms, sines,
    /// powers) may depend on each other: then coefficients that are all zero prove zero, a value that is certainly not
    /// zero proves the opposite, and neither happening proves nothing.
    pub(crate) fn zero(&mut self, poly: &Poly) -> Result<Zero, Why> {
        if poly.is_empty() {
            return Ok(Zero::Yes);
        }
        let plain = |known: &Self, id: AtomId| {
            known.known(id).algebraic || matches!(known.known(id).atom, Atom::Symbol(_) | Atom::Pi | Atom::E | Atom::I)
        };
        let opaque = poly.atoms().any(|id| !plain(self, id));
        if poly.0.len() == 1 && !opaque {
            return Ok(Zero::No);
        }
        let mut reach = f64::INFINITY;
        let constant = poly.atoms().all(|id| self.known(id).constant);
        for sample in 0..if constant { 1 } else { SAMPLES } {
            let value = self.sample(poly, sample)?;
            if value.excludes_zero() {
                return Ok(Zero::No);
            }
            reach = reach.min(value.reach());
        }
        let coefficients = self.coefficients(poly)?;
        let (mut all, mut any_nonzero) = (true, false);
        for coefficient in coefficients.values() {
            match algebraic_zero(self, coefficient)? {
                Zero::Yes => {}
                Zero::No => (all, any_nonzero) = (false, true),
                Zero::Unknown(_) => all = false,
            }
        }
        let has = |atom: &Atom| poly.atoms().any(|id| self.known(id).atom == *atom);
        let both = has(&Atom::Pi) && has(&Atom::E);
        Ok(match (all, any_nonzero && !opaque && !both) {
            (true, _) => Zero::Yes,
            (_, true) => Zero::No,
            _ => Zero::Unknown(reach),
        })
    }

    /// Returns the real and imaginary parts of the algebraic coefficients of all other atoms.
    fn coefficients(&mut self, poly: &Poly) -> Result<BTreeMap<(Mono, bool), Poly>, Why> {
        self.budget.spend(poly.0.len() as u64)?;
        let mut out = BTreeMap::<(Mono, bool), Poly>::new();
        for (mono, coefficient) in &poly.0 {
            let (mut others, mut algebraic, mut imaginary) = (Mono::new(), Mono::new(), false);
            for &(id, exponent) in mono {
                match &self.known(id).atom {
                    Atom::I => imaginary = true,
                    _ if self.known(id).algebraic => algebraic.push((id, exponent)),
                    _ => others.push((id, exponent)),
                }
            }
            out.entry((others, imaginary)).or_default().add_term(algebraic, coefficient.clone());
        }
        Ok(out)
    }

    /// Returns whether a real constant is positive, where that is known and it is not zero.
    pub(crate) fn sign(&mut self, poly: &Poly) -> Result<Option<bool>, Why> {
        if let Some(value) = poly.as_integer() {
            return Ok((!poly.is_empty()).then(|| value.is_positive()));
        }
        let real = |known: &Self, id: AtomId| known.known(id).constant && known.known(id).atom != Atom::I;
        if !poly.atoms().all(|id| real(self, id)) {
            return Ok(None);
        }
        let value = self.sample(poly, 0)?;
        if !value.is_real() {
            return Ok(None);
        }
        if value.re.excludes_zero() {
            return Ok(Some(value.re.lo > 0.0));
        }
        if poly.atoms().all(|id| self.known(id).algebraic) {
            return Ok(match separation::sign(self, poly)? {
                Sign::Positive => Some(true),
                Sign::Negative => Some(false),
                Sign::Zero | Sign::Unknown => None,
            });
        }
        Ok(None)
    }
}

/// Returns whether a polynomial in real algebraic atoms is zero.
fn algebraic_zero(algebra: &mut Algebra, poly: &Poly) -> Result<Zero, Why> {
    Ok(match separation::sign(algebra, poly)? {
        Sign::Zero => Zero::Yes,
        Sign::Unknown => Zero::Unknown(0.0),
        Sign::Positive | Sign::Negative => Zero::No,
    })
}
