//! Bounds of expressions at fixed points.

use super::{
    arithmetic::Algebra,
    atom::{Atom, Func},
    interval::{Complex, Interval},
    poly::{AtomId, Frac, Poly},
};
use crate::equality::why::Why;

/// Points at which expressions with variables are evaluated.
pub(crate) const SAMPLES: usize = 4;

impl Algebra {
    /// Bounds of a polynomial at a sample point.
    pub(crate) fn sample(&mut self, poly: &Poly, sample: usize) -> Result<Complex, Why> {
        self.samples.resize_with(SAMPLES, Vec::new);
        while self.samples[sample].len() < self.len() {
            let value = self.sample_atom(self.samples[sample].len() as AtomId, sample)?;
            self.samples[sample].push(value);
        }
        self.budget.spend(poly.0.len() as u64)?;
        Ok(evaluate(poly, &self.samples[sample]))
    }

    /// Returns the value of an atom from those of earlier ones.
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

/// Returns the value at which a variable is evaluated: fixed by its name, with few binary digits so that integers of it
/// stay exact. Some points are positive, so that roots and logarithms exist.
fn point(name: &str, sample: usize) -> f64 {
    // FNV-1a: the same on every machine and in every release.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.bytes().chain([b'/', sample as u8]) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let share = ((hash >> 32) % 4096) as f64 / 4096.0;
    if sample.is_multiple_of(2) { 0.25 + 2.0 * share } else { 4.0 * share - 2.0 }
}
