use std::collections::{BTreeMap, HashMap};

use num_bigint::BigInt;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::{
    budget::{Budget, MAX_TERMS},
    interval::Complex,
    poly::{AtomId, Frac, Mono, Poly, merge},
    why::Why,
    zero,
};

/// Highest degree of a root that is computed with.
pub(super) const MAX_DEGREE: u32 = 64;

/// Functions of one argument that stay unevaluated where their value is not known exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Func {
    Sin,
    Cos,
    Tan,
    Cot,
    Sec,
    Csc,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Ln,
    Log,
    Exp,
    Abs,
    Floor,
    Ceil,
    Factorial,
}

/// What an atom stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Atom {
    /// A variable or a name without a known value.
    Symbol(String),
    Pi,
    E,
    /// The imaginary unit.
    I,
    /// The root of this degree of a polynomial.
    Root(u32, Poly),
    /// A root that is not rewritten: of a quotient with a divisor of unknown sign.
    OpaqueRoot(u32, Frac),
    Call(Func, Frac),
    /// A named function that is not known, of its arguments.
    Apply(String, Vec<Frac>),
    Binomial(Frac, Frac),
    /// A base and an exponent that is no number.
    Power(Frac, Frac),
}

/// What is known of an atom.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) atom: Atom,
    /// `atom^k = p`, with earlier atoms in `p`.
    relation: Option<(u32, Poly)>,
    /// A real algebraic integer: a root of a positive polynomial in such.
    pub(super) algebraic: bool,
    /// No variable in it.
    pub(super) constant: bool,
}

/// Exact arithmetic with quotients of polynomials over atoms.
///
/// Equal atoms have one identifier. Powers of an atom with a relation (`i^2 = -1`, `sqrt(2)^2 = 2`,
/// `sin^2 = 1 - cos^2`) are rewritten at once, so many equal expressions become equal polynomials. Two that do not are
/// told apart in `zero.rs`.
#[derive(Debug)]
pub(super) struct Algebra {
    atoms: Vec<Known>,
    index: HashMap<Atom, AtomId>,
    pub(super) budget: Budget,
    /// Values of the atoms, by sample point and atom.
    pub(super) samples: Vec<Vec<Complex>>,
}

impl Algebra {
    pub(super) fn new() -> Self {
        Self { atoms: Vec::new(), index: HashMap::new(), budget: Budget::new(), samples: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.atoms.len()
    }

    pub(super) fn known(&self, id: AtomId) -> &Known {
        &self.atoms[id as usize]
    }

    pub(super) fn intern(&mut self, atom: Atom) -> AtomId {
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

    pub(super) fn symbol(&mut self, name: &str) -> Frac {
        Frac::atom(self.intern(Atom::Symbol(name.to_owned())))
    }

    /// The cosine and sine of an argument as atoms.
    pub(super) fn sine_and_cosine(&mut self, arg: Frac) -> (Frac, Frac) {
        let cosine = self.intern(Atom::Call(Func::Cos, arg.clone()));
        let sine = self.intern(Atom::Call(Func::Sin, arg));
        (Frac::atom(cosine), Frac::atom(sine))
    }

    pub(super) fn product(&mut self, a: &Poly, b: &Poly) -> Result<Poly, Why> {
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
                if scale.bits().saturating_mul(times.into()) > super::budget::MAX_BITS {
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

    pub(super) fn add(&mut self, a: Frac, b: &Frac) -> Result<Frac, Why> {
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

    pub(super) fn mul(&mut self, a: &Frac, b: &Frac) -> Result<Frac, Why> {
        let product = Frac { num: self.product(&a.num, &b.num)?, den: self.product(&a.den, &b.den)? };
        self.tidied(product)
    }

    /// # Errors
    ///
    /// [`Why::DivisionByZero`] and [`Why::Undecided`]: a divisor must be shown not to be zero.
    pub(super) fn div(&mut self, a: &Frac, b: &Frac) -> Result<Frac, Why> {
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

    /// `base` to an integer power.
    pub(super) fn power(&mut self, base: &Frac, exponent: i64) -> Result<Frac, Why> {
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
        if bits > super::budget::MAX_BITS || times > 1 << 20 {
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

    /// The principal root of a real number or expression, real for odd degrees; `i` times a real one for square roots
    /// of negative numbers.
    pub(super) fn root(&mut self, degree: u32, of: &Frac) -> Result<Frac, Why> {
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
                zero::Zero::Yes => Ok(Frac::integer(0)),
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
        if den.bits() * u64::from(degree) > super::budget::MAX_BITS {
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

    /// Prime factors with exponents, ascending. What is left after the small primes is split no further, except where
    /// it is a perfect power.
    pub(super) fn factor(&mut self, of: &BigInt) -> Result<Vec<(BigInt, u32)>, Why> {
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
