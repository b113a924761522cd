//! Comparing: what two answers say, by the rules of `docs/grading.md`.

mod choices;
mod collections;
mod moduli;
mod names;
mod quantities;
mod relations;
mod stated;
mod unions;
mod words;

pub(crate) use choices::{choices, chosen};
pub(crate) use moduli::{congruent, modulus};
pub(crate) use words::{alike, worded, words};

use super::{
    algebra::Algebra,
    decision::{Decision, Rule},
    options::Options,
    shape::Shape,
};

/// Compares shapes. All recursion is into parts of shapes, whose depth is bounded.
pub(crate) struct Comparer<'a> {
    pub(crate) algebra: &'a mut Algebra,
    pub(crate) options: &'a Options,
}

impl Comparer<'_> {
    pub(crate) fn compare(&mut self, gold: &Shape, pred: &Shape) -> Decision {
        if let Err(why) = self.algebra.budget.spend(15) {
            return Decision::unclear(Rule::Limits, why);
        }
        match (gold, pred) {
            (Shape::Unread(why), _) | (_, Shape::Unread(why)) => Decision::unclear(Rule::Unread, why.clone()),
            (Shape::Value(a), Shape::Value(b)) => self.values(a, b),
            (Shape::Words(a), Shape::Words(b)) => alike(a, b),
            (Shape::Relations(..), _) | (_, Shape::Relations(..)) => self.with_relation(gold, pred),
            (Shape::Matrix(_), _) | (_, Shape::Matrix(_)) => self.with_matrix(gold, pred),
            (Shape::Based(..), _) | (_, Shape::Based(..)) => self.with_base(gold, pred),
            (Shape::Ratio(..), _) | (_, Shape::Ratio(..)) => self.with_ratio(gold, pred),
            _ => self.collections(gold, pred),
        }
    }
}
