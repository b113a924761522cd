//! The values of the nodes of a tree.

use num_bigint::BigInt;
use num_traits::{One, ToPrimitive};

use crate::equality::{
    algebra::{Algebra, Atom, Frac, MAX_DEGREE, Poly},
    limits::MAX_BITS,
    read::{Node, Number, Tree, children},
    why::Why,
};

/// Returns the values of all nodes, with one of the two signs of `\pm`. A node that is no expression, or has no value,
/// says why.
pub(crate) fn values(algebra: &mut Algebra, tree: &Tree, plus: bool) -> Vec<Result<Frac, Why>> {
    let mut values = Vec::with_capacity(tree.nodes.len());
    // Infinity is an end of intervals and no number: nothing is computed with it.
    let infinity = tree.nodes.contains(&Node::Infinity).then(|| algebra.intern(Atom::Symbol("\u{221e}".to_owned())));
    for node in &tree.nodes {
        let infinite = infinity.is_some_and(|infinity| {
            let has = |id: usize| matches!(&values[id], Ok(frac) if Frac::atoms(frac).any(|id| id == infinity));
            !matches!(node, Node::Neg(_)) && children(node).into_iter().any(has)
        });
        let value = match infinite {
            true => Err(Why::Undefined),
            false => algebra.budget.spend(1).and_then(|()| value(algebra, node, &values, plus)),
        };
        // Values are copied on the way, so long ones cost more.
        let terms = value.as_ref().map_or(0, |frac| frac.num.0.len() + frac.den.0.len());
        values.push(value.and_then(|value| algebra.budget.spend(terms as u64).map(|()| value)));
    }
    values
}

fn value(algebra: &mut Algebra, node: &Node, values: &[Result<Frac, Why>], plus: bool) -> Result<Frac, Why> {
    let get = |id: usize| values[id].clone();
    match node {
        Node::Number(number) => literal(algebra, number),
        Node::Symbol(name) => Ok(symbol(algebra, name)),
        Node::Infinity => Ok(algebra.symbol("\u{221e}")),
        Node::Neg(a) => Ok(get(*a)?.neg()),
        Node::Add(a, b) => algebra.add(get(*a)?, &get(*b)?),
        Node::Sub(a, b) => algebra.add(get(*a)?, &get(*b)?.neg()),
        Node::Mul(a, b) => algebra.mul(&get(*a)?, &get(*b)?),
        Node::Div(a, b) => algebra.div(&get(*a)?, &get(*b)?),
        Node::Pow(a, b) => algebra.pow(&get(*a)?, &get(*b)?),
        Node::Both(a, b, flipped) => {
            let term = if plus == *flipped { get(*b)?.neg() } else { get(*b)? };
            match a {
                Some(a) => algebra.add(get(*a)?, &term),
                None => Ok(term),
            }
        }
        Node::Root(degree, of) => {
            let degree = match degree {
                Some(id) => get(*id)?.as_integer().and_then(|k| k.to_u32()).filter(|k| (1..=MAX_DEGREE).contains(k)),
                None => Some(2),
            };
            let of = get(*of)?;
            algebra.root(degree.ok_or(Why::Undefined)?, &of)
        }
        Node::Call(func, arg) => {
            let arg = get(*arg)?;
            algebra.call(*func, &arg)
        }
        Node::Log(base, arg) => algebra.log(&get(*base)?, &get(*arg)?),
        Node::Apply(name, arguments) => {
            let arguments = arguments.iter().map(|&id| get(id)).collect::<Result<_, _>>()?;
            Ok(Frac::atom(algebra.intern(Atom::Apply(name.clone(), arguments))))
        }
        Node::Binomial(n, k) => algebra.binomial(&get(*n)?, &get(*k)?),
        Node::Percent(a) => algebra.div(&get(*a)?, &Frac::integer(100)),
        Node::Degree(a) => {
            let pi = Frac::atom(algebra.intern(Atom::Pi));
            let turns = algebra.div(&get(*a)?, &Frac::integer(180))?;
            algebra.mul(&turns, &pi)
        }
        Node::Money(a, _) | Node::Quantity(a, ..) => get(*a),
        Node::Based(digits, base) => based(algebra, digits, *base),
        Node::Ratio(parts) => match parts[..] {
            [a, b] => algebra.div(&get(a)?, &get(b)?),
            _ => Err(Why::Forms),
        },
        Node::Sequence(..)
        | Node::Empty
        | Node::Words(_)
        | Node::List(_)
        | Node::Table(_)
        | Node::Relations(..)
        | Node::Union(_)
        | Node::Intersection(..)
        | Node::Without(..) => Err(Why::Forms),
    }
}

fn symbol(algebra: &mut Algebra, name: &str) -> Frac {
    let atom = match name {
        "\u{3c0}" => Atom::Pi,
        "e" => Atom::E,
        "i" => Atom::I,
        _ => return algebra.symbol(name),
    };
    Frac::atom(algebra.intern(atom))
}

/// Returns the exact value of a literal.
fn literal(algebra: &mut Algebra, number: &Number) -> Result<Frac, Why> {
    let integer = |digits: &str| digits.parse::<BigInt>().unwrap_or_default();
    let length = number.digits.len() as u64;
    let shift = number.exponent.unsigned_abs();
    if (length + u64::from(shift)) * 10 / 3 > MAX_BITS {
        return Err(Why::TooManyBits);
    }
    // Reading decimal digits takes quadratic time.
    algebra.budget.spend(1 + length * length / 16_384)?;
    let scale = BigInt::from(10).pow(number.decimals as u32);
    let (mut num, mut den) = (integer(&number.digits), scale);
    if number.repeating > 0 {
        // x = 0.1666.. is (16 - 1) / 90: the number with one period less the one with none, over as many nines.
        num -= integer(&number.digits[..number.digits.len() - number.repeating]);
        let nines = BigInt::from(10).pow(number.repeating as u32) - BigInt::one();
        den = BigInt::from(10).pow((number.decimals - number.repeating) as u32) * nines;
    }
    let power = BigInt::from(10).pow(shift);
    if number.exponent < 0 {
        den *= power;
    } else {
        num *= power;
    }
    let bits = num.bits().max(den.bits());
    algebra.budget.spend((bits * bits) >> 12)?;
    Ok(Frac { num: Poly::constant(num), den: Poly::constant(den) }.tidy())
}

fn based(algebra: &mut Algebra, digits: &str, base: u32) -> Result<Frac, Why> {
    if !(2..=36).contains(&base) || digits.len() as u64 * 6 > MAX_BITS {
        return Err(Why::Undefined);
    }
    algebra.budget.spend(1 + (digits.len() as u64).pow(2) / 16_384)?;
    let value = BigInt::parse_bytes(digits.as_bytes(), base).ok_or(Why::Undefined)?;
    Ok(Frac::integer(value))
}
