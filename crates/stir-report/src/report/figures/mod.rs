//! The figures of a report, each from runs to shapes.

mod cost;
mod differences;
mod heatmap;
mod lengths;
mod map;
mod sensitivity;
mod transfer;
mod usage;

pub(super) use self::{
    cost::cost,
    differences::differences,
    lengths::lengths,
    map::map,
    sensitivity::sensitivity,
    transfer::transfer,
    usage::{Usage, Uses, entry_name, mean, usage},
};

/// Width of a figure: what a phone shows without making the letters too small.
const WIDTH: f64 = 440.0;

/// A share as a percentage with one decimal.
pub(super) fn percent(share: f64) -> String {
    super::svg::number(100.0 * share, 1)
}

/// As [`percent`], with a sign also where it is a plus.
pub(super) fn signed(value: f64, decimals: usize) -> String {
    let text = super::svg::number(value, decimals);
    if value > 0.0 { format!("+{text}") } else { text }
}
