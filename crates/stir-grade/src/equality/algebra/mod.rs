//! Exact arithmetic with expressions, and the proof that one is zero.

mod angles;
mod arithmetic;
mod atom;
mod functions;
mod interval;
mod poly;
mod roots;
mod sample;
mod separation;
mod zero;

pub(crate) use arithmetic::Algebra;
pub(crate) use atom::{Atom, Func};
pub(crate) use poly::{Frac, Mono, Poly};
pub(crate) use roots::MAX_DEGREE;
pub(crate) use zero::Zero;
#[cfg(test)]
pub(crate) use {
    interval::Interval,
    separation::{Sign, sign},
};
