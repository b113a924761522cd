//! Sections that other crates add.

use minijinja::value::Serde;
use serde::Serialize;

use super::{Picture, environment};
use crate::{Appendix, RenderError, svg::style};

#[derive(Serialize)]
pub(super) struct Section<'a> {
    id: String,
    title: &'a str,
    paragraphs: &'a [String],
    points: &'a [String],
    tables: Vec<Table<'a>>,
    pictures: Vec<Picture>,
}

#[derive(Serialize)]
struct Table<'a> {
    caption: &'a str,
    columns: &'a [String],
    rows: &'a [Vec<String>],
}

#[derive(Serialize)]
struct Alone<'a> {
    title: &'a str,
    page_style: &'static str,
    figure_style: String,
    appendix: Section<'a>,
}

impl<'a> Section<'a> {
    pub(super) fn new(appendix: &'a Appendix, pictures: Vec<Picture>) -> Self {
        let tables = appendix.tables.iter();
        Self {
            id: crate::grouped::slug(&appendix.id),
            title: &appendix.title,
            paragraphs: &appendix.paragraphs,
            points: &appendix.points,
            tables: tables.map(|t| Table { caption: &t.caption, columns: &t.columns, rows: &t.rows }).collect(),
            pictures,
        }
    }
}

/// Renders a section as a page of its own.
pub(crate) fn appendix_page(title: &str, appendix: &Appendix) -> Result<String, RenderError> {
    let render = || -> Result<String, minijinja::Error> {
        let values = Alone {
            title,
            page_style: include_str!("page.css"),
            figure_style: style(),
            appendix: Section::new(appendix, appendix.pictures()),
        };
        environment()?.get_template("alone.html")?.render(Serde(values))
    };
    render().map_err(RenderError::template)
}
