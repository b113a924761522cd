//! Figures as SVG text: what a report needs and no more (`docs/decisions/0009-figures.md` says why not a library).
//!
//! Shapes carry classes, never colours: [`style`] gives the classes their colours for light and dark, and is the same
//! for figures in a page and for those in files of their own.

mod axis;
mod canvas;
mod labels;
mod style;

pub(crate) use self::{
    axis::{Axis, Plot, number},
    canvas::{Anchor, Canvas, Figure, fit, width},
    labels::Labels,
    style::{COLOURS, style},
};
