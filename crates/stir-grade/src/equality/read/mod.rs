//! Reading: an answer becomes tokens, and these a tree.

pub(crate) mod characters;
mod commands;
mod lex;
pub(crate) mod number_words;
mod numerals;
mod parse;
pub(crate) mod spelling;
mod terms;
mod token;
mod tree;
pub(crate) mod units;
pub(crate) mod vocabulary;

pub(crate) use lex::{Commas, lex};
pub(crate) use parse::parse;
#[cfg(test)]
pub(crate) use token::Token;
pub(crate) use token::{Bracket, Number, Relation, assigns};
pub(crate) use tree::{Id, Node, Tree, children};
