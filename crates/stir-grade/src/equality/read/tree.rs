//! An answer as a tree.

use super::token::{Bracket, Number, Relation};
use crate::equality::algebra::Func;

/// A node of a [`Tree`], by its place there.
pub(crate) type Id = usize;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Number(Number),
    Symbol(String),
    Infinity,
    Empty,
    Words(String),
    /// Digits and the base they are in.
    Based(String, u32),
    Neg(Id),
    Add(Id, Id),
    Sub(Id, Id),
    Mul(Id, Id),
    Div(Id, Id),
    Pow(Id, Id),
    /// `\pm` before a term, and whether it is `\mp`.
    Both(Option<Id>, Id, bool),
    /// Degree and radicand.
    Root(Option<Id>, Id),
    Call(Func, Id),
    /// Base and argument.
    Log(Id, Id),
    Apply(String, Vec<Id>),
    Binomial(Id, Id),
    Percent(Id),
    Degree(Id),
    /// An amount and its currency.
    Money(Id, &'static str),
    /// A value, the words of its unit, and their power.
    Quantity(Id, String, u32),
    Ratio(Vec<Id>),
    List(Vec<Id>),
    Sequence(Bracket, Bracket, Vec<Id>),
    Table(Vec<Vec<Id>>),
    Relations(Vec<Id>, Vec<Relation>),
    Union(Vec<Id>),
    Intersection(Id, Id),
    Without(Id, Id),
}

/// An answer as a tree. Children come before their parents, so walking and dropping need no recursion.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    pub(crate) root: Id,
}

/// Returns the nodes that the value of an expression is made of.
pub(crate) fn children(node: &Node) -> Vec<Id> {
    match node {
        Node::Neg(a)
        | Node::Call(_, a)
        | Node::Percent(a)
        | Node::Degree(a)
        | Node::Money(a, _)
        | Node::Quantity(a, ..) => {
            vec![*a]
        }
        Node::Add(a, b)
        | Node::Sub(a, b)
        | Node::Mul(a, b)
        | Node::Div(a, b)
        | Node::Pow(a, b)
        | Node::Log(a, b)
        | Node::Binomial(a, b) => vec![*a, *b],
        Node::Root(a, b) | Node::Both(a, b, _) => a.iter().copied().chain([*b]).collect(),
        Node::Apply(_, items) => items.clone(),
        // In these every element says for itself whether it means two.
        _ => Vec::new(),
    }
}
