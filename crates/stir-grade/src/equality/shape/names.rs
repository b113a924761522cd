//! Names, and the order of constants.

use num_traits::One;

use super::Shape;
use crate::equality::{
    algebra::{Algebra, Atom, Frac, Func, Mono},
    why::Why,
};

/// Returns whether one real constant is less than another; `None` where they are equal or that is not known.
pub(crate) fn less(algebra: &mut Algebra, a: &Frac, b: &Frac) -> Result<Option<bool>, Why> {
    let difference = algebra.add(b.clone(), &a.clone().neg())?;
    let (num, den) = (algebra.sign(&difference.num)?, algebra.sign(&difference.den)?);
    Ok(num.zip(den).map(|(num, den)| num == den))
}

/// Returns whether an expression is a name: a variable, points side by side, an unknown function of something.
pub(crate) fn is_name(algebra: &Algebra, shape: &Shape) -> bool {
    match shape {
        Shape::Words(_) => true,
        Shape::Value(value) => {
            let frac = &value.frac;
            if let Some(inside) = absolute(algebra, frac) {
                return is_name(algebra, &Shape::value(inside));
            }
            let Some((mono, coefficient)) = frac.num.0.first_key_value() else { return false };
            let plain = frac.den.is_one() && frac.num.0.len() == 1 && coefficient.is_one();
            plain && is_named(algebra, mono)
        }
        Shape::Sequence(_, _, items) => items.iter().all(|item| is_name(algebra, item)),
        Shape::Ratio(parts, ..) => parts.iter().all(|part| is_name(algebra, part)),
        _ => false,
    }
}

/// Returns whether a product is one name. Letters next to each other are points, `AB`; `xy` is a product.
pub(crate) fn is_named(algebra: &Algebra, mono: &Mono) -> bool {
    let capital = |name: &str| name.len() == 1 && name.starts_with(|c: char| c.is_ascii_uppercase());
    let named = |&(id, exponent): &(u32, u32)| match &algebra.known(id).atom {
        Atom::Symbol(name) => exponent == 1 && name != "\u{221e}" && (mono.len() == 1 || capital(name)),
        Atom::Apply(..) => exponent == 1 && mono.len() == 1,
        _ => false,
    };
    !mono.is_empty() && mono.iter().all(named)
}

/// Returns the inside of an absolute value that is alone.
pub(crate) fn absolute(algebra: &Algebra, frac: &Frac) -> Option<Frac> {
    let (mono, coefficient) = frac.num.0.first_key_value()?;
    if frac.num.0.len() != 1 || !frac.den.is_one() || !coefficient.is_one() || mono.len() != 1 || mono[0].1 != 1 {
        return None;
    }
    match &algebra.known(mono[0].0).atom {
        Atom::Call(Func::Abs, inside) => Some(inside.clone()),
        _ => None,
    }
}
