//! The irreducible parts of expressions.

use super::poly::{Frac, Poly};

/// Functions of one argument that stay unevaluated where their value is not known exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Func {
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

/// The meaning of an atom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Atom {
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

/// The facts known of an atom.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) atom: Atom,
    /// `atom^k = p`, with earlier atoms in `p`.
    pub(crate) relation: Option<(u32, Poly)>,
    /// A real algebraic integer: a root of a positive polynomial in such.
    pub(crate) algebraic: bool,
    /// No variable in it.
    pub(crate) constant: bool,
}
