//! A compact and diverse library of steering vectors.

mod pair;

pub use pair::{Candidates, Pair};
