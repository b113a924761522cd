//! The synthetic word problems of the model that comes with the sources.

pub use stir::eval::word_problems::{Split, WordProblem};
