//! The figures of a report, each from runs to shapes.

mod cost;
mod differences;
mod dots;
mod format;
mod heatmap;
mod lengths;
mod map;
mod projection;
mod sensitivity;
mod transfer;
mod usage;

pub(crate) use self::{
    cost::cost,
    differences::differences,
    dots::dots,
    format::{percent, signed},
    lengths::lengths,
    map::map,
    sensitivity::sensitivity,
    transfer::transfer,
    usage::{EntryUsage, LibraryUsage, entry_name, mean, usage, usages},
};
