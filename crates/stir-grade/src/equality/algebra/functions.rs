//! Powers, logarithms and other functions.

use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::{One, Signed, ToPrimitive};

use super::{
    arithmetic::Algebra,
    atom::{Atom, Func},
    poly::{Frac, Mono, Poly},
    roots::MAX_DEGREE,
};
use crate::equality::why::Why;

/// Largest number whose factorial is computed.
const MAX_FACTORIAL: u32 = 1200;

impl Algebra {
    pub(crate) fn call(&mut self, func: Func, arg: &Frac) -> Result<Frac, Why> {
        match func {
            Func::Sin => Ok(self.angle(arg)?.1),
            Func::Cos => Ok(self.angle(arg)?.0),
            Func::Tan | Func::Cot | Func::Sec | Func::Csc => self.quotient_of_angle(func, arg),
            Func::Asin | Func::Acos | Func::Atan => self.arc(func, arg),
            Func::Sinh | Func::Cosh | Func::Tanh => self.hyperbolic(func, arg),
            Func::Exp => {
                let e = Frac::atom(self.intern(Atom::E));
                self.pow(&e, arg)
            }
            Func::Ln => self.ln(arg),
            Func::Log => {
                let ten = Frac::integer(10);
                self.log(&ten, arg)
            }
            Func::Abs => match self.sign(&arg.num)?.zip(self.sign(&arg.den)?) {
                Some((a, b)) => Ok(if a == b { arg.clone() } else { arg.clone().neg() }),
                None if arg.is_zero() => Ok(arg.clone()),
                None if arg.den.as_integer().is_some() && self.is_complex(&arg.num) => self.modulus(arg),
                None => {
                    let arg = if arg.num.leads_negative() { arg.clone().neg() } else { arg.clone() };
                    Ok(Frac::atom(self.intern(Atom::Call(Func::Abs, arg))))
                }
            },
            Func::Floor | Func::Ceil => self.integer_part(func, arg),
            Func::Factorial => self.factorial(arg),
        }
    }

    /// Returns whether all atoms are real algebraic numbers and the imaginary unit, which is among them.
    fn is_complex(&self, poly: &Poly) -> bool {
        let imaginary = |id: u32| self.known(id).atom == Atom::I;
        poly.atoms().any(imaginary) && poly.atoms().all(|id| imaginary(id) || self.known(id).algebraic)
    }

    /// Returns |a + b i| = sqrt(a^2 + b^2).
    fn modulus(&mut self, of: &Frac) -> Result<Frac, Why> {
        let i = self.intern(Atom::I);
        let (mut re, mut im) = (Poly::default(), Poly::default());
        for (mono, coefficient) in &of.num.0 {
            let rest: Mono = mono.iter().copied().filter(|&(id, _)| id != i).collect();
            let part = if rest.len() < mono.len() { &mut im } else { &mut re };
            part.add_term(rest, coefficient.clone());
        }
        let square = self.product(&re, &re)?.add(&self.product(&im, &im)?);
        let root = self.root(2, &Frac { num: square, den: Poly::constant(BigInt::one()) })?;
        let den = Frac { num: of.den.clone(), den: Poly::constant(BigInt::one()) };
        self.div(&root, &den)
    }

    fn integer_part(&mut self, func: Func, arg: &Frac) -> Result<Frac, Why> {
        match arg.as_rational() {
            Some((num, den)) if func == Func::Floor => return Ok(Frac::integer(num.div_floor(&den))),
            Some((num, den)) => return Ok(Frac::integer(-(-num).div_floor(&den))),
            None => {}
        }
        if arg.atoms().all(|id| self.known(id).constant) {
            let (num, den) = (self.sample(&arg.num, 0)?, self.sample(&arg.den, 0)?);
            let value = num.re.div(den.re);
            let part = |x: f64| if func == Func::Floor { x.floor() } else { x.ceil() };
            if num.is_real() && den.is_real() && part(value.lo) == part(value.hi) && value.reach() < 1e15 {
                return Ok(Frac::integer(part(value.lo) as i64));
            }
        }
        Ok(Frac::atom(self.intern(Atom::Call(func, arg.clone()))))
    }

    fn factorial(&mut self, arg: &Frac) -> Result<Frac, Why> {
        let Some(value) = arg.as_integer() else {
            return match arg.as_rational() {
                Some(_) => Err(Why::Undefined),
                None => Ok(Frac::atom(self.intern(Atom::Call(Func::Factorial, arg.clone())))),
            };
        };
        if value.is_negative() {
            return Err(Why::Undefined);
        }
        let n = value.to_u32().filter(|&n| n <= MAX_FACTORIAL).ok_or(Why::TooManyBits)?;
        let mut out = BigInt::one();
        for k in 2..=n {
            self.budget.spend(1 + out.bits() / 1024)?;
            out *= k;
        }
        Ok(Frac::integer(out))
    }

    pub(crate) fn binomial(&mut self, n: &Frac, k: &Frac) -> Result<Frac, Why> {
        let (Some(above), Some(below)) = (n.as_integer(), k.as_integer()) else {
            return Ok(Frac::atom(self.intern(Atom::Binomial(n.clone(), k.clone()))));
        };
        if above.is_negative() || below.is_negative() {
            return Err(Why::Undefined);
        }
        if below > above {
            return Ok(Frac::integer(0));
        }
        let below = below.clone().min(&above - below);
        let times = below.to_u32().filter(|&k| k <= MAX_FACTORIAL).ok_or(Why::TooManyBits)?;
        let mut out = BigInt::one();
        for j in 0..times {
            self.budget.multiply(out.bits(), above.bits())?;
            self.budget.spend(1 + out.bits() / 1024)?;
            out = out * (&above - j) / (j + 1);
        }
        Ok(Frac::integer(out))
    }

    /// Returns `base` to any power.
    pub(crate) fn pow(&mut self, base: &Frac, exponent: &Frac) -> Result<Frac, Why> {
        if let Some((num, den)) = exponent.as_rational() {
            let num = num.to_i64().ok_or(Why::TooManyBits)?;
            let den = den.to_u32().ok_or(Why::TooManyBits)?;
            if den == 1 {
                return self.power(base, num);
            }
            if den > MAX_DEGREE {
                return Ok(self.opaque_power(base, exponent.clone()));
            }
            let root = self.root(den, base)?;
            return self.power(&root, num);
        }
        if base.is_one() {
            return Ok(Frac::integer(1));
        }
        if exponent.den.as_integer().is_none() {
            return Ok(self.opaque_power(base, exponent.clone()));
        }
        // A rational base is split into primes, so that powers of 4 and of 2 meet.
        let mut out = Frac::integer(1);
        let factors = match base.as_rational() {
            Some((num, den)) if num.is_positive() => {
                let den = self.factor(&den)?.into_iter().map(|(p, e)| (p, -i64::from(e)));
                let mut all: Vec<_> = den.collect();
                all.extend(self.factor(&num)?.into_iter().map(|(p, e)| (p, i64::from(e))));
                all.into_iter().map(|(p, e)| (Frac::integer(p), e)).collect()
            }
            Some(_) => return Ok(self.opaque_power(base, exponent.clone())),
            None => vec![(base.clone(), 1)],
        };
        for (factor, times) in factors {
            for (mono, coefficient) in &exponent.num.0 {
                let scaled = Frac { num: Poly::constant(coefficient * times), den: exponent.den.clone() }.tidy();
                let part = self.power_by_term(&factor, mono, &scaled)?;
                out = self.mul(&out, &part)?;
            }
        }
        Ok(out)
    }

    /// Returns `base^(scale * mono)`.
    fn power_by_term(&mut self, base: &Frac, mono: &Mono, scale: &Frac) -> Result<Frac, Why> {
        if mono.is_empty() {
            return self.pow(base, scale);
        }
        let (num, den) = scale.as_rational().ok_or(Why::Undefined)?;
        let is = |algebra: &Self, id: u32, atom: &Atom| algebra.known(id).atom == *atom;
        let is_e = *base == Frac::atom(self.intern(Atom::E));
        // e^(k ln x) = x^k.
        if let (true, &[(id, 1)]) = (is_e, &mono[..])
            && let Atom::Call(Func::Ln, of) = self.known(id).atom.clone()
        {
            return self.pow(&of, scale);
        }
        // Euler's formula.
        if is_e {
            let imaginary = mono.len() == 2
                && mono.iter().any(|&(id, e)| e == 1 && is(self, id, &Atom::I))
                && mono.iter().any(|&(id, e)| e == 1 && is(self, id, &Atom::Pi));
            if imaginary {
                let pi = Frac::atom(self.intern(Atom::Pi));
                let (cosine, sine) = {
                    let arg = self.mul(&pi, scale)?;
                    self.angle(&arg)?
                };
                let i = Frac::atom(self.intern(Atom::I));
                let sine = self.mul(&i, &sine)?;
                return self.add(cosine, &sine);
            }
        }
        let unit =
            Frac { num: Poly(std::iter::once((mono.clone(), BigInt::one())).collect()), den: Poly::constant(den) };
        let atom = self.opaque_power(base, unit);
        self.power(&atom, num.to_i64().ok_or(Why::TooManyBits)?)
    }

    fn opaque_power(&mut self, base: &Frac, exponent: Frac) -> Frac {
        Frac::atom(self.intern(Atom::Power(base.clone(), exponent)))
    }

    fn ln(&mut self, arg: &Frac) -> Result<Frac, Why> {
        if arg.num.0.len() != 1 || arg.den.0.len() != 1 {
            return Ok(Frac::atom(self.intern(Atom::Call(Func::Ln, arg.clone()))));
        }
        let mut out = Frac::integer(0);
        for (poly, sign) in [(&arg.num, 1), (&arg.den, -1)] {
            let Some((mono, coefficient)) = poly.0.first_key_value() else { return Err(Why::Undefined) };
            if coefficient.is_negative() {
                return Ok(Frac::atom(self.intern(Atom::Call(Func::Ln, arg.clone()))));
            }
            for (prime, exponent) in self.factor(coefficient)? {
                let atom = self.intern(Atom::Call(Func::Ln, Frac::integer(prime)));
                let part = self.mul(&Frac::atom(atom), &Frac::integer(i64::from(exponent) * sign))?;
                out = self.add(out, &part)?;
            }
            for &(id, exponent) in mono {
                let times = Frac::integer(i64::from(exponent) * sign);
                let log = match &self.known(id).atom {
                    Atom::E => Frac::integer(1),
                    Atom::Root(degree, radicand) if radicand.as_integer().is_some() => {
                        let (degree, of) =
                            (*degree, Frac { num: radicand.clone(), den: Poly::constant(BigInt::one()) });
                        let log = self.ln(&of)?;
                        self.div(&log, &Frac::integer(degree))?
                    }
                    // log(x y) = log(x) + log(y) needs positive factors.
                    _ if mono.len() == 1 && arg.den.is_one() && exponent == 1 => {
                        Frac::atom(self.intern(Atom::Call(Func::Ln, Frac::atom(id))))
                    }
                    _ => return Ok(Frac::atom(self.intern(Atom::Call(Func::Ln, arg.clone())))),
                };
                let part = self.mul(&log, &times)?;
                out = self.add(out, &part)?;
            }
        }
        Ok(out)
    }

    pub(crate) fn log(&mut self, base: &Frac, arg: &Frac) -> Result<Frac, Why> {
        let (above, below) = (self.ln(arg)?, self.ln(base)?);
        self.div(&above, &below)
    }

    fn hyperbolic(&mut self, func: Func, arg: &Frac) -> Result<Frac, Why> {
        let e = Frac::atom(self.intern(Atom::E));
        let up = self.pow(&e, arg)?;
        let down = self.div(&Frac::integer(1), &up)?;
        let sum = self.add(up.clone(), &down)?;
        let difference = self.add(up, &down.neg())?;
        match func {
            Func::Sinh => self.div(&difference, &Frac::integer(2)),
            Func::Cosh => self.div(&sum, &Frac::integer(2)),
            _ => self.div(&difference, &sum),
        }
    }
}
