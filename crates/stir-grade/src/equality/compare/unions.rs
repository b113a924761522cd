//! Unions of intervals and points, joined where they touch or overlap.

use std::cmp::Ordering;

use super::Comparer;
use crate::{
    Verdict,
    equality::{
        algebra::{Atom, Frac, Zero},
        decision::{Decision, Rule},
        read::Bracket,
        shape::{Shape, names::less},
        why::Why,
    },
};

/// An end of an interval.
#[derive(Debug, Clone, PartialEq)]
enum End {
    Below,
    At(Frac),
    Above,
}

/// An interval, or, with equal closed ends, a point.
#[derive(Debug, Clone)]
struct Part {
    lo: End,
    hi: End,
    /// True if the ends belong to it.
    closed: (bool, bool),
}

impl Comparer<'_> {
    /// Unions as sets of numbers; part by part where the order of their ends is not known.
    pub(crate) fn unions(&mut self, gold: &[Shape], pred: &[Shape]) -> Decision {
        match self.joined(gold).and_then(|gold| Ok(gold.zip(self.joined(pred)?))) {
            Ok(Some((gold, pred))) => self.same_parts(&gold, &pred),
            Ok(None) => {
                let decision = self.unordered(gold, pred, Rule::Interval);
                match decision.verdict {
                    Verdict::Different => Decision::unclear(Rule::Interval, Why::NotShown),
                    _ => decision,
                }
            }
            Err(why) => Decision::unclear(Rule::Limits, why),
        }
    }

    fn same_parts(&mut self, gold: &[Part], pred: &[Part]) -> Decision {
        let mut same = gold.len() == pred.len();
        for (a, b) in gold.iter().zip(pred) {
            for (x, y) in [(&a.lo, &b.lo), (&a.hi, &b.hi)] {
                match self.order(x, y) {
                    Ok(Some(order)) => same &= order == Ordering::Equal,
                    Ok(None) => return Decision::unclear(Rule::Interval, Why::NotShown),
                    Err(why) => return Decision::unclear(Rule::Limits, why),
                }
            }
            same &= a.closed == b.closed;
        }
        if same { Decision::equal(Rule::Interval) } else { Decision::different(Rule::Interval) }
    }

    /// Returns the parts in ascending order, none touching the next; `None` where they cannot be ordered.
    fn joined(&mut self, parts: &[Shape]) -> Result<Option<Vec<Part>>, Why> {
        let mut sorted: Vec<Part> = Vec::new();
        for shape in parts {
            let Some(parts) = self.parts(shape) else { return Ok(None) };
            for part in parts {
                // An empty part is a slip of the pen.
                let inside = self.order(&part.lo, &part.hi)?;
                if inside != Some(Ordering::Less) && !(inside == Some(Ordering::Equal) && part.closed == (true, true)) {
                    return Ok(None);
                }
                let mut place = 0;
                while let Some(other) = sorted.get(place) {
                    let Some(order) = self.order(&other.lo, &part.lo)? else { return Ok(None) };
                    // Of equal ends the closed one is lower.
                    if order == Ordering::Greater || (order == Ordering::Equal && !other.closed.0) {
                        break;
                    }
                    place += 1;
                }
                sorted.insert(place, part);
            }
        }
        let mut out: Vec<Part> = Vec::new();
        for part in sorted {
            let Some(last) = out.last_mut() else {
                out.push(part);
                continue;
            };
            let Some(gap) = self.order(&last.hi, &part.lo)? else { return Ok(None) };
            if gap == Ordering::Less || (gap == Ordering::Equal && !last.closed.1 && !part.closed.0) {
                out.push(part);
                continue;
            }
            match self.order(&last.hi, &part.hi)? {
                Some(Ordering::Less) => (last.hi, last.closed.1) = (part.hi, part.closed.1),
                Some(Ordering::Equal) => last.closed.1 |= part.closed.1,
                Some(Ordering::Greater) => {}
                None => return Ok(None),
            }
        }
        Ok(Some(out))
    }

    /// Returns the intervals and points of one part of a union.
    fn parts(&mut self, shape: &Shape) -> Option<Vec<Part>> {
        match shape {
            Shape::Sequence(open, close, ends) => {
                let [lo, hi] = &ends[..] else { return None };
                let (lo, hi) = (self.end(lo)?, self.end(hi)?);
                // No interval holds an infinite end.
                let closed = |bracket: &Bracket, end: &End| *bracket == Bracket::Square && matches!(end, End::At(_));
                let closed = (closed(open, &lo), closed(close, &hi));
                Some(vec![Part { lo, hi, closed }])
            }
            Shape::Set(points) => {
                let point = |shape| self.end(shape).map(|end| Part { lo: end.clone(), hi: end, closed: (true, true) });
                points.iter().map(point).collect()
            }
            Shape::Relations(..) => {
                let (_, value) = self.meaning(shape)?;
                match value {
                    Shape::Relations(..) => None,
                    Shape::Union(parts) => {
                        Some(parts.iter().map(|part| self.parts(part)).collect::<Option<Vec<_>>>()?.concat())
                    }
                    value => self.parts(&value),
                }
            }
            _ => None,
        }
    }

    fn end(&self, shape: &Shape) -> Option<End> {
        let Shape::Value(value) = shape else { return None };
        let infinite = |id: u32| matches!(&self.algebra.known(id).atom, Atom::Symbol(name) if name == "\u{221e}");
        if value.frac.num.atoms().any(infinite) {
            return Some(if value.frac.num.leads_negative() { End::Below } else { End::Above });
        }
        let constant = value.frac.atoms().all(|id| self.algebra.known(id).constant);
        (constant && value.unit.is_none() && value.mark.is_none()).then(|| End::At(value.frac.clone()))
    }

    fn order(&mut self, a: &End, b: &End) -> Result<Option<Ordering>, Why> {
        self.algebra.budget.spend(10)?;
        let (x, y) = match (a, b) {
            (End::At(x), End::At(y)) => (x, y),
            _ if a == b => return Ok(Some(Ordering::Equal)),
            (End::Below, _) | (_, End::Above) => return Ok(Some(Ordering::Less)),
            _ => return Ok(Some(Ordering::Greater)),
        };
        Ok(match less(self.algebra, x, y)? {
            Some(true) => Some(Ordering::Less),
            Some(false) => Some(Ordering::Greater),
            None => (self.algebra.difference(x, y)? == Zero::Yes).then_some(Ordering::Equal),
        })
    }
}
