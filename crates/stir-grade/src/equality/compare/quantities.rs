//! Numbers with units, signs and bases.

use super::Comparer;
use crate::{
    Verdict,
    equality::{
        algebra::{Atom, Frac, Poly, Zero},
        decision::{Decision, Rule},
        read::units::{self, Unit, unit},
        shape::{Mark, Shape, Value, names::less},
        why::Why,
    },
};

/// Fewest digits after the point that let a gold decimal count as what rounds to it.
const MIN_DECIMALS: u32 = 2;

/// Fewest digits after the point with which a decimal is taken for a gold fraction, and fewest of them that are not
/// zeros at its start.
const MIN_OF_FRACTION: u32 = 4;
const MIN_SIGNIFICANT: u32 = 3;

/// Most digits after the point that are rounded to.
pub(crate) const MAX_DECIMALS: u32 = 100;

impl Comparer<'_> {
    pub(crate) fn with_base(&mut self, gold: &Shape, pred: &Shape) -> Decision {
        match (gold, pred) {
            (Shape::Based(_, base, x), Shape::Based(_, other, y)) => self.based(x, y, false, base == other),
            (Shape::Based(a, _, x), Shape::Value(y)) => {
                let same = y.frac.as_integer().is_some_and(|y| y.to_string() == *a);
                self.based(x, &y.frac, same, false)
            }
            (Shape::Value(x), Shape::Based(b, _, y)) => {
                let same = x.frac.as_integer().is_some_and(|x| x.to_string() == *b);
                self.based(&x.frac, y, same, false)
            }
            _ => Decision::different(Rule::Forms),
        }
    }

    pub(crate) fn with_ratio(&mut self, gold: &Shape, pred: &Shape) -> Decision {
        match (gold, pred) {
            (Shape::Ratio(a, clock, x), Shape::Ratio(b, time, y)) => self.ratios(a, b, *clock || *time, x, y),
            (Shape::Ratio(parts, ..), Shape::Value(value)) => self.ratio_and_value(parts, value, true),
            (Shape::Value(value), Shape::Ratio(parts, ..)) => self.ratio_and_value(parts, value, false),
            _ => Decision::different(Rule::Forms),
        }
    }

    /// Numbers of which one at least names its base. A base is named where the question asks for it, so another
    /// base, or none, is not right for certain.
    pub(crate) fn based(&mut self, gold: &Frac, pred: &Frac, same_digits: bool, same_base: bool) -> Decision {
        let decision = self.fracs(gold, pred).by(Rule::Base);
        match decision.verdict {
            Verdict::Equal if !same_base => Decision::unclear(Rule::Base, Why::OtherBase),
            Verdict::Different if same_digits && !same_base => Decision::unclear(Rule::Base, Why::NoBase),
            _ => decision,
        }
    }

    pub(crate) fn ratios(
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

    pub(crate) fn ratio_and_value(&mut self, parts: &[Shape], value: &Value, ratio_is_gold: bool) -> Decision {
        let [Shape::Value(a), Shape::Value(b)] = parts else { return Decision::different(Rule::Ratio) };
        let quotient = match self.algebra.div(&a.frac, &b.frac) {
            Ok(quotient) => quotient,
            Err(why) => return Decision::unclear(Rule::Ratio, why),
        };
        let decision =
            if ratio_is_gold { self.fracs(&quotient, &value.frac) } else { self.fracs(&value.frac, &quotient) };
        decision.by(Rule::Ratio)
    }

    /// Returns whether two expressions are the same number or function.
    pub(crate) fn fracs(&mut self, gold: &Frac, pred: &Frac) -> Decision {
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

    pub(crate) fn values(&mut self, gold: &Value, pred: &Value) -> Decision {
        match self.measured(gold, pred) {
            Ok(decision) => decision,
            Err(why) => Decision::unclear(Rule::Limits, why),
        }
    }

    /// Numbers with their units and signs.
    pub(crate) fn measured(&mut self, gold: &Value, pred: &Value) -> Result<Decision, Why> {
        // A letter behind a number may be a unit, next to a number without variables.
        let bare = |value: &Value| value.frac.atoms().all(|id| self.algebra.known(id).constant);
        let read = |value: &Value, other: &Value| self.letters(value).filter(|_| value.unit.is_none() && bare(other));
        let (a, b) = (read(gold, pred), read(pred, gold));
        let guessed = a.is_some() || b.is_some();
        let (gold, pred) = (a.as_ref().unwrap_or(gold), b.as_ref().unwrap_or(pred));
        let (Some(a), Some(b)) = (&gold.unit, &pred.unit) else {
            let decision = self.marked(gold, pred)?;
            let one = gold.unit.is_some() || pred.unit.is_some();
            let marked = gold.mark != pred.mark;
            return Ok(match decision.verdict {
                // A unit on one side and a degree or percent sign on the other.
                Verdict::Equal if one && marked => Decision::unclear(Rule::Unit, Why::Units),
                Verdict::Equal if one && guessed => Decision::unclear(Rule::Unit, Why::Letters),
                Verdict::Equal if one => decision.by(Rule::Unit).left_out(self.options),
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

    /// Returns a product of a number and letters that are a unit as well: `5m^2`, `9.8m/s^2`, `6mg`.
    fn letters(&self, value: &Value) -> Option<Value> {
        let (num, den) = (&value.frac.num.0, &value.frac.den.0);
        let (above, times) = num.first_key_value().filter(|_| num.len() == 1)?;
        let (below, divisor) = den.first_key_value().filter(|_| den.len() == 1)?;
        let (name, power) = self.unit_of(above)?;
        let (name, power) = match (below.is_empty(), self.unit_of(below)) {
            (true, _) => (name, power),
            (false, Some((second, power_below))) if power == 1 => (format!("{name}/{second}"), power_below),
            _ => return None,
        };
        let frac = Frac { num: Poly::constant(times.clone()), den: Poly::constant(divisor.clone()) };
        Some(Value { frac, unit: Some(unit(&name, power)), ..value.clone() })
    }

    /// Returns the unit that one letter is, or two side by side, and the power of the last.
    fn unit_of(&self, mono: &[(u32, u32)]) -> Option<(String, u32)> {
        let letter = |id: u32| match &self.algebra.known(id).atom {
            Atom::Symbol(name) => Some(name.as_str()).filter(|name| matches!(name.as_bytes(), [b'a'..=b'z'])),
            Atom::I => Some("i"),
            _ => None,
        };
        let named = |name: String, power: u32| units::named(&name).then_some((name, power));
        match *mono {
            [(id, power)] => named(letter(id)?.to_owned(), power),
            [(a, p), (b, q)] => {
                let (x, y) = (letter(a)?, letter(b)?);
                let forth = named(format!("{x}{y}"), q).filter(|_| p == 1);
                forth.or_else(|| named(format!("{y}{x}"), p).filter(|_| q == 1))
            }
            _ => None,
        }
    }

    /// Numbers with percent and degree signs. A sign that one answer leaves out may be implied by the question.
    pub(crate) fn marked(&mut self, gold: &Value, pred: &Value) -> Result<Decision, Why> {
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
            return Ok(dropped.by(rule).left_out(self.options));
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

    /// Decides equality, or equality after rounding: to the digits of a gold answer that is a decimal, or of a prediction
    /// that gives a fraction as a decimal of enough digits.
    pub(crate) fn rounded(&mut self, gold: &Value, pred: &Value) -> Result<Decision, Why> {
        let decision = self.fracs(&gold.frac, &pred.frac);
        if decision.verdict != Verdict::Different {
            return Ok(decision);
        }
        let Some(decimals) = gold.decimals else { return self.as_decimal(gold, pred, decision) };
        if !(MIN_DECIMALS..=MAX_DECIMALS).contains(&decimals) {
            return Ok(decision);
        }
        let constant = pred.frac.atoms().all(|id| self.algebra.known(id).constant);
        if !constant {
            return Ok(decision);
        }
        let within = self.rounds_to(&gold.frac, &pred.frac, decimals)?;
        Ok(if within { Decision::equal(Rule::Rounded) } else { decision })
    }

    /// Decides whether the prediction is the gold fraction, rounded to a decimal of enough digits.
    fn as_decimal(&mut self, gold: &Value, pred: &Value, different: Decision) -> Result<Decision, Why> {
        let enough = |&d: &u32| (MIN_OF_FRACTION..=MAX_DECIMALS).contains(&d);
        let Some(decimals) = pred.decimals.filter(enough).filter(|_| gold.frac.as_rational().is_some()) else {
            return Ok(different);
        };
        let least = self.algebra.power(&Frac::integer(10), i64::from(decimals - MIN_SIGNIFICANT + 1))?;
        let least = self.algebra.div(&Frac::integer(1), &least)?;
        let is_small = |this: &mut Self, frac: &Frac| Ok(less(this.algebra, frac, &least)? == Some(true));
        if is_small(self, &pred.frac)? && is_small(self, &pred.frac.clone().neg())? {
            return Ok(different);
        }
        let within = self.rounds_to(&pred.frac, &gold.frac, decimals)?;
        Ok(if within { Decision::equal(Rule::Rounded) } else { different })
    }

    /// Returns whether a constant is within half a unit of the last digit of a decimal.
    pub(crate) fn rounds_to(&mut self, decimal: &Frac, exact: &Frac, decimals: u32) -> Result<bool, Why> {
        let scale = self.algebra.power(&Frac::integer(10), decimals.into())?;
        let off = self.algebra.add(exact.clone(), &decimal.clone().neg())?;
        let off = self.algebra.mul(&off, &scale)?;
        let off = self.algebra.mul(&off, &Frac::integer(2))?;
        let one = Frac::integer(1);
        Ok(if off.as_rational().is_some() {
            less(self.algebra, &one, &off)? != Some(true) && less(self.algebra, &off, &one.neg())? != Some(true)
        } else {
            less(self.algebra, &off, &one)? == Some(true) && less(self.algebra, &one.neg(), &off)? == Some(true)
        })
    }
}
