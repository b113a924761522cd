//! Shapes: what an answer says, before anything is compared.

mod matrices;
pub(crate) mod names;
pub(crate) mod reader;
mod values;

use super::{
    algebra::Frac,
    read::{Bracket, Relation, units::Unit},
    why::Why,
};

/// The content of an answer, before anything is compared.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Value(Value),
    Words(String),
    /// Elements whose order does not matter.
    List(Vec<Shape>),
    Set(Vec<Shape>),
    /// A tuple or an interval, by its brackets.
    Sequence(Bracket, Bracket, Vec<Shape>),
    Union(Vec<Shape>),
    Matrix(Vec<Vec<Shape>>),
    Relations(Vec<Shape>, Vec<Relation>),
    /// Parts, whether they may be a clock time, and the words after them.
    Ratio(Vec<Shape>, bool, Option<Unit>),
    /// A number that names its base: its digits, that base and its value.
    Based(String, u32, Frac),
    Unread(Why),
}

/// A percent sign or a degree sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Percent,
    Degree,
}

/// An expression with what was written around it.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) frac: Frac,
    /// Digits after the point, where it is a decimal.
    pub(crate) decimals: Option<u32>,
    pub(crate) mark: Option<Mark>,
    pub(crate) unit: Option<Unit>,
}

impl Value {
    pub(crate) fn plain(frac: Frac) -> Self {
        Self { frac, decimals: None, mark: None, unit: None }
    }
}

impl Shape {
    pub(crate) fn value(frac: Frac) -> Self {
        Self::Value(Value::plain(frac))
    }
}

/// Returns whether one of these is a relation.
pub(crate) fn has_relations(items: &[Shape]) -> bool {
    items.iter().any(|item| matches!(item, Shape::Relations(..)))
}
