//! Values that have names: `x = 1, y = 2`.

use super::Comparer;
use crate::{
    Verdict,
    equality::{
        algebra::{Algebra, Atom},
        decision::{Decision, Rule},
        read::assigns,
        shape::Shape,
        why::Why,
    },
};

/// Values that have names: `x = 1, y = 2`.
pub(crate) struct Named {
    pub(crate) names: Vec<Shape>,
    pub(crate) values: Vec<Shape>,
    /// All names are one, or one with different indices: the values are a set.
    pub(crate) one: bool,
}

impl Comparer<'_> {
    pub(crate) fn by_name(&mut self, gold: &Named, pred: &Named) -> Decision {
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

    /// Compares `(x, y) = (1, 2)` and `x = 1, y = 2`.
    pub(crate) fn tuple_and_list(&mut self, relation: &Shape, items: &[Shape], relation_is_gold: bool) -> Decision {
        let tuple = match self.meaning(relation) {
            Some((Some(Shape::Sequence(_, _, names)), Shape::Sequence(_, _, values)))
                if names.len() == values.len() =>
            {
                Some(Named { names, values, one: false })
            }
            _ => None,
        };
        match (tuple, self.named(items)) {
            (Some(a), Some(b)) if relation_is_gold => self.by_name(&a, &b),
            (Some(a), Some(b)) => self.by_name(&b, &a),
            _ => Decision::unclear(Rule::Forms, Why::NotShown),
        }
    }

    /// Compares a point and a list. Values of `x`, `y` and `z` are those of a point in this order; it is not known in
    /// which order values of other names are asked for, nor whether values without names are a point or solutions.
    pub(crate) fn point_and_list(&mut self, point: &[Shape], list: &[Shape], list_is_gold: bool) -> Decision {
        let named = self.named(list).filter(|named| !named.one);
        let coordinates = named.as_ref().and_then(|named| self.coordinates(named));
        let known = coordinates.is_some();
        let (point, list) = (self.unnamed(point), coordinates.unwrap_or_else(|| self.unnamed(list)));
        let (gold, pred) = if list_is_gold { (&list, &point) } else { (&point, &list) };
        let decision = self.each(gold, pred, Rule::Tuple);
        let unsure = match decision.verdict {
            _ if known => false,
            Verdict::Equal => list_is_gold,
            Verdict::Different => {
                named.is_some() && self.unordered(gold, pred, Rule::Tuple).verdict != Verdict::Different
            }
            Verdict::Unclear => false,
        };
        if unsure { Decision::unclear(Rule::Tuple, Why::Order) } else { decision }
    }

    /// Returns the values of `x` and `y`, or of these and `z`, where nothing else has a name.
    fn coordinates(&self, named: &Named) -> Option<Vec<Shape>> {
        let axes = ["x", "y", "z"].get(..named.names.len()).filter(|axes| axes.len() > 1)?;
        let value = |axis: &&str| {
            let place = named.names.iter().position(|name| symbol(self.algebra, name) == Some(*axis))?;
            named.values.get(place).cloned()
        };
        axes.iter().map(value).collect()
    }

    /// Returns the values of elements that are assignments, in their order.
    pub(crate) fn unnamed(&mut self, items: &[Shape]) -> Vec<Shape> {
        self.named(items).map_or_else(|| items.to_vec(), |named| named.values)
    }

    /// Names and values of elements like `x = 1, y = 2` or `x = 1, 2`.
    pub(crate) fn named(&mut self, items: &[Shape]) -> Option<Named> {
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
        let repeated = |(place, name): (usize, &Shape)| {
            names[..place].iter().any(|other| self.compare(other, name).verdict == Verdict::Equal)
        };
        if !one && names.iter().enumerate().any(repeated) {
            return None;
        }
        let flat = |value| match value {
            Shape::List(inner) if one => inner,
            other => vec![other],
        };
        Some(Named { names, values: values.into_iter().flat_map(flat).collect(), one })
    }
}

/// Letters whose indices number the solutions of an equation; other indexed names are sequences.
const UNKNOWNS: [&str; 6] = ["x", "y", "z", "t", "r", "\u{3b8}"];

/// Returns the letter of an unknown with an index.
fn stem(algebra: &Algebra, name: &Shape) -> Option<String> {
    let (stem, _) = symbol(algebra, name)?.split_once('_')?;
    Some(stem.to_owned()).filter(|stem| UNKNOWNS.contains(&stem.as_str()))
}

/// Returns the one letter that a name is, with its index.
fn symbol<'a>(algebra: &'a Algebra, name: &Shape) -> Option<&'a str> {
    let Shape::Value(value) = name else { return None };
    let mut atoms = value.frac.atoms();
    let (Some(id), None) = (atoms.next(), atoms.next()) else { return None };
    match &algebra.known(id).atom {
        Atom::Symbol(name) => Some(name),
        _ => None,
    }
}
