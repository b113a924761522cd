//! Equations, inequalities, and what a relation says of one name.

use super::{Comparer, quantities::MAX_DECIMALS};
use crate::{
    Verdict,
    equality::{
        algebra::{Atom, Frac, Mono, Poly, Zero},
        decision::{Decision, Rule},
        read::{Bracket, Relation, assigns},
        shape::{
            Shape, Value, has_relations,
            names::{absolute, is_name, less},
        },
        why::Why,
    },
};

impl Comparer<'_> {
    pub(crate) fn with_relation(&mut self, gold: &Shape, pred: &Shape) -> Decision {
        match (gold, pred) {
            (Shape::Relations(..), Shape::Relations(..)) => self.relations(gold, pred),
            (Shape::Relations(..), Shape::List(items)) if has_relations(items) => {
                self.tuple_and_list(gold, items, true)
            }
            (Shape::List(items), Shape::Relations(..)) if has_relations(items) => {
                self.tuple_and_list(pred, items, false)
            }
            (Shape::Relations(..), _) => match self.meaning(gold) {
                Some((name, value)) => {
                    let decision = self.compare(&value, pred).by(Rule::Assignment);
                    match self.chained(decision.clone(), pred, (name.as_ref(), &value), gold) {
                        // An exact gold answer wants more than its approximation.
                        found if found.verdict == Verdict::Equal && decision.verdict != Verdict::Equal => {
                            Decision::unclear(Rule::Assignment, Why::NotShown)
                        }
                        found => found,
                    }
                }
                None => self.stated(pred, gold, true),
            },
            (_, Shape::Relations(..)) => match self.meaning(pred) {
                Some((name, value)) => {
                    let decision = self.compare(gold, &value).by(Rule::Assignment);
                    self.chained(decision, gold, (name.as_ref(), &value), pred)
                }
                None => self.stated(gold, pred, false),
            },
            _ => Decision::different(Rule::Forms),
        }
    }

    pub(crate) fn relations(&mut self, gold: &Shape, pred: &Shape) -> Decision {
        let (Shape::Relations(a, over), Shape::Relations(b, under)) = (gold, pred) else {
            return Decision::different(Rule::Forms);
        };
        let meanings = self.meaning(gold).zip(self.meaning(pred));
        let assigned = assigns(over) && assigns(under);
        if let Some(((Some(x), value), (Some(y), other))) = &meanings
            && self.compare(x, y).verdict == Verdict::Equal
        {
            let rule = match (assigned, over.first()) {
                (true, _) => Rule::Assignment,
                (_, Some(Relation::In)) => Rule::Interval,
                _ => Rule::Inequality,
            };
            return self.compare(value, other).by(rule);
        }
        if let (&[Relation::Equal], &[Relation::Equal]) = (&over[..], &under[..])
            && let Some(decision) = self.proportional(&a[0], &a[1], &b[0], &b[1], false)
        {
            // `f(x) = 2x` and `y = 2x`: the values agree and the names do not.
            if let Some(((_, value), (_, other))) = &meanings
                && decision.verdict != Verdict::Equal
                && self.compare(value, other).verdict == Verdict::Equal
            {
                return Decision::unclear(Rule::Assignment, Why::Names);
            }
            return decision;
        }
        if let (Some((lo, hi, strict)), Some((from, to, open))) = (ordered(a, over), ordered(b, under)) {
            if strict != open {
                return Decision::different(Rule::Inequality);
            }
            if let Some(decision) = self.proportional(lo, hi, from, to, true) {
                return decision;
            }
        }
        if over == under {
            return self.each(a, b, Rule::Inequality);
        }
        let back: Vec<Shape> = b.iter().rev().cloned().collect();
        let turned: Vec<Relation> = under.iter().rev().map(|&relation| turned(relation)).collect();
        if *over == turned { self.each(a, &back, Rule::Inequality) } else { Decision::different(Rule::Inequality) }
    }

    /// Returns whether `a - b` and `c - d` are multiples of each other: by a positive number where the direction
    /// counts.
    pub(crate) fn proportional(
        &mut self,
        a: &Shape,
        b: &Shape,
        c: &Shape,
        d: &Shape,
        directed: bool,
    ) -> Option<Decision> {
        let (Shape::Value(a), Shape::Value(b), Shape::Value(c), Shape::Value(d)) = (a, b, c, d) else { return None };
        let rule = if directed { Rule::Inequality } else { Rule::Equation };
        Some(match self.multiples((&a.frac, &b.frac), (&c.frac, &d.frac), directed) {
            Ok(Some(true)) => Decision::equal(rule),
            Ok(Some(false)) => Decision::different(rule),
            Ok(None) => Decision::unclear(rule, Why::Proportion),
            Err(why) => Decision::unclear(Rule::Limits, why),
        })
    }

    pub(crate) fn multiples(
        &mut self,
        left: (&Frac, &Frac),
        right: (&Frac, &Frac),
        directed: bool,
    ) -> Result<Option<bool>, Why> {
        let p = self.algebra.add(left.0.clone(), &left.1.clone().neg())?;
        let q = self.algebra.add(right.0.clone(), &right.1.clone().neg())?;
        let whole = p.den.as_integer().is_some() && q.den.as_integer().is_some();
        if directed && !whole {
            return Ok(self.algebra.equal(&p, &q)?.filter(|equal| *equal));
        }
        let (p, q) = (p.num, q.num);
        if p.is_empty() || q.is_empty() {
            return Ok(Some(p.is_empty() && q.is_empty()));
        }
        // The coefficients of one monomial of the variables tell the factor.
        let variables = |this: &Self, mono: &Mono| -> Mono {
            mono.iter().copied().filter(|&(id, _)| !this.algebra.known(id).constant).collect()
        };
        let Some((lead, _)) = p.0.last_key_value() else { return Ok(None) };
        let lead = variables(self, lead);
        let coefficient = |this: &Self, poly: &Poly| -> Poly {
            let mut out = Poly::default();
            for (mono, coefficient) in &poly.0 {
                if variables(this, mono) == lead {
                    let constants = mono.iter().copied().filter(|&(id, _)| this.algebra.known(id).constant);
                    out.add_term(constants.collect(), coefficient.clone());
                }
            }
            out
        };
        let (a, b) = (coefficient(self, &p), coefficient(self, &q));
        let linear = [&p, &q].into_iter().all(|poly| {
            poly.0.keys().all(|mono| {
                let variables = variables(self, mono);
                variables.iter().map(|&(_, e)| e).sum::<u32>() <= 1
                    && variables.iter().all(|&(id, _)| matches!(self.algebra.known(id).atom, Atom::Symbol(_)))
            })
        });
        let not = Ok(linear.then_some(false));
        if b.is_empty() || self.algebra.zero(&a)? != Zero::No || self.algebra.zero(&b)? != Zero::No {
            return not;
        }
        let difference = self.algebra.product(&p, &b)?.add(&self.algebra.product(&q, &a)?.neg());
        match self.algebra.zero(&difference)? {
            Zero::Yes if !directed => Ok(Some(true)),
            Zero::Yes => Ok(self.algebra.sign(&a)?.zip(self.algebra.sign(&b)?).map(|(a, b)| a == b)),
            Zero::No => not,
            Zero::Unknown(_) => Ok(None),
        }
    }

    /// Returns what a relation says of one name, if it does: that name, where there is one, and a value, set or
    /// interval.
    pub(crate) fn meaning(&mut self, shape: &Shape) -> Option<(Option<Shape>, Shape)> {
        let Shape::Relations(sides, relations) = shape else { return None };
        if assigns(relations) {
            return self.assigned(sides, relations);
        }
        if relations[..] == [Relation::In] {
            return Some((Some(sides[0].clone()), sides[1].clone()));
        }
        self.range(sides, relations)
    }

    /// Returns the verdict on `number` and a chain, like `10\pi \approx 31.4` or `x = 5`, from that on the value it
    /// gives.
    pub(crate) fn chained(
        &mut self,
        decision: Decision,
        number: &Shape,
        (name, value): (Option<&Shape>, &Shape),
        chain: &Shape,
    ) -> Decision {
        let Shape::Relations(sides, relations) = chain else { return decision };
        if !assigns(relations) {
            return decision;
        }
        let exact = relations.iter().take_while(|relation| **relation == Relation::Equal).count();
        let unclear = Decision::unclear(Rule::Assignment, Why::NotShown);
        let named = name.is_some();
        match decision.verdict {
            // `x \approx 4 \approx 5` gives nothing, nor does `4 = 5`.
            Verdict::Equal if named && exact == 0 && sides.len() > 2 => {
                let holds = sides[1..].iter().all(|side| self.rounds_to_value(value, side));
                if holds { decision.left_out(self.options) } else { unclear }
            }
            Verdict::Equal if named => decision.left_out(self.options),
            Verdict::Equal => {
                let holds = sides[..exact].iter().all(|side| self.compare(value, side).verdict == Verdict::Equal);
                if holds { decision } else { unclear }
            }
            Verdict::Different if self.approximated(number, value, &sides[exact + 1..]) => {
                Decision::equal(Rule::Assignment)
            }
            Verdict::Different => {
                let others = if named { &sides[exact + 1..] } else { &sides[..] };
                let said = others.iter().any(|side| self.compare(number, side).verdict == Verdict::Equal);
                if said { unclear } else { decision }
            }
            Verdict::Unclear => decision,
        }
    }

    /// Returns whether a number is a decimal among the approximations of a value, and the value rounds to it.
    fn approximated(&mut self, number: &Shape, value: &Shape, approximations: &[Shape]) -> bool {
        let decimal = matches!(number, Shape::Value(Value { decimals: Some(_), .. }));
        decimal
            && self.rounds_to_value(number, value)
            && approximations.iter().any(|side| self.compare(number, side).verdict == Verdict::Equal)
    }

    /// Returns whether one number rounds to another, at the digits of that.
    fn rounds_to_value(&mut self, rounded: &Shape, exact: &Shape) -> bool {
        let (Shape::Value(rounded), Shape::Value(exact)) = (rounded, exact) else { return false };
        let decimals = rounded.decimals.unwrap_or(0);
        decimals <= MAX_DECIMALS && self.rounds_to(&rounded.frac, &exact.frac, decimals) == Ok(true)
    }

    pub(crate) fn assigned(&self, sides: &[Shape], relations: &[Relation]) -> Option<(Option<Shape>, Shape)> {
        let first_approx = relations.iter().position(|relation| *relation == Relation::Approx);
        let end = sides.len() - 1;
        let constant = |shape: &Shape| match shape {
            Shape::Value(value) => value.frac.atoms().all(|id| self.algebra.known(id).constant),
            _ => false,
        };
        if sides.iter().all(constant) {
            return Some((None, sides[first_approx.unwrap_or(end)].clone()));
        }
        // In `x \approx 3` the side before the approximation is the name.
        let last = first_approx.filter(|&place| place > 0).unwrap_or(end);
        let (name, value) = (&sides[0], &sides[last]);
        let (name, value) = match (is_name(self.algebra, name), is_name(self.algebra, value)) {
            (true, _) => (name, value),
            (false, true) if sides.len() == 2 => (value, name),
            _ => return None,
        };
        // `x = x + 1` says nothing about the value of x.
        let inside = match (name, value) {
            (Shape::Value(name), Shape::Value(value)) => {
                let of: Vec<u32> = value.frac.atoms().collect();
                name.frac.num.atoms().any(|id| of.contains(&id))
            }
            _ => false,
        };
        (!inside).then(|| (Some(name.clone()), value.clone()))
    }

    /// Returns `x > 2`, `1 < x <= 2` and `x != 3` as sets of numbers.
    pub(crate) fn range(&mut self, sides: &[Shape], relations: &[Relation]) -> Option<(Option<Shape>, Shape)> {
        let constant = |this: &Self, shape: &Shape| match shape {
            Shape::Value(value) => value.frac.atoms().all(|id| {
                let known = this.algebra.known(id);
                known.constant || matches!(&known.atom, Atom::Symbol(name) if name == "\u{221e}")
            }),
            _ => false,
        };
        let infinity = self.algebra.symbol("\u{221e}");
        let (low, high) = (Shape::value(infinity.clone().neg()), Shape::value(infinity));
        let interval = |lo: &Shape, hi: &Shape, closed: (bool, bool)| {
            let bracket = |closed: bool| if closed { Bracket::Square } else { Bracket::Paren };
            Shape::Sequence(bracket(closed.0), bracket(closed.1), vec![lo.clone(), hi.clone()])
        };
        let (sides, relations): (Vec<Shape>, Vec<Relation>) = match relations.first()? {
            Relation::Greater | Relation::GreaterEqual => (
                sides.iter().rev().cloned().collect(),
                relations.iter().rev().map(|&relation| turned(relation)).collect(),
            ),
            _ => (sides.to_vec(), relations.to_vec()),
        };
        let closed = |relation: Relation| relation == Relation::LessEqual;
        let rising = |relation: &Relation| matches!(relation, Relation::Less | Relation::LessEqual);
        let (subject, lo, hi, closed) = match (&sides[..], &relations[..]) {
            ([x, a], [Relation::Unequal]) if constant(self, a) && !constant(self, x) => {
                let parts = vec![interval(&low, a, (false, false)), interval(a, &high, (false, false))];
                return Some((Some(x.clone()), Shape::Union(parts)));
            }
            (_, relations) if !relations.iter().all(rising) => return None,
            ([a, x, b], [r, s]) if constant(self, a) && constant(self, b) => (x, a, b, (closed(*r), closed(*s))),
            ([a, x], [r]) if constant(self, a) => (x, a, &high, (closed(*r), false)),
            ([x, b], [r]) if constant(self, b) => (x, &low, b, (false, closed(*r))),
            _ => return None,
        };
        if constant(self, subject) {
            return None;
        }
        let Shape::Value(value) = subject else { return Some((Some(subject.clone()), interval(lo, hi, closed))) };
        match absolute(self.algebra, &value.frac) {
            None => Some((Some(subject.clone()), interval(lo, hi, closed))),
            Some(inside) => {
                let set = self.around_zero(lo, hi, closed, &interval)?;
                Some((Some(Shape::value(inside)), set))
            }
        }
    }

    /// Returns the numbers whose absolute value is between two bounds.
    pub(crate) fn around_zero(
        &mut self,
        lo: &Shape,
        hi: &Shape,
        closed: (bool, bool),
        interval: &impl Fn(&Shape, &Shape, (bool, bool)) -> Shape,
    ) -> Option<Shape> {
        let (Shape::Value(a), Shape::Value(b)) = (lo, hi) else { return None };
        let negative = |value: &Value| Shape::value(value.frac.clone().neg());
        let infinite = |this: &Self, frac: &Frac| frac.atoms().any(|id| !this.algebra.known(id).constant);
        let zero = Frac::integer(0);
        let (bounded_below, bounded_above) = (!infinite(self, &a.frac), !infinite(self, &b.frac));
        let positive = |this: &mut Self, frac: &Frac| less(this.algebra, &zero, frac).ok().flatten() == Some(true);
        if bounded_above && !positive(self, &b.frac) {
            return None;
        }
        if !bounded_below {
            return Some(interval(&negative(b), hi, (closed.1, closed.1)));
        }
        if !positive(self, &a.frac) {
            return None;
        }
        let left = interval(&negative(b), &negative(a), (closed.1, closed.0));
        Some(Shape::Union(vec![left, interval(lo, hi, closed)]))
    }
}

/// Returns the smaller and the larger side of an inequality of two, and whether it is strict.
fn ordered<'a>(sides: &'a [Shape], relations: &[Relation]) -> Option<(&'a Shape, &'a Shape, bool)> {
    let ([a, b], [relation]) = (sides, relations) else { return None };
    match relation {
        Relation::Less => Some((a, b, true)),
        Relation::LessEqual => Some((a, b, false)),
        Relation::Greater => Some((b, a, true)),
        Relation::GreaterEqual => Some((b, a, false)),
        _ => None,
    }
}

fn turned(relation: Relation) -> Relation {
    match relation {
        Relation::Less => Relation::Greater,
        Relation::LessEqual => Relation::GreaterEqual,
        Relation::Greater => Relation::Less,
        Relation::GreaterEqual => Relation::LessEqual,
        other => other,
    }
}
