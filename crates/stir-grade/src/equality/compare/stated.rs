//! Equations that give no name a value, compared with an answer that is no equation.

use num_bigint::BigInt;
use num_traits::One;

use super::Comparer;
use crate::{
    Verdict,
    equality::{
        algebra::Mono,
        decision::{Decision, Rule},
        read::{Relation, assigns},
        shape::{Shape, Value, names::is_named},
        why::Why,
    },
};

impl Comparer<'_> {
    /// An identity, `x^2 - 4 = (x-2)(x+2)`, is the expression that all its sides are. A sum of names is what a question
    /// asked for where the right answer is a number: `204` and `m + n = 204`. What other equations with a number say,
    /// like `2x = 204`, is not worked out.
    pub(crate) fn stated(&mut self, other: &Shape, equation: &Shape, equation_is_gold: bool) -> Decision {
        let different = Decision::different(Rule::Forms);
        let Shape::Relations(sides, relations) = equation else { return different };
        if !assigns(relations) {
            return different;
        }
        let mut verdicts = Vec::with_capacity(sides.len());
        for side in sides {
            let decision = if equation_is_gold { self.compare(side, other) } else { self.compare(other, side) };
            if decision.rule == Rule::Limits {
                return decision;
            }
            verdicts.push(decision.verdict);
        }
        let exact = relations.iter().all(|relation| *relation == Relation::Equal);
        if exact && verdicts.iter().all(|verdict| *verdict == Verdict::Equal) {
            return Decision::equal(Rule::Equation);
        }
        let unclear = Decision::unclear(Rule::Equation, Why::NotShown);
        let numbers = sides.iter().map(|side| self.is_number(side));
        let said: Vec<Verdict> = numbers.zip(&verdicts).filter(|(number, _)| *number).map(|(_, said)| *said).collect();
        if said.is_empty() {
            let none = verdicts.iter().all(|verdict| *verdict == Verdict::Different);
            return if none { different } else { unclear };
        }
        if !exact || equation_is_gold || !self.is_number(other) || !self.is_sum_of_names(&sides[0]) {
            return unclear;
        }
        match said[0] {
            verdict if said.iter().any(|other| *other != verdict) => unclear,
            Verdict::Equal => Decision::equal(Rule::Equation).left_out(self.options),
            Verdict::Different => Decision::different(Rule::Equation),
            Verdict::Unclear => unclear,
        }
    }

    fn is_number(&self, shape: &Shape) -> bool {
        matches!(shape, Shape::Value(value) if value.frac.atoms().all(|id| self.algebra.known(id).constant))
    }

    /// Returns whether a shape is the sum of two or more different names, each of them once.
    fn is_sum_of_names(&self, shape: &Shape) -> bool {
        let Shape::Value(Value { frac, mark: None, unit: None, .. }) = shape else { return false };
        let terms = &frac.num.0;
        let once = |(mono, coefficient): (&Mono, &BigInt)| coefficient.is_one() && is_named(self.algebra, mono);
        frac.den.is_one() && terms.len() > 1 && terms.iter().all(once)
    }
}
