//! The sign of real algebraic numbers, decided for certain.
//!
//! A polynomial with integer coefficients in roots of such polynomials is an algebraic integer. If its conjugates are at
//! most `u` in size and its degree at most `d`, it is zero or at least `u^(1-d)` in size, for the product of all
//! conjugates is an integer (Burnikel, Funke, Mehlhorn, Schirra and Schmitt 2001, "A separation bound for real algebraic
//! expressions"). So computing with enough digits decides.

use num_bigint::{BigInt, Sign as BigSign};
use num_traits::{One, Signed, Zero};

use super::{
    arithmetic::Algebra,
    atom::Atom,
    poly::{AtomId, Poly},
};
use crate::equality::why::Why;

/// Most bits after the binary point.
const MAX_PRECISION: u64 = 8192;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Positive,
    Negative,
    Zero,
    Unknown,
}

/// Bounds of a number, as integers over `2^precision`.
#[derive(Debug, Clone)]
struct Fixed {
    lo: BigInt,
    hi: BigInt,
}

/// Returns the sign of a polynomial in real algebraic atoms.
pub(crate) fn sign(algebra: &mut Algebra, poly: &Poly) -> Result<Sign, Why> {
    match poly.0.first_key_value() {
        None => return Ok(Sign::Zero),
        // Roots are positive.
        Some((_, only)) if poly.0.len() == 1 => return Ok(of(only)),
        Some(_) => {}
    }
    let atoms = below(algebra, poly);
    let (sizes, degree) = sizes(algebra, &atoms);
    // One bit more than the bound, and a few for what double precision may have lost.
    let needed = (degree - 1.0).mul_add(size(poly, &sizes), 16.0);
    let mut precision = 128;
    loop {
        let value = compute(algebra, poly, &atoms, precision)?;
        if value.lo.is_positive() {
            return Ok(Sign::Positive);
        }
        if value.hi.is_negative() {
            return Ok(Sign::Negative);
        }
        let reach = value.lo.bits().max(value.hi.bits()) as f64 - precision as f64;
        if reach < -needed {
            return Ok(Sign::Zero);
        }
        if precision >= MAX_PRECISION {
            return Ok(Sign::Unknown);
        }
        precision = (precision * 2).min(MAX_PRECISION);
    }
}

fn of(value: &BigInt) -> Sign {
    match value.sign() {
        BigSign::Plus => Sign::Positive,
        BigSign::Minus => Sign::Negative,
        BigSign::NoSign => Sign::Zero,
    }
}

/// Returns the atoms of a polynomial and those they are made of, ascending: each after those it needs.
fn below(algebra: &Algebra, poly: &Poly) -> Vec<AtomId> {
    let mut needed: Vec<bool> = vec![false; algebra.len()];
    for id in poly.atoms() {
        needed[id as usize] = true;
    }
    for id in (0..algebra.len()).rev() {
        if let (true, Atom::Root(_, radicand)) = (needed[id], &algebra.known(id as AtomId).atom) {
            for below in radicand.atoms() {
                needed[below as usize] = true;
            }
        }
    }
    (0..algebra.len() as AtomId).filter(|&id| needed[id as usize]).collect()
}

/// Logarithms (base 2) of bounds of the atoms' conjugates, by atom, and the degree of the field they generate.
fn sizes(algebra: &Algebra, atoms: &[AtomId]) -> (Vec<f64>, f64) {
    let mut sizes = vec![0.0; algebra.len()];
    let mut field = 1.0;
    for &id in atoms {
        if let Atom::Root(degree, radicand) = &algebra.known(id).atom {
            sizes[id as usize] = (size(radicand, &sizes) / f64::from(*degree)).max(0.0);
            field *= f64::from(*degree);
        }
    }
    (sizes, field)
}

/// Returns the logarithm of the sum of all terms' bounds, rounded up.
fn size(poly: &Poly, sizes: &[f64]) -> f64 {
    let term = |(mono, coefficient): (&Vec<(AtomId, u32)>, &BigInt)| {
        mono.iter().map(|&(id, e)| sizes[id as usize] * f64::from(e)).sum::<f64>() + coefficient.bits() as f64
    };
    let largest = poly.0.iter().map(term).fold(0.0, f64::max);
    largest + (poly.0.len() as f64).log2() + 0.01
}

fn compute(algebra: &mut Algebra, poly: &Poly, atoms: &[AtomId], precision: u64) -> Result<Fixed, Why> {
    let mut values: Vec<Option<Fixed>> = vec![None; algebra.len()];
    for &id in atoms {
        let Atom::Root(degree, radicand) = algebra.known(id).atom.clone() else { return Err(Why::Undefined) };
        let of = evaluate(algebra, &radicand, &values, precision)?;
        // A root of positive numbers, though its bounds may reach below zero.
        let shift = precision * u64::from(degree - 1);
        algebra.budget.spend((precision * u64::from(degree)).pow(2) >> 14)?;
        let down = |x: &BigInt| (x.max(&BigInt::zero()) << shift).nth_root(degree);
        values[id as usize] = Some(Fixed { lo: down(&of.lo), hi: down(&of.hi) + 1 });
    }
    evaluate(algebra, poly, &values, precision)
}

fn evaluate(algebra: &mut Algebra, poly: &Poly, values: &[Option<Fixed>], precision: u64) -> Result<Fixed, Why> {
    let mut sum = Fixed { lo: BigInt::zero(), hi: BigInt::zero() };
    for (mono, coefficient) in &poly.0 {
        let mut term = Fixed { lo: BigInt::one() << precision, hi: BigInt::one() << precision };
        for &(id, exponent) in mono {
            let Some(value) = &values[id as usize] else { return Err(Why::Undefined) };
            for _ in 0..exponent {
                let bits = term.hi.bits() * value.hi.bits();
                algebra.budget.spend(1 + (bits >> 13))?;
                // All atoms are positive.
                term.lo = (&term.lo * &value.lo) >> precision;
                term.hi = ((&term.hi * &value.hi) >> precision) + 1;
            }
        }
        algebra.budget.spend(1 + ((coefficient.bits() * term.hi.bits()) >> 13))?;
        let (lo, hi) = (term.lo * coefficient, term.hi * coefficient);
        let (lo, hi) = if coefficient.is_negative() { (hi, lo) } else { (lo, hi) };
        sum.lo += lo;
        sum.hi += hi;
    }
    Ok(sum)
}
