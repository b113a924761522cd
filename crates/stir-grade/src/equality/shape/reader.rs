//! The shape of a tree.

use super::{Mark, Shape, Value, names::less, values};
use crate::equality::{
    algebra::{Algebra, Frac},
    limits::MAX_DEPTH,
    read::{
        Bracket, Id, Node, Tree, children,
        units::{self, Unit, multiplier, operation, unit},
        vocabulary,
    },
    why::Why,
};

/// Returns the shape of an answer.
pub(crate) fn shape(algebra: &mut Algebra, tree: &Tree) -> Shape {
    let mut both = Vec::with_capacity(tree.nodes.len());
    let mut signs: Vec<usize> = Vec::with_capacity(tree.nodes.len());
    for node in &tree.nodes {
        let own = usize::from(matches!(node, Node::Both(_, _, false)));
        signs.push(children(node).into_iter().fold(own, |sum, id| sum.saturating_add(signs[id])));
        let has = matches!(node, Node::Both(..)) || children(node).into_iter().any(|id| both[id]);
        both.push(has);
    }
    let plus = values::values(algebra, tree, true);
    let minus = if both[tree.root] { values::values(algebra, tree, false) } else { Vec::new() };
    let mut reader = Reader { algebra, tree, both, signs, plus, minus, depth: 0 };
    reader.shape(tree.root).unwrap_or_else(Shape::Unread)
}

pub(crate) struct Reader<'a> {
    pub(crate) algebra: &'a mut Algebra,
    tree: &'a Tree,
    /// Set for the nodes that mean two values.
    both: Vec<bool>,
    /// The number of `\pm` of each node.
    signs: Vec<usize>,
    plus: Vec<Result<Frac, Why>>,
    minus: Vec<Result<Frac, Why>>,
    depth: usize,
}

impl Reader<'_> {
    fn shape(&mut self, id: Id) -> Result<Shape, Why> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Why::TooDeep);
        }
        let shape = self.shape_inside(id);
        self.depth -= 1;
        shape
    }

    fn shapes(&mut self, ids: &[Id]) -> Result<Vec<Shape>, Why> {
        ids.iter().map(|&id| self.shape(id)).collect()
    }

    fn shape_inside(&mut self, id: Id) -> Result<Shape, Why> {
        let tree = self.tree;
        Ok(match &tree.nodes[id] {
            Node::Words(words) if vocabulary::reals(words) => self.reals(),
            Node::Words(words) if vocabulary::nothing(words) => Shape::Set(Vec::new()),
            Node::Words(words) => Shape::Words(words.clone()),
            Node::Empty => Shape::Set(Vec::new()),
            Node::List(items) => Shape::List(flat(self.shapes(items)?)),
            Node::Sequence(Bracket::Brace, _, items) => Shape::Set(flat(self.shapes(items)?)),
            Node::Sequence(open, close, items) => Shape::Sequence(*open, *close, self.shapes(items)?),
            Node::Union(parts) => {
                let parts = self.shapes(parts)?;
                let elements = |part: &Shape| match part {
                    Shape::Set(items) => Some(items.clone()),
                    _ => None,
                };
                match parts.iter().map(elements).collect::<Option<Vec<_>>>() {
                    Some(sets) => Shape::Set(sets.concat()),
                    None => Shape::Union(parts),
                }
            }
            Node::Table(rows) => Shape::Matrix(rows.iter().map(|row| self.shapes(row)).collect::<Result<_, _>>()?),
            Node::Relations(sides, relations) => Shape::Relations(self.shapes(sides)?, relations.clone()),
            Node::Without(from, what) => {
                let (from, what) = (self.shape(*from)?, self.shape(*what)?);
                self.without(from, what)?
            }
            Node::Intersection(..) => return Err(Why::Forms),
            Node::Ratio(parts) => self.ratio(parts, None)?,
            Node::Quantity(of, words, power) if matches!(tree.nodes[*of], Node::Ratio(_)) => {
                if operation(words) {
                    return Err(Why::Syntax);
                }
                let Node::Ratio(parts) = &tree.nodes[*of] else { return Err(Why::Forms) };
                self.ratio(parts, Some(unit(words, *power)))?
            }
            Node::Based(_, 10) => Shape::value(self.plus[id].clone()?),
            Node::Based(digits, base) => {
                Shape::Based(digits.trim_start_matches('0').to_owned(), *base, self.plus[id].clone()?)
            }
            Node::Symbol(name) if name == "\u{211d}" => self.reals(),
            Node::Mul(a, b) if self.has_table(*a) || self.has_table(*b) => {
                let (a, b) = (self.shape(*a)?, self.shape(*b)?);
                self.matrix_product(a, b)?
            }
            Node::Add(a, b) | Node::Sub(a, b) if self.has_table(*a) && self.has_table(*b) => {
                let (a, b) = (self.shape(*a)?, self.shape(*b)?);
                let sign = if matches!(tree.nodes[id], Node::Sub(..)) { -1 } else { 1 };
                let b = self.matrix_product(Shape::value(Frac::integer(sign)), b)?;
                self.matrix_sum(a, b)?
            }
            Node::Div(a, b) if self.has_table(*a) => {
                let divisor = self.plus[*b].clone()?;
                let scale = self.algebra.div(&Frac::integer(1), &divisor)?;
                let matrix = self.shape(*a)?;
                self.matrix_product(Shape::value(scale), matrix)?
            }
            Node::Neg(a) if self.has_table(*a) => {
                let matrix = self.shape(*a)?;
                self.matrix_product(Shape::value(Frac::integer(-1)), matrix)?
            }
            _ => self.value(id)?,
        })
    }

    fn has_table(&self, id: Id) -> bool {
        match &self.tree.nodes[id] {
            Node::Table(_) => true,
            Node::Mul(a, b) => [a, b].into_iter().any(|&id| matches!(self.tree.nodes[id], Node::Table(_))),
            _ => false,
        }
    }

    /// Reads an expression and the signs and units around it; two values where it has a `\pm`.
    fn value(&mut self, id: Id) -> Result<Shape, Why> {
        let (mut at, mut negative, mut mark, mut measure, mut scale) = (id, false, None, None, None);
        // `-\$5`, `-5\%`, `\$5\text{ per hour}`: each sign once.
        for _ in 0..4 {
            at = match &self.tree.nodes[at] {
                Node::Neg(of) if !negative => {
                    negative = true;
                    *of
                }
                Node::Money(of, currency) if measure.is_none() => {
                    measure = Some(unit(currency, 1));
                    *of
                }
                Node::Quantity(of, words, power) if measure.is_none() && scale.is_none() => {
                    let (times, words) = multiplier(words);
                    scale = times;
                    measure = (!words.is_empty()).then(|| unit(words, *power));
                    *of
                }
                Node::Percent(of) if mark.is_none() => {
                    mark = Some(Mark::Percent);
                    *of
                }
                Node::Degree(of) if mark.is_none() => {
                    mark = Some(Mark::Degree);
                    *of
                }
                _ => break,
            };
        }
        if let Node::Quantity(_, words, _) = &self.tree.nodes[id]
            && operation(words)
        {
            return Err(Why::Syntax);
        }
        // Words that are not known are a unit only behind a number: `5 apples`, not `A star`.
        if let Some(Unit { dimension, .. }) = &measure
            && !units::dimension(dimension)
            && let Ok(frac) = &self.plus[at]
            && !frac.atoms().all(|id| self.algebra.known(id).constant)
        {
            return Err(Why::Syntax);
        }
        let decimals = match &self.tree.nodes[at] {
            Node::Number(number)
                if number.repeating == 0 && number.exponent == 0 && number.decimals > 0 && scale.is_none() =>
            {
                Some(number.decimals as u32)
            }
            _ => None,
        };
        let read = |this: &mut Self, frac: Result<Frac, Why>| -> Result<Shape, Why> {
            let frac = if negative { frac?.neg() } else { frac? };
            let frac = match scale {
                Some(times) => this.algebra.mul(&frac, &Frac::integer(times))?,
                None => frac,
            };
            Ok(Shape::Value(Value { frac, decimals, mark, unit: measure.clone() }))
        };
        let (plus, both) = (self.plus[at].clone(), self.both[at]);
        let plus = read(self, plus)?;
        if !both {
            return Ok(plus);
        }
        // Whether two signs go together is not known.
        if self.signs[at] > 1 {
            return Err(Why::Syntax);
        }
        if self.minus.is_empty() {
            self.minus = values::values(self.algebra, self.tree, false);
        }
        let minus = self.minus[at].clone();
        Ok(Shape::List(vec![plus, read(self, minus)?]))
    }

    fn ratio(&mut self, parts: &[Id], unit: Option<Unit>) -> Result<Shape, Why> {
        let digits = |id: &Id| match &self.tree.nodes[*id] {
            Node::Number(number) if number.decimals == 0 => number.digits.len(),
            _ => 0,
        };
        let clock = parts.len() < 4 && parts[1..].iter().all(|id| digits(id) == 2) && digits(&parts[0]) > 0;
        Ok(Shape::Ratio(self.shapes(parts)?, clock, unit))
    }

    fn reals(&mut self) -> Shape {
        let infinity = self.algebra.symbol("\u{221e}");
        let ends = vec![Shape::value(infinity.clone().neg()), Shape::value(infinity)];
        Shape::Sequence(Bracket::Paren, Bracket::Paren, ends)
    }

    /// Returns all real numbers except some: intervals between these, in order.
    fn without(&mut self, from: Shape, what: Shape) -> Result<Shape, Why> {
        let Shape::Sequence(open, close, ends) = &from else { return Err(Why::Forms) };
        let infinity = self.algebra.symbol("\u{221e}");
        let whole = match &ends[..] {
            [Shape::Value(lo), Shape::Value(hi)] => hi.frac == infinity && lo.frac == infinity.neg(),
            _ => false,
        };
        let Shape::Set(points) = what else { return Err(Why::Forms) };
        if !whole {
            return Err(Why::Forms);
        }
        let mut values = Vec::new();
        for point in points {
            let Shape::Value(value) = point else { return Err(Why::Forms) };
            let place = self.place(&values, &value.frac)?;
            values.insert(place, value.frac);
        }
        let mut parts = Vec::new();
        let mut lo = ends[0].clone();
        for value in values {
            let hi = Shape::value(value);
            parts.push(Shape::Sequence(*open, *close, vec![lo, hi.clone()]));
            lo = hi;
        }
        parts.push(Shape::Sequence(*open, *close, vec![lo, ends[1].clone()]));
        Ok(if parts.len() == 1 { parts.remove(0) } else { Shape::Union(parts) })
    }

    /// Returns the place of a number among ascending ones.
    fn place(&mut self, values: &[Frac], value: &Frac) -> Result<usize, Why> {
        for (place, other) in values.iter().enumerate() {
            match less(self.algebra, value, other)? {
                Some(true) => return Ok(place),
                Some(false) => {}
                None => return Err(Why::Undecided),
            }
        }
        Ok(values.len())
    }
}

/// Lists in lists, which `\pm` makes, become one.
fn flat(items: Vec<Shape>) -> Vec<Shape> {
    let inner = |item| match item {
        Shape::List(inner) => inner,
        other => vec![other],
    };
    items.into_iter().flat_map(inner).collect()
}
