//! Tuples, lists, sets and matrices.

use super::{Comparer, names::Named};
use crate::{
    Verdict,
    equality::{
        algebra::Atom,
        decision::{Decision, Rule},
        read::{Bracket, assigns},
        shape::{Shape, has_relations},
        why::Why,
    },
};

impl Comparer<'_> {
    pub(crate) fn with_matrix(&mut self, gold: &Shape, pred: &Shape) -> Decision {
        match (gold, pred) {
            (Shape::Matrix(a), Shape::Matrix(b)) => self.matrices(a, b),
            (Shape::Matrix(rows), Shape::Sequence(_, _, items) | Shape::List(items)) => match vector(rows) {
                Some(cells) => self.each(&cells, items, Rule::Matrix),
                None => Decision::different(Rule::Forms),
            },
            (Shape::Sequence(_, _, items) | Shape::List(items), Shape::Matrix(rows)) => match vector(rows) {
                Some(cells) => self.each(items, &cells, Rule::Matrix),
                None => Decision::different(Rule::Forms),
            },
            // Arrays are also set around what is no matrix.
            (Shape::Matrix(rows), other) | (other, Shape::Matrix(rows)) => match &rows.concat()[..] {
                [cell] if self.compare(cell, other).verdict != Verdict::Different => {
                    Decision::unclear(Rule::Matrix, Why::Forms)
                }
                _ => Decision::different(Rule::Forms),
            },
            _ => Decision::different(Rule::Forms),
        }
    }

    /// Tuples, lists, sets and unions.
    pub(crate) fn collections(&mut self, gold: &Shape, pred: &Shape) -> Decision {
        match (gold, pred) {
            (Shape::Union(a), Shape::Union(b) | Shape::List(b)) | (Shape::List(a), Shape::Union(b)) => {
                self.unions(a, b)
            }
            (Shape::Union(a), Shape::Sequence(..) | Shape::Set(_)) => self.unions(a, std::slice::from_ref(pred)),
            (Shape::Sequence(..) | Shape::Set(_), Shape::Union(b)) => self.unions(std::slice::from_ref(gold), b),
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
            (Shape::Sequence(Bracket::Paren, Bracket::Paren, a), Shape::List(b)) => self.point_and_list(a, b, false),
            (Shape::List(a), Shape::Sequence(Bracket::Paren, Bracket::Paren, b)) => self.point_and_list(b, a, true),
            // Words that are not known may say that there is none.
            (Shape::Set(a), Shape::Words(_)) | (Shape::Words(_), Shape::Set(a)) if a.is_empty() => {
                Decision::unclear(Rule::Set, Why::Forms)
            }
            // `1/2 or 0.5` is one answer, said twice.
            (Shape::Value(_), Shape::List(items)) if self.one_value(gold, items) => Decision::equal(Rule::List),
            // What several relations say together is not worked out.
            (Shape::List(items), _) | (_, Shape::List(items)) if has_relations(items) => {
                Decision::unclear(Rule::Forms, Why::NotShown)
            }
            _ => Decision::different(Rule::Forms),
        }
    }

    /// Returns whether all elements are one value, which the gold answer is.
    fn one_value(&mut self, gold: &Shape, items: &[Shape]) -> bool {
        let met = items.iter().all(|item| self.compare(gold, item).verdict == Verdict::Equal);
        met && self.distinct(items).is_ok_and(|distinct| distinct.len() == 1)
    }

    /// Parts in their order.
    pub(crate) fn each(&mut self, gold: &[Shape], pred: &[Shape], rule: Rule) -> Decision {
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
    pub(crate) fn unordered(&mut self, gold: &[Shape], pred: &[Shape], rule: Rule) -> Decision {
        if gold.len() != pred.len() {
            return Decision::different(rule);
        }
        let mut free: Vec<usize> = (0..pred.len()).collect();
        let mut unclear: Option<Decision> = None;
        for part in gold {
            if let Err(why) = self.algebra.budget.spend(1) {
                return Decision::unclear(Rule::Limits, why);
            }
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
    pub(crate) fn sets(&mut self, gold: &[Shape], pred: &[Shape]) -> Decision {
        match (self.distinct(gold), self.distinct(pred)) {
            (Ok(gold), Ok(pred)) => self.unordered(&gold, &pred, Rule::Set),
            (Err(why), _) | (_, Err(why)) => Decision::unclear(Rule::Limits, why),
        }
    }

    fn distinct(&mut self, items: &[Shape]) -> Result<Vec<Shape>, Why> {
        let mut out: Vec<Shape> = Vec::new();
        for item in items {
            let known = out.iter().any(|other| self.compare(other, item).verdict == Verdict::Equal);
            // Nothing is shown any more once the work is used up.
            self.algebra.budget.spend(1)?;
            if !known {
                out.push(item.clone());
            }
        }
        Ok(out)
    }

    pub(crate) fn lists(&mut self, gold: &[Shape], pred: &[Shape]) -> Decision {
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
                let nameless =
                    |named: &Option<Named>, items: &[Shape]| named.is_none() && items.iter().any(is_assignment);
                if nameless(&a, gold) || nameless(&b, pred) {
                    // `a = 1, b = 2, a = 3, b = 4`: which belong together is not worked out.
                    let decision = self.each(gold, pred, Rule::Assignment);
                    let unclear = Decision::unclear(Rule::Assignment, Why::NotShown);
                    return if decision.verdict == Verdict::Equal { decision } else { unclear };
                }
                let gold = a.map_or_else(|| gold.to_vec(), |a| a.values);
                let pred = b.map_or_else(|| pred.to_vec(), |b| b.values);
                let ordered = self.each(&gold, &pred, Rule::List);
                if self.options.ordered_lists || ordered.verdict == Verdict::Equal {
                    ordered
                } else {
                    // Repeating an element says nothing new, except where the gold answer does.
                    let pred = match (self.distinct(&gold), self.distinct(&pred)) {
                        (Ok(once), Ok(distinct)) => {
                            if once.len() == gold.len() {
                                distinct
                            } else {
                                pred
                            }
                        }
                        (Err(why), _) | (_, Err(why)) => return Decision::unclear(Rule::Limits, why),
                    };
                    self.unordered(&gold, &pred, Rule::List)
                }
            }
        }
    }

    pub(crate) fn sequences(
        &mut self,
        gold: (Bracket, Bracket, &[Shape]),
        pred: (Bracket, Bracket, &[Shape]),
    ) -> Decision {
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

    pub(crate) fn matrices(&mut self, gold: &[Vec<Shape>], pred: &[Vec<Shape>]) -> Decision {
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
}

fn is_assignment(shape: &Shape) -> bool {
    matches!(shape, Shape::Relations(_, relations) if assigns(relations))
}

/// Returns the cells of a matrix of one row or column.
fn vector(rows: &[Vec<Shape>]) -> Option<Vec<Shape>> {
    (rows.len() == 1 || rows[0].len() == 1).then(|| rows.concat())
}
