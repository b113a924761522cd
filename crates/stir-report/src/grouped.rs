use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    comparison::{Comparison, MethodSummary},
    config::ReportConfig,
    error::ComparisonError,
    record::{Run, Settings},
    seeds::{Group, groups, names},
    svg::COLOURS,
};

/// All runs of a report, grouped by model and task and then by method.
#[derive(Debug)]
pub(crate) struct GroupedRuns<'r> {
    /// Names of the methods, the baseline first, then by first appearance. Their places decide their colours.
    methods: Vec<&'r str>,
    pub(crate) blocks: Vec<Block<'r>>,
}

/// The runs of one model on one task.
#[derive(Debug)]
pub(crate) struct Block<'r> {
    pub(crate) model: &'r str,
    pub(crate) task: &'r str,
    /// The baseline's main group first, then by first appearance.
    pub(crate) groups: Vec<Group<'r>>,
    /// Places in `groups` of the one group of each method that represents it, the baseline first.
    pub(crate) main: Vec<usize>,
    /// All groups.
    pub(crate) all: Comparison,
    /// The comparison of `main`.
    pub(crate) table: Comparison,
}

/// The way a method is drawn.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    /// Class of its colour: `f` and this for filling, `s` for strokes.
    pub(crate) colour: usize,
    pub(crate) shape: usize,
}

impl<'r> GroupedRuns<'r> {
    pub(crate) fn new(runs: &'r [Run], config: &ReportConfig) -> Result<Self, ComparisonError> {
        if runs.is_empty() {
            return Err(ComparisonError::NoRuns);
        }
        let mut methods = vec![];
        let mut places: Vec<(&str, &str)> = vec![];
        for Run { settings, .. } in runs {
            if settings.method == config.baseline {
                methods.retain(|name| *name != settings.method);
                methods.insert(0, settings.method.as_str());
            } else if !methods.contains(&settings.method.as_str()) {
                methods.push(&settings.method);
            }
            let place = (settings.model.as_str(), settings.task.as_str());
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let blocks = places.into_iter().map(|place| Block::new(runs, place, config));
        let mut blocks = blocks.collect::<Result<Vec<_>, _>>()?;
        // One family of tests each: what the page shows first, and all there is.
        Comparison::adjust(blocks.iter_mut().map(|block| &mut block.table))?;
        Comparison::adjust(blocks.iter_mut().map(|block| &mut block.all))?;
        Ok(Self { methods, blocks })
    }

    pub(crate) fn look(&self, method: &str) -> Look {
        let place = self.methods.iter().position(|name| *name == method).unwrap_or(0);
        let colour = if place < COLOURS { place } else { 1 + (place - 1) % (COLOURS - 1) };
        Look { colour, shape: place }
    }

    pub(crate) fn models(&self) -> Vec<&'r str> {
        distinct(self.blocks.iter().map(|block| block.model))
    }

    /// Returns what to add to a title to tell blocks apart: the task, and the model where there are several.
    pub(crate) fn place(&self, block: &Block<'_>) -> String {
        self.place_of(block.model, block.task)
    }

    pub(crate) fn place_of(&self, model: &str, task: &str) -> String {
        if self.models().len() > 1 { format!("{task}, {model}") } else { task.to_owned() }
    }
}

impl<'r> Block<'r> {
    fn new(runs: &'r [Run], (model, task): (&'r str, &'r str), config: &ReportConfig) -> Result<Self, ComparisonError> {
        let here = |run: &&Run| (run.settings.model.as_str(), run.settings.task.as_str()) == (model, task);
        let mut groups = groups(runs.iter().filter(here));
        let candidates: Vec<usize> = (0..groups.len()).collect();
        let Some(baseline) = choose(&groups, &candidates, &config.baseline, task, &config.main) else {
            let (baseline, model, task) = (config.baseline.clone(), model.to_owned(), task.to_owned());
            return Err(ComparisonError::NoBaseline { baseline, model, task });
        };
        let first = groups.remove(baseline);
        groups.insert(0, first);
        let all = Comparison::of(&groups)?;

        let methods = distinct(groups.iter().map(|group| group[0].settings.method.as_str()));
        let candidates: Vec<usize> = (0..groups.len()).collect();
        let main: Vec<usize> = methods
            .into_iter()
            .filter_map(|method| match method == config.baseline {
                true => Some(0),
                false => choose(&groups, &candidates, method, task, &config.main),
            })
            .collect();
        let shown: Vec<Group<'r>> = main.iter().map(|&place| groups[place].clone()).collect();
        let named = |(&place, name): (&usize, String)| MethodSummary { name, ..all.methods[place].clone() };
        let table = Comparison { methods: main.iter().zip(names(&shown)).map(named).collect(), ..all.clone() };
        Ok(Self { model, task, groups, main, all, table })
    }

    /// Returns the groups that represent their methods, with their results.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (&Group<'r>, &MethodSummary)> {
        self.main.iter().map(|&place| &self.groups[place]).zip(&self.table.methods)
    }

    /// Returns the best substitute for `method` with a library from `mined_from`.
    pub(crate) fn mined(&self, method: &str, mined_from: &str, config: &ReportConfig) -> Option<&MethodSummary> {
        let from = |place: &usize| self.groups[*place][0].settings.mined_from.as_deref() == Some(mined_from);
        let candidates: Vec<usize> = (0..self.groups.len()).filter(from).collect();
        choose(&self.groups, &candidates, method, self.task, &config.main).map(|place| &self.all.methods[place])
    }
}

/// Chooses which of the `candidates` represents `method`: one mined on the task itself or not mined, then one that
/// agrees with the `main` settings, then the first.
fn choose(
    groups: &[Group<'_>],
    candidates: &[usize],
    method: &str,
    task: &str,
    main: &BTreeMap<String, Value>,
) -> Option<usize> {
    let settings = |place: usize| -> &Settings { &groups[place][0].settings };
    candidates.iter().copied().filter(|&place| settings(place).method == method).min_by_key(|&place| {
        let Settings { mined_from, params, .. } = settings(place);
        let elsewhere = mined_from.as_deref().is_some_and(|from| from != task);
        let disagrees = main.iter().any(|(key, value)| params.get(key).is_some_and(|other| other != value));
        (elsewhere, disagrees)
    })
}

/// Returns the values without repetitions, by first appearance.
pub(crate) fn distinct<'a>(values: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = vec![];
    values.for_each(|value| {
        if !found.contains(&value) {
            found.push(value);
        }
    });
    found
}

/// Returns a name made of letters, digits and hyphens, for files and ids.
pub(crate) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for character in text.chars() {
        match character {
            'a'..='z' | '0'..='9' => slug.push(character),
            'A'..='Z' => slug.push(character.to_ascii_lowercase()),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    slug.trim_end_matches('-').chars().take(60).collect()
}
