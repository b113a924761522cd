//! The limits of a comparison, which hold for every input.

/// Longest answer that is read, in bytes. Longer ones are only compared letter by letter.
pub(crate) const MAX_BYTES: usize = 16_384;
/// Most parts (nodes of the tree) an answer may have.
pub(crate) const MAX_NODES: usize = 4_096;
/// Deepest nesting, in levels of brackets, arguments and exponents. It bounds every recursion.
pub(crate) const MAX_DEPTH: usize = 48;
/// Longest integer that is computed with, in bits.
pub(crate) const MAX_BITS: u64 = 16_384;
/// Most terms of a polynomial.
pub(crate) const MAX_TERMS: usize = 600;
/// Steps of work a comparison may take, about 50 ns each.
pub(crate) const MAX_WORK: u64 = 150_000;
