//! Whether a polynomial in atoms is zero: what decides that two expressions are equal.

use std::collections::BTreeMap;

use num_traits::Signed;

use super::{
    algebra::{Algebra, Atom, Func},
    interval::{Complex, Interval},
    poly::{AtomId, Frac, Mono, Poly},
    precise::{self, Sign},
    why::Why,
};

/// Points at which expressions with variables are evaluated.
const SAMPLES: usize = 4;

/// What is known of the difference of two expressions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Zero {
    Yes,
    No,
    /// Not shown either way; its size where it was evaluated is at most this.
    Unknown(f64),
}

impl Algebra {
    /// Whether two expressions are the same function, `None` where that is not decided.
    pub(super) fn equal(&mut self, a: &Frac, b: &Frac) -> Result<Option<bool>, Why> {
        Ok(match self.difference(a, b)? {
            Zero::Yes => Some(true),
            Zero::No => Some(false),
            Zero::Unknown(_) => None,
        })
    }

    pub(super) fn difference(&mut self, a: &Frac, b: &Frac) -> Result<Zero, Why> {
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

    pub(super) fn require_nonzero(&mut self, poly: &Poly) -> Result<(), Why> {
        if poly.as_integer().is_some() {
            return if poly.is_empty() { Err(Why::DivisionByZero) } else { Ok(()) };
        }
        match self.zero(poly)? {
            Zero::Yes => Err(Why::DivisionByZero),
            Zero::No => Ok(()),
            Zero::Unknown(_) => Err(Why::Undecided),
        }
    }

    /// Whether a polynomial is zero.
    ///
    /// Variables are independent of each other and of all numbers, and pi (or e) of all algebraic numbers. So without
    /// other atoms it is zero exactly if all its coefficients, algebraic numbers, are. Other atoms (logarithms, sines,
    /// powers) may depend on each other: then coefficients that are all zero prove zero, a value that is certainly not
    /// zero proves the opposite, and neither happening proves nothing.
    pub(super) fn zero(&mut self, poly: &Poly) -> Result<Zero, Why> {
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
            match precise::zero(self, coefficient)? {
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

    /// The real and imaginary parts of the algebraic coefficients of all other atoms.
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

    /// Whether a real constant is positive, where that is known and it is not zero.
    pub(super) fn sign(&mut self, poly: &Poly) -> Result<Option<bool>, Why> {
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
            return Ok(match precise::sign(self, poly)? {
                Sign::Positive => Some(true),
                Sign::Negative => Some(false),
                Sign::Zero | Sign::Unknown => None,
            });
        }
        Ok(None)
    }

    /// Bounds of a polynomial at a sample point.
    pub(super) fn sample(&mut self, poly: &Poly, sample: usize) -> Result<Complex, Why> {
        self.samples.resize_with(SAMPLES, Vec::new);
        while self.samples[sample].len() < self.len() {
            let value = self.sample_atom(self.samples[sample].len() as AtomId, sample)?;
            self.samples[sample].push(value);
        }
        self.budget.spend(poly.0.len() as u64)?;
        Ok(evaluate(poly, &self.samples[sample]))
    }

    /// The value of an atom from those of earlier ones.
    fn sample_atom(&mut self, id: AtomId, sample: usize) -> Result<Complex, Why> {
        let terms = match &self.known(id).atom {
            Atom::Root(_, p) => p.0.len(),
            Atom::OpaqueRoot(_, f) | Atom::Call(_, f) => f.num.0.len() + f.den.0.len(),
            Atom::Power(a, b) => a.num.0.len() + a.den.0.len() + b.num.0.len() + b.den.0.len(),
            _ => 0,
        };
        self.budget.spend(4 + terms as u64)?;
        let values = &self.samples[sample];
        let quotient = |frac: &Frac| {
            let (num, den) = (evaluate(&frac.num, values), evaluate(&frac.den, values));
            if num.is_real() && den.is_real() { num.re.div(den.re) } else { Interval::WHOLE }
        };
        Ok(match &self.known(id).atom {
            Atom::Symbol(name) => Complex::real(Interval::point(point(name, sample))),
            Atom::Pi => Complex::real(Interval::near(std::f64::consts::PI)),
            Atom::E => Complex::real(Interval::near(std::f64::consts::E)),
            Atom::I => Complex { re: Interval::ZERO, im: Interval::ONE },
            Atom::Root(degree, radicand) => root(evaluate(radicand, values), *degree),
            Atom::OpaqueRoot(degree, frac) => root(Complex::real(quotient(frac)), *degree),
            Atom::Call(func, arg) => Complex::real(call(*func, quotient(arg))),
            Atom::Power(base, exponent) => {
                let (base, exponent) = (quotient(base), quotient(exponent));
                let log = base.rising((f64::MIN_POSITIVE, f64::MAX), f64::ln);
                let finite = log != Interval::WHOLE && exponent != Interval::WHOLE;
                let value = if finite { log.mul(exponent).rising((-700.0, 700.0), f64::exp) } else { Interval::WHOLE };
                Complex::real(value)
            }
            // Unknown functions may take any value; those of one name and argument are one atom.
            Atom::Apply(..) | Atom::Binomial(..) => Complex::WHOLE,
        })
    }
}

fn evaluate(poly: &Poly, values: &[Complex]) -> Complex {
    let mut sum = Complex::real(Interval::ZERO);
    for (mono, coefficient) in &poly.0 {
        let mut term = Complex::real(Interval::integer(coefficient));
        for &(id, exponent) in mono {
            let Some(&value) = values.get(id as usize) else { return Complex::WHOLE };
            term = term.mul(power(value, exponent));
        }
        sum = sum.add(term);
    }
    sum
}

fn power(base: Complex, exponent: u32) -> Complex {
    let mut out = Complex::real(Interval::ONE);
    for bit in (0..u32::BITS - exponent.leading_zeros()).rev() {
        out = out.mul(out);
        if exponent >> bit & 1 == 1 {
            out = out.mul(base);
        }
    }
    out
}

fn root(of: Complex, degree: u32) -> Complex {
    if !of.is_real() || of.re == Interval::WHOLE {
        return Complex::WHOLE;
    }
    let positive = |x: Interval| x.rising((0.0, f64::MAX), |x| x.powf(1.0 / f64::from(degree)));
    match (of.re.lo >= 0.0, of.re.hi <= 0.0, degree) {
        (true, ..) => Complex::real(positive(of.re)),
        (_, true, k) if k % 2 == 1 => Complex::real(positive(of.re.neg()).neg()),
        (_, true, 2) => Complex { re: Interval::ZERO, im: positive(of.re.neg()) },
        _ => Complex::WHOLE,
    }
}

fn call(func: Func, arg: Interval) -> Interval {
    const ALL: (f64, f64) = (f64::MIN, f64::MAX);
    match func {
        Func::Sin => arg.lazy(f64::sin),
        Func::Cos => arg.lazy(f64::cos),
        Func::Asin => arg.rising((-1.0, 1.0), f64::asin),
        Func::Acos => arg.rising((-1.0, 1.0), |x| -x.acos()).neg(),
        Func::Atan => arg.rising(ALL, f64::atan),
        Func::Ln => arg.rising((f64::MIN_POSITIVE, f64::MAX), f64::ln),
        Func::Abs if arg.lo >= 0.0 => arg,
        Func::Abs if arg.hi <= 0.0 => arg.neg(),
        // Rounding outwards may not cross to another integer.
        Func::Floor if arg.lo.floor() == arg.hi.floor() => Interval::point(arg.lo.floor()),
        Func::Ceil if arg.lo.ceil() == arg.hi.ceil() => Interval::point(arg.lo.ceil()),
        _ => Interval::WHOLE,
    }
}

/// Where a variable is evaluated: fixed by its name, with few binary digits so that integers of it stay exact. Some
/// points are positive, so that roots and logarithms exist.
fn point(name: &str, sample: usize) -> f64 {
    // FNV-1a: the same on every machine and in every release.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.bytes().chain([b'/', sample as u8]) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let share = ((hash >> 32) % 4096) as f64 / 4096.0;
    if sample.is_multiple_of(2) { 0.25 + 2.0 * share } else { 4.0 * share - 2.0 }
}
