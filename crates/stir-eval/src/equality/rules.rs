use std::collections::HashSet;

use super::{
    Options, Rule,
    algebra::{Algebra, Atom},
    lex::{Bracket, Relation},
    poly::{Frac, Mono, Poly},
    shape::{Mark, Shape, Value, absolute, is_name, less},
    units::{Unit, unit},
    why::Why,
    zero::Zero,
};
use crate::Verdict;

/// Fewest digits after the point that let a gold decimal stand for what rounds to it.
const MIN_DECIMALS: u32 = 2;

/// What a rule decided.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Decision {
    pub(super) verdict: Verdict,
    pub(super) rule: Rule,
    pub(super) why: Option<Why>,
}

impl Decision {
    pub(super) fn equal(rule: Rule) -> Self {
        Self { verdict: Verdict::Equal, rule, why: None }
    }

    pub(super) fn different(rule: Rule) -> Self {
        Self { verdict: Verdict::Different, rule, why: None }
    }

    pub(super) fn unclear(rule: Rule, why: Why) -> Self {
        Self { verdict: Verdict::Unclear, rule, why: Some(why) }
    }

    /// The same decision, made by the rule around the one that made it.
    fn by(mut self, rule: Rule) -> Self {
        self.rule = rule;
        self
    }
}

/// Compares shapes. All recursion is into parts of shapes, whose depth is bounded.
pub(super) struct Comparer<'a> {
    pub(super) algebra: &'a mut Algebra,
    pub(super) options: &'a Options,
}

/// Values that have names: `x = 1, y = 2`.
struct Named {
    names: Vec<Shape>,
    values: Vec<Shape>,
    /// All names are one, or one with different indices: the values are a set.
    one: bool,
}

impl Comparer<'_> {
    pub(super) fn compare(&mut self, gold: &Shape, pred: &Shape) -> Decision {
        if let Err(why) = self.algebra.budget.spend(10) {
            return Decision::unclear(Rule::Limits, why);
        }
        match (gold, pred) {
            (Shape::Unread(why), _) | (_, Shape::Unread(why)) => Decision::unclear(Rule::Unread, why.clone()),
            (Shape::Relations(..), Shape::Relations(..)) => self.relations(gold, pred),
            (Shape::Relations(..), Shape::List(items)) | (Shape::List(items), Shape::Relations(..))
                if items.iter().any(|item| matches!(item, Shape::Relations(..))) =>
            {
                Decision::unclear(Rule::Forms, Why::NotShown)
            }
            (Shape::Relations(..), _) => match self.meaning(gold) {
                Some((_, value)) => self.compare(&value, pred).by(Rule::Assignment),
                None => Decision::different(Rule::Forms),
            },
            (_, Shape::Relations(..)) => match self.meaning(pred) {
                Some((_, value)) => self.compare(gold, &value).by(Rule::Assignment),
                None => Decision::different(Rule::Forms),
            },
            (Shape::Value(a), Shape::Value(b)) => self.values(a, b),
            (Shape::Words(a), Shape::Words(b)) => words(a, b),
            (Shape::Matrix(a), Shape::Matrix(b)) => self.matrices(a, b),
            (Shape::Matrix(rows), Shape::Sequence(_, _, items) | Shape::List(items)) => match vector(rows) {
                Some(cells) => self.each(&cells, items, Rule::Matrix),
                None => Decision::different(Rule::Forms),
            },
            (Shape::Sequence(_, _, items) | Shape::List(items), Shape::Matrix(rows)) => match vector(rows) {
                Some(cells) => self.each(items, &cells, Rule::Matrix),
                None => Decision::different(Rule::Forms),
            },
            (Shape::Based(_, base, x), Shape::Based(_, other, y)) => self.based(x, y, false, base == other),
            (Shape::Based(a, _, x), Shape::Value(y)) => {
                let same = y.frac.as_integer().is_some_and(|y| y.to_string() == *a);
                self.based(x, &y.frac, same, false)
            }
            (Shape::Value(x), Shape::Based(b, _, y)) => {
                let same = x.frac.as_integer().is_some_and(|x| x.to_string() == *b);
                self.based(&x.frac, y, same, false)
            }
            (Shape::Ratio(a, clock, x), Shape::Ratio(b, time, y)) => self.ratios(a, b, *clock || *time, x, y),
            (Shape::Ratio(parts, ..), Shape::Value(value)) => self.ratio_and_value(parts, value, true),
            (Shape::Value(value), Shape::Ratio(parts, ..)) => self.ratio_and_value(parts, value, false),
            (Shape::Union(a), Shape::Union(b)) => self.unordered(a, b, Rule::Interval),
            (Shape::Union(a), Shape::List(b)) | (Shape::List(a), Shape::Union(b)) => {
                self.unordered(a, b, Rule::Interval)
            }
            (Shape::Set(a), Shape::Set(b)) => self.sets(a, b),
            (Shape::Set(a), Shape::List(b)) | (Shape::List(a), Shape::Set(b)) => {
                let (a, b) = (self.unnamed(a), self.unnamed(b));
                self.sets(&a, &b)
            }
            (Shape::Set(a), Shape::Value(_)) if a.len() == 1 => self.compare(&a[0], pred).by(Rule::Set),
            (Shape::Value(_), Shape::Set(b)) if b.len() == 1 => self.compare(gold, &b[0]).by(Rule::Set),
            (Shape::List(a), Shape::List(b)) => self.lists(a, b),
            (Shape::Sequence(open, close, a), Shape::Sequence(from, to, b)) => {
                self.sequences((*open, *close, a), (*from, *to, b))
            }
            (Shape::Sequence(Bracket::Paren, Bracket::Paren, a), Shape::List(b)) => {
                let (a, b) = (self.unnamed(a), self.unnamed(b));
                self.each(&a, &b, Rule::Tuple)
            }
            // Named values have an order; of others it is not known whether they are a point or solutions.
            (Shape::List(a), Shape::Sequence(Bracket::Paren, Bracket::Paren, b)) => {
                let named = self.named(a).filter(|named| !named.one);
                let (a, b) = (self.unnamed(a), self.unnamed(b));
                let decision = self.each(&a, &b, Rule::Tuple);
                if decision.verdict == Verdict::Equal && named.is_none() {
                    return Decision::unclear(Rule::Tuple, Why::Order);
                }
                decision
            }
            // What several relations say together is not worked out.
            (Shape::List(items), _) | (_, Shape::List(items))
                if items.iter().any(|item| matches!(item, Shape::Relations(..))) =>
            {
                Decision::unclear(Rule::Forms, Why::NotShown)
            }
            _ => Decision::different(Rule::Forms),
        }
    }

    /// Parts in their order.
    fn each(&mut self, gold: &[Shape], pred: &[Shape], rule: Rule) -> Decision {
        if gold.len() != pred.len() {
            return Decision::different(rule);
        }
        let mut unclear = None;
        for (a, b) in gold.iter().zip(pred) {
            let decision = self.compare(a, b);
            match decision.verdict {
                Verdict::Equal => {}
                Verdict::Different => return Decision::different(rule),
                Verdict::Unclear => unclear = Some(decision.by(rule)),
            }
        }
        unclear.unwrap_or(Decision::equal(rule))
    }

    /// Parts in any order: every part has one of its own on the other side.
    fn unordered(&mut self, gold: &[Shape], pred: &[Shape], rule: Rule) -> Decision {
        if gold.len() != pred.len() {
            return Decision::different(rule);
        }
        let mut free: Vec<usize> = (0..pred.len()).collect();
        let mut unclear: Option<Decision> = None;
        for part in gold {
            let (mut found, mut doubt) = (None, None);
            for (place, &other) in free.iter().enumerate() {
                let decision = self.compare(part, &pred[other]);
                match decision.verdict {
                    Verdict::Equal => {
                        found = Some(place);
                        break;
                    }
                    Verdict::Unclear => doubt = Some(decision.by(rule)),
                    Verdict::Different => {}
                }
            }
            match (found, doubt) {
                (Some(place), _) => {
                    free.remove(place);
                }
                (None, Some(doubt)) => unclear = Some(doubt),
                (None, None) => return Decision::different(rule),
            }
        }
        unclear.unwrap_or(Decision::equal(rule))
    }

    /// Sets: what is in one is in the other, however often it is written.
    fn sets(&mut self, gold: &[Shape], pred: &[Shape]) -> Decision {
        let (gold, pred) = (self.distinct(gold), self.distinct(pred));
        self.unordered(&gold, &pred, Rule::Set)
    }

    fn distinct(&mut self, items: &[Shape]) -> Vec<Shape> {
        let mut out: Vec<Shape> = Vec::new();
        for item in items {
            if !out.iter().any(|other| self.compare(other, item).verdict == Verdict::Equal) {
                out.push(item.clone());
            }
        }
        out
    }

    fn lists(&mut self, gold: &[Shape], pred: &[Shape]) -> Decision {
        let (a, b) = (self.named(gold), self.named(pred));
        match (a, b) {
            (Some(a), Some(b)) if !a.one && !b.one => self.by_name(&a, &b),
            (Some(a), b) if !a.one => {
                let pred = b.map_or_else(|| pred.to_vec(), |b| b.values);
                self.each(&a.values, &pred, Rule::Assignment)
            }
            (a, Some(b)) if !b.one => {
                let gold = a.map_or_else(|| gold.to_vec(), |a| a.values);
                self.each(&gold, &b.values, Rule::Assignment)
            }
            (a, b) => {
                let gold = a.map_or_else(|| gold.to_vec(), |a| a.values);
                let pred = b.map_or_else(|| pred.to_vec(), |b| b.values);
                if self.options.ordered_lists {
                    self.each(&gold, &pred, Rule::List)
                } else {
                    // Repeating an element says nothing new, except where the gold answer does.
                    let repeats = self.distinct(&gold).len() < gold.len();
                    let pred = if repeats { pred } else { self.distinct(&pred) };
                    self.unordered(&gold, &pred, Rule::List)
                }
            }
        }
    }

    fn by_name(&mut self, gold: &Named, pred: &Named) -> Decision {
        if gold.names.len() != pred.names.len() {
            return Decision::different(Rule::Assignment);
        }
        let mut ordered = Vec::new();
        for name in &gold.names {
            let same = |this: &mut Self, other: &Shape| this.compare(name, other).verdict == Verdict::Equal;
            let Some(place) = pred.names.iter().position(|other| same(self, other)) else {
                let decision = self.each(&gold.values, &pred.values, Rule::Assignment);
                // The same values under other names may or may not be the same answer.
                return match decision.verdict {
                    Verdict::Equal => Decision::unclear(Rule::Assignment, Why::Names),
                    _ => decision,
                };
            };
            ordered.push(pred.values[place].clone());
        }
        self.each(&gold.values, &ordered, Rule::Assignment)
    }

    /// The values of elements that are assignments, in their order.
    fn unnamed(&mut self, items: &[Shape]) -> Vec<Shape> {
        self.named(items).map_or_else(|| items.to_vec(), |named| named.values)
    }

    /// Names and values of elements like `x = 1, y = 2` or `x = 1, 2`.
    fn named(&mut self, items: &[Shape]) -> Option<Named> {
        if !items.iter().any(|item| matches!(item, Shape::Relations(..))) {
            return None;
        }
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for (place, item) in items.iter().enumerate() {
            match item {
                Shape::Relations(_, relations) if assigns(relations) => {
                    let (name, value) = self.meaning(item)?;
                    names.push(name?);
                    // `x = 1 \pm 2` are two values of one name.
                    values.push(value);
                }
                Shape::Relations(..) => return None,
                _ if place > 0 && names.len() == 1 => values.push(item.clone()),
                _ => return None,
            }
        }
        let same = names.iter().skip(1).all(|name| self.compare(&names[0], name).verdict == Verdict::Equal);
        let stem = |name: &Shape| stem(self.algebra, name);
        let first = stem(&names[0]);
        let indexed = first.is_some() && names.iter().all(|name| stem(name) == first);
        let one = same || indexed;
        let flat = |value| match value {
            Shape::List(inner) if one => inner,
            other => vec![other],
        };
        Some(Named { names, values: values.into_iter().flat_map(flat).collect(), one })
    }

    fn sequences(&mut self, gold: (Bracket, Bracket, &[Shape]), pred: (Bracket, Bracket, &[Shape])) -> Decision {
        let square = [gold.0, gold.1, pred.0, pred.1].contains(&Bracket::Square);
        let rule = if square && gold.2.len() == 2 { Rule::Interval } else { Rule::Tuple };
        // Nothing is at an infinite end, so its bracket says nothing.
        let infinite = |this: &Self, end: Option<&Shape>| {
            let is = |id: u32| matches!(&this.algebra.known(id).atom, Atom::Symbol(name) if name == "\u{221e}");
            matches!(end, Some(Shape::Value(value)) if value.frac.num.atoms().any(is))
        };
        let starts = gold.0 == pred.0 || infinite(self, gold.2.first());
        let ends = gold.1 == pred.1 || infinite(self, gold.2.last());
        if !starts || !ends {
            return Decision::different(rule);
        }
        if rule == Rule::Tuple {
            let (a, b) = (self.unnamed(gold.2), self.unnamed(pred.2));
            return self.each(&a, &b, rule);
        }
        self.each(gold.2, pred.2, rule)
    }

    fn matrices(&mut self, gold: &[Vec<Shape>], pred: &[Vec<Shape>]) -> Decision {
        if gold.len() == pred.len() && gold[0].len() == pred[0].len() {
            return self.each(&gold.concat(), &pred.concat(), Rule::Matrix);
        }
        match (vector(gold), vector(pred)) {
            // A row and a column.
            (Some(a), Some(b)) if self.each(&a, &b, Rule::Matrix).verdict != Verdict::Different => {
                Decision::unclear(Rule::Matrix, Why::Forms)
            }
            _ => Decision::different(Rule::Matrix),
        }
    }

    /// Numbers of which one at least names its base. A base is named where the question asks for it, so another
    /// base, or none, is not right for certain.
    fn based(&mut self, gold: &Frac, pred: &Frac, same_digits: bool, same_base: bool) -> Decision {
        let decision = self.fracs(gold, pred).by(Rule::Base);
        match decision.verdict {
            Verdict::Equal if !same_base => Decision::unclear(Rule::Base, Why::OtherBase),
            Verdict::Different if same_digits && !same_base => Decision::unclear(Rule::Base, Why::NoBase),
            _ => decision,
        }
    }

    fn ratios(&mut self, gold: &[Shape], pred: &[Shape], clock: bool, x: &Option<Unit>, y: &Option<Unit>) -> Decision {
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

    fn ratio_and_value(&mut self, parts: &[Shape], value: &Value, ratio_is_gold: bool) -> Decision {
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
    fn fracs(&mut self, gold: &Frac, pred: &Frac) -> Decision {
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

    fn values(&mut self, gold: &Value, pred: &Value) -> Decision {
        match self.measured(gold, pred) {
            Ok(decision) => decision,
            Err(why) => Decision::unclear(Rule::Limits, why),
        }
    }

    /// Numbers with their units and signs.
    fn measured(&mut self, gold: &Value, pred: &Value) -> Result<Decision, Why> {
        let bare = |this: &Self, value: &Value| value.frac.atoms().all(|id| this.algebra.known(id).constant);
        // A letter behind a number is a variable, except beside a number without one.
        let read = |this: &Self, value: &Value, other: &Value| match this.letter(value) {
            Some(read) if value.unit.is_none() && bare(this, other) => read,
            _ => value.clone(),
        };
        let (gold, pred) = (&read(self, gold, pred), &read(self, pred, gold));
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
    fn letter(&self, value: &Value) -> Option<Value> {
        let (mono, coefficient) = value.frac.num.0.first_key_value()?;
        let &[(id, power)] = &mono[..] else { return None };
        let Atom::Symbol(name) = &self.algebra.known(id).atom else { return None };
        if value.frac.num.0.len() > 1 || !["m", "g", "s", "h"].contains(&name.as_str()) {
            return None;
        }
        let frac = Frac { num: Poly::constant(coefficient.clone()), den: value.frac.den.clone() };
        Some(Value { frac, unit: Some(unit(name, power)), ..value.clone() })
    }

    /// Numbers with percent and degree signs. A sign that one answer leaves out may be implied by the question.
    fn marked(&mut self, gold: &Value, pred: &Value) -> Result<Decision, Why> {
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
    fn rounded(&mut self, gold: &Value, pred: &Value) -> Result<Decision, Why> {
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

    fn relations(&mut self, gold: &Shape, pred: &Shape) -> Decision {
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

    /// Whether `a - b` and `c - d` are multiples of each other: by a positive number where the direction counts.
    fn proportional(&mut self, a: &Shape, b: &Shape, c: &Shape, d: &Shape, directed: bool) -> Option<Decision> {
        let (Shape::Value(a), Shape::Value(b), Shape::Value(c), Shape::Value(d)) = (a, b, c, d) else { return None };
        let rule = if directed { Rule::Inequality } else { Rule::Equation };
        Some(match self.multiples((&a.frac, &b.frac), (&c.frac, &d.frac), directed) {
            Ok(Some(true)) => Decision::equal(rule),
            Ok(Some(false)) => Decision::different(rule),
            Ok(None) => Decision::unclear(rule, Why::Proportion),
            Err(why) => Decision::unclear(Rule::Limits, why),
        })
    }

    fn multiples(&mut self, left: (&Frac, &Frac), right: (&Frac, &Frac), directed: bool) -> Result<Option<bool>, Why> {
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

    /// What a relation says of one name, if it does: that name, where there is one, and a value, set or interval.
    fn meaning(&mut self, shape: &Shape) -> Option<(Option<Shape>, Shape)> {
        let Shape::Relations(sides, relations) = shape else { return None };
        if assigns(relations) {
            return self.assigned(sides, relations);
        }
        if relations[..] == [Relation::In] {
            return Some((Some(sides[0].clone()), sides[1].clone()));
        }
        self.range(sides, relations)
    }

    fn assigned(&self, sides: &[Shape], relations: &[Relation]) -> Option<(Option<Shape>, Shape)> {
        let first_approx = relations.iter().position(|relation| *relation == Relation::Approx);
        let last = first_approx.filter(|&place| place > 0).unwrap_or(sides.len() - 1);
        let (name, value) = (&sides[0], &sides[last]);
        let constant = |shape: &Shape| match shape {
            Shape::Value(value) => value.frac.atoms().all(|id| self.algebra.known(id).constant),
            _ => false,
        };
        if sides.iter().all(constant) {
            return Some((None, value.clone()));
        }
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

    /// `x > 2`, `1 < x <= 2` and `x != 3` as sets of numbers.
    fn range(&mut self, sides: &[Shape], relations: &[Relation]) -> Option<(Option<Shape>, Shape)> {
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

    /// The numbers whose absolute value is between two bounds.
    fn around_zero(
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

fn assigns(relations: &[Relation]) -> bool {
    relations.iter().all(|relation| matches!(relation, Relation::Equal | Relation::Approx))
}

/// The smaller and the larger side of an inequality of two, and whether it is strict.
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

/// The cells of a matrix of one row or column.
fn vector(rows: &[Vec<Shape>]) -> Option<Vec<Shape>> {
    (rows.len() == 1 || rows[0].len() == 1).then(|| rows.concat())
}

/// Letters whose indices number the solutions of an equation; other indexed names are sequences.
const UNKNOWNS: [&str; 6] = ["x", "y", "z", "t", "r", "\u{3b8}"];

/// The letter of an unknown with an index.
fn stem(algebra: &Algebra, name: &Shape) -> Option<String> {
    let Shape::Value(value) = name else { return None };
    let mut atoms = value.frac.atoms();
    let (Some(id), None) = (atoms.next(), atoms.next()) else { return None };
    match &algebra.known(id).atom {
        Atom::Symbol(name) => name.split_once('_').map(|(stem, _)| stem.to_owned()).filter(|s| UNKNOWNS.contains(&s.as_str())),
        _ => None,
    }
}

/// Words are the same in any case, with any white space and punctuation between. Signs and single letters, which may be
/// names, count as they are.
pub(super) fn words(gold: &str, pred: &str) -> Decision {
    let (gold, pred) = (word_list(gold), word_list(pred));
    if gold == pred {
        return Decision::equal(Rule::Text);
    }
    let (short, long) = if gold.len() < pred.len() { (&gold, &pred) } else { (&pred, &gold) };
    let all: HashSet<&str> = long.iter().map(String::as_str).collect();
    if !short.is_empty() && short.iter().all(|word| all.contains(word.as_str())) {
        return Decision::unclear(Rule::Text, Why::Contained);
    }
    Decision::different(Rule::Text)
}

fn word_list(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for piece in text.split(|c: char| c.is_whitespace() || ".,;:'\"?!{}$\\".contains(c)) {
        let mut word = String::new();
        for c in piece.chars() {
            if c.is_alphanumeric() {
                word.push(c);
                continue;
            }
            let before = std::mem::take(&mut word);
            // A hyphen between words, not the minus sign of `x-y`.
            let hyphen = c == '-' && before.chars().count() > 1;
            out.extend((!before.is_empty()).then_some(before));
            out.extend((!hyphen).then(|| c.to_string()));
        }
        out.extend((!word.is_empty()).then_some(word));
    }
    let cased = |word: String| if word.chars().count() > 1 { word.to_lowercase() } else { word };
    out.into_iter().map(cased).collect()
}
