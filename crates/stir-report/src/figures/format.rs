//! The width of all figures, and numbers as they are shown.

use crate::svg::number;

/// The width of a figure, which a phone shows without making the letters too small.
pub(crate) const WIDTH: f64 = 440.0;

/// Returns a share as a percentage with one decimal.
pub(crate) fn percent(share: f64) -> String {
    number(100.0 * share, 1)
}

/// Formats like [`percent`], and writes the sign even if it is a plus.
pub(crate) fn signed(value: f64, decimals: usize) -> String {
    let text = number(value, decimals);
    if value > 0.0 { format!("+{text}") } else { text }
}
