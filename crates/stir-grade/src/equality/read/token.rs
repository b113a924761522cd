//! The tokens that an answer consists of.

use crate::equality::algebra::Func;

/// A literal number: its digits without the point, how many of them follow it, and how many of those repeat for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) digits: String,
    pub(crate) decimals: usize,
    pub(crate) repeating: usize,
    /// Power of ten of scientific notation.
    pub(crate) exponent: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Bracket {
    Paren,
    Square,
    /// `\{ \}`, of sets.
    Brace,
    /// `{ }` of LaTeX, which groups and does not show.
    Group,
    Floor,
    Ceil,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Relation {
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Approx,
}

impl Relation {
    /// Returns whether this is an inequality.
    pub(crate) fn orders(self) -> bool {
        !matches!(self, Self::Equal | Self::Approx | Self::In)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    Number(Number),
    Symbol(String),
    /// Words in a text, or a unit.
    Words(String),
    Function(Func),
    Log,
    Frac,
    Sqrt,
    Cbrt,
    Binom,
    Choose,
    Plus,
    Minus,
    PlusMinus,
    MinusPlus,
    Times,
    Divide,
    Power,
    Under,
    Factorial,
    Percent,
    Degree,
    Prime,
    /// The sign of a currency, by its name.
    Money(&'static str),
    Open(Bracket),
    Close(Bracket),
    Bar,
    Comma,
    Semicolon,
    And,
    Or,
    Colon,
    Relation(Relation),
    Union,
    Intersection,
    Without,
    Empty,
    Infinity,
    Ampersand,
    RowBreak,
    Begin,
    End,
}

/// A token and whether white space precedes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spaced {
    pub(crate) token: Token,
    pub(crate) space: bool,
}

pub(crate) fn assigns(relations: &[Relation]) -> bool {
    relations.iter().all(|relation| matches!(relation, Relation::Equal | Relation::Approx))
}
