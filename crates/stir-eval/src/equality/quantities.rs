//! Numbers with units, signs and bases.

use super::{
    Rule,
    algebra::Atom,
    poly::{Frac, Poly},
    rules::{Comparer, Decision},
    shape::{Mark, Shape, Value, less},
    units::{Unit, unit},
    why::Why,
    zero::Zero,
};
use crate::Verdict;

/// Fewest digits after the point that let a gold decimal stand for what rounds to it.
const MIN_DECIMALS: u32 = 2;

impl Comparer<'_> {
    /// Numbers of which one at least names its base. A base is named where the question asks for it, so another
    /// base, or none, is not right for certain.
    pub(super) fn based(&mut self, gold: &Frac, pred: &Frac, same_digits: bool, same_base: bool) -> Decision {
        let decision = self.fracs(gold, pred).by(Rule::Base);
        match decision.verdict {
            Verdict::Equal if !same_base => Decision::unclear(Rule::Base, Why::OtherBase),
            Verdict::Different if same_digits && !same_base => Decision::unclear(Rule::Base, Why::NoBase),
            _ => decision,
        }
    }

    pub(super) fn ratios(
        &mut self,
        gold: &[Shape],
        pred: &[Shape],
        clock: bool,
        x: &Option<Unit>,
        y: &Option<Unit>,
    ) -> Decision {
        if x.is_some() && y.is_some() && x != y {
            return Decision::different(Rule::Ratio);
        }
        let same = self.each(gold, pred, Rule::Ratio);
        if same.verdict != Verdict::Different || gold.len() != pred.len() {
            return same;
        }
        // a:b = c:d where a d = b c, and none of them is zero.
        let zero = |part: &Shape| matches!(part, Shape::Value(value) if value.frac.is_zero());
        if gold.iter().chain(pred).any(zero) {
            return same;
        }
        for (i, (a, b)) in gold.iter().zip(pred).enumerate().skip(1) {
            let (Shape::Value(a0), Shape::Value(b0), Shape::Value(a), Shape::Value(b)) = (&gold[0], &pred[0], a, b)
            else {
                return same;
            };
            let (left, right) = (self.algebra.mul(&a0.frac, &b.frac), self.algebra.mul(&b0.frac, &a.frac));
            let (left, right) = match (left, right) {
                (Ok(left), Ok(right)) => (left, right),
                (Err(why), _) | (_, Err(why)) => return Decision::unclear(Rule::Ratio, why),
            };
            let decision = self.fracs(&left, &right).by(Rule::Ratio);
            if decision.verdict != Verdict::Equal {
                return decision;
            }
            if clock && i == 1 {
                return Decision::unclear(Rule::Ratio, Why::Clock);
            }
        }
        Decision::equal(Rule::Ratio)
    }

    pub(super) fn ratio_and_value(&mut self, parts: &[Shape], value: &Value, ratio_is_gold: bool) -> Decision {
        let [Shape::Value(a), Shape::Value(b)] = parts else { return Decision::different(Rule::Ratio) };
        let quotient = match self.algebra.div(&a.frac, &b.frac) {
            Ok(quotient) => quotient,
            Err(why) => return Decision::unclear(Rule::Ratio, why),
        };
        let decision =
            if ratio_is_gold { self.fracs(&quotient, &value.frac) } else { self.fracs(&value.frac, &quotient) };
        decision.by(Rule::Ratio)
    }

    /// Whether two expressions are the same number or function.
    pub(super) fn fracs(&mut self, gold: &Frac, pred: &Frac) -> Decision {
        let constant = |this: &Self, frac: &Frac| frac.atoms().all(|id| this.algebra.known(id).constant);
        let rule = if constant(self, gold) && constant(self, pred) { Rule::Number } else { Rule::Expression };
        match self.algebra.difference(gold, pred) {
            Ok(Zero::Yes) => Decision::equal(rule),
            Ok(Zero::No) => Decision::different(rule),
            Ok(Zero::Unknown(reach)) if reach < 1e-6 => Decision::unclear(rule, Why::Close(reach)),
            Ok(Zero::Unknown(_)) => Decision::unclear(rule, Why::NotShown),
            Err(why) => Decision::unclear(Rule::Limits, why),
        }
    }

    pub(super) fn values(&mut self, gold: &Value, pred: &Value) -> Decision {
        match self.measured(gold, pred) {
            Ok(decision) => decision,
            Err(why) => Decision::unclear(Rule::Limits, why),
        }
    }

    /// Numbers with their units and signs.
    pub(super) fn measured(&mut self, gold: &Value, pred: &Value) -> Result<Decision, Why> {
        // A letter behind a number is a variable, except beside a number without one.
        let bare = |value: &Value| value.frac.atoms().all(|id| self.algebra.known(id).constant);
        let read = |value: &Value, other: &Value| self.letter(value).filter(|_| value.unit.is_none() && bare(other));
        let (a, b) = (read(gold, pred), read(pred, gold));
        let (gold, pred) = (a.as_ref().unwrap_or(gold), b.as_ref().unwrap_or(pred));
        let (Some(a), Some(b)) = (&gold.unit, &pred.unit) else {
            let decision = self.marked(gold, pred)?;
            let one = gold.unit.is_some() || pred.unit.is_some();
            let marked = gold.mark != pred.mark;
            return Ok(match decision.verdict {
                // A unit on one side and a degree or percent sign on the other.
                Verdict::Equal if one && marked => Decision::unclear(Rule::Unit, Why::Units),
                Verdict::Equal if one => decision.by(Rule::Unit),
                _ => decision,
            });
        };
        if a == b {
            return self.marked(gold, pred);
        }
        if a.dimension != b.dimension || a.power != b.power {
            let decision = self.marked(gold, pred)?;
            return Ok(match decision.verdict {
                Verdict::Equal => Decision::unclear(Rule::Unit, Why::Units),
                _ => decision,
            });
        }
        let scaled = |this: &mut Self, value: &Value, unit: &Unit| -> Result<Frac, Why> {
            let size = this.algebra.div(&Frac::integer(unit.size.0), &Frac::integer(unit.size.1))?;
            let size = this.algebra.power(&size, i64::from(unit.power.min(9)))?;
            this.algebra.mul(&value.frac, &size)
        };
        let (a, b) = (scaled(self, gold, a)?, scaled(self, pred, b)?);
        Ok(self.fracs(&a, &b).by(Rule::Unit))
    }

    /// `5m^2` as five square meters.
    pub(super) fn letter(&self, value: &Value) -> Option<Value> {
        let (mono, coefficient) = value.frac.num.0.first_key_value()?;
        let (below, divisor) = value.frac.den.0.first_key_value()?;
        let &[(id, power)] = &mono[..] else { return None };
        let Atom::Symbol(name) = &self.algebra.known(id).atom else { return None };
        // `9.8m/s^2`
        if let (1, 1, "m", 1, &[(second, power)]) =
            (value.frac.num.0.len(), value.frac.den.0.len(), name.as_str(), power, &below[..])
            && matches!(&self.algebra.known(second).atom, Atom::Symbol(name) if name == "s")
        {
            let frac = Frac { num: Poly::constant(coefficient.clone()), den: Poly::constant(divisor.clone()) };
            return Some(Value { frac, unit: Some(unit("m/s", power)), ..value.clone() });
        }
        if value.frac.num.0.len() > 1 || !["m", "g", "s", "h"].contains(&name.as_str()) {
            return None;
        }
        let frac = Frac { num: Poly::constant(coefficient.clone()), den: value.frac.den.clone() };
        Some(Value { frac, unit: Some(unit(name, power)), ..value.clone() })
    }

    /// Numbers with percent and degree signs. A sign that one answer leaves out may be implied by the question.
    pub(super) fn marked(&mut self, gold: &Value, pred: &Value) -> Result<Decision, Why> {
        if gold.mark == pred.mark {
            return self.rounded(gold, pred);
        }
        let (mark, other) = match (gold.mark, pred.mark) {
            (Some(mark), None) | (None, Some(mark)) => (mark, if gold.mark.is_some() { pred } else { gold }),
            _ => return Ok(Decision::different(Rule::Forms)),
        };
        let rule = if mark == Mark::Percent { Rule::Percent } else { Rule::Degrees };
        let dropped = self.rounded(gold, pred)?;
        if dropped.verdict == Verdict::Equal {
            // 0.5 is as likely half of all as half a percent.
            let below_one = less(self.algebra, &other.frac, &Frac::integer(1))? == Some(true);
            if mark == Mark::Percent && below_one && !other.frac.is_zero() {
                return Ok(Decision::unclear(rule, Why::Percent));
            }
            return Ok(dropped.by(rule));
        }
        let unit = match mark {
            Mark::Percent => self.algebra.div(&Frac::integer(1), &Frac::integer(100))?,
            Mark::Degree => {
                let pi = Frac::atom(self.algebra.intern(Atom::Pi));
                self.algebra.div(&pi, &Frac::integer(180))?
            }
        };
        let marked = if gold.mark.is_some() { gold } else { pred };
        let exact = self.algebra.mul(&marked.frac, &unit)?;
        let decision = self.fracs(&exact, &other.frac);
        Ok(if decision.verdict == Verdict::Equal { decision.by(rule) } else { dropped })
    }

    /// Equality, or, where the gold answer is a decimal, equality after rounding to its digits.
    pub(super) fn rounded(&mut self, gold: &Value, pred: &Value) -> Result<Decision, Why> {
        let decision = self.fracs(&gold.frac, &pred.frac);
        let decimals = gold.decimals.filter(|&d| (MIN_DECIMALS..=100).contains(&d));
        let (Some(decimals), Verdict::Different) = (decimals, decision.verdict) else { return Ok(decision) };
        let constant = pred.frac.atoms().all(|id| self.algebra.known(id).constant);
        if !constant {
            return Ok(decision);
        }
        // |pred - gold| <= half a unit of the last digit.
        let scale = self.algebra.power(&Frac::integer(10), decimals.into())?;
        let off = self.algebra.add(pred.frac.clone(), &gold.frac.clone().neg())?;
        let off = self.algebra.mul(&off, &scale)?;
        let off = self.algebra.mul(&off, &Frac::integer(2))?;
        let one = Frac::integer(1);
        let within = if off.as_rational().is_some() {
            less(self.algebra, &one, &off)? != Some(true) && less(self.algebra, &off, &one.neg())? != Some(true)
        } else {
            less(self.algebra, &off, &one)? == Some(true) && less(self.algebra, &one.neg(), &off)? == Some(true)
        };
        Ok(if within { Decision::equal(Rule::Rounded) } else { decision })
    }
}
