//! The table of contents of an experiment's folder.

use std::{fs, io::ErrorKind, path::Path};

use serde::Deserialize;
use serde_json::{Value, json};
use stir_files::{MergeError, Share};

use super::store::refused;

/// The file.
pub(super) const INDEX: &str = "index.json";

/// The runs of an experiment, or of a part of it, and the folders of their stages.
#[derive(Debug)]
pub(super) struct Index {
    /// The settings of the experiment.
    pub(super) experiment: Value,
    /// The units of cells that were asked, by number, where it is a part.
    pub(super) share: Option<Share>,
    /// The number of each cell, and its settings and folders.
    pub(super) runs: Vec<(usize, Value)>,
}

/// An index of a part as it is in its file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    experiment: Value,
    runs: Vec<Value>,
    share: Share,
    cells: Vec<usize>,
}

impl Index {
    /// Returns the content of the file.
    pub(super) fn text(&self) -> Result<String, serde_json::Error> {
        let Self { experiment, share, runs } = self;
        let (cells, runs): (Vec<usize>, Vec<&Value>) = runs.iter().map(|(cell, run)| (*cell, run)).unzip();
        let index = match share {
            None => json!({ "experiment": experiment, "runs": runs }),
            Some(share) => json!({ "experiment": experiment, "runs": runs, "share": share, "cells": cells }),
        };
        serde_json::to_string_pretty(&index)
    }

    /// Reads the index of a part; it is written when the part has come to its end.
    pub(super) fn read(folder: &Path) -> Result<(Self, Share), MergeError> {
        let path = folder.join(INDEX);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(MergeError::Unfinished { path: folder.to_owned() });
            }
            read => read.map_err(refused("read", &path))?,
        };
        match serde_json::from_slice(&text) {
            Ok(Written { experiment, runs, share, cells }) if cells.len() == runs.len() => {
                let index = Self { experiment, share: None, runs: cells.into_iter().zip(runs).collect() };
                Ok((index, share))
            }
            _ => Err(MergeError::NotAShard { path }),
        }
    }

    /// Returns the folders of answers that the runs name, relative to the folder of the experiment.
    pub(super) fn answers(&self) -> impl Iterator<Item = &str> {
        self.runs.iter().filter_map(|(_, run)| run["folders"]["answers"].as_str())
    }
}
