use std::collections::HashMap;

use serde::Serialize;
use stir_controller::Step;
use stir_core::Finish;

use stir_grade::Verdict;

use crate::{
    config::ReportConfig,
    figures::entry_name,
    grouped::{Block, GroupedRuns},
    record::{Record, Run},
    svg::number,
};

/// The problems of a block that the viewer shows.
#[derive(Serialize)]
pub(crate) struct Cases {
    pub(crate) task: String,
    pub(crate) shown: usize,
    pub(crate) problems: usize,
    /// Problems that some methods solve and others do not.
    pub(crate) differing: usize,
    cases: Vec<Case>,
}

#[derive(Serialize)]
struct Case {
    id: String,
    gold: String,
    prompt: Text,
    /// True if some methods solve it and others do not.
    differs: bool,
    answers: Vec<Answer>,
}

/// One method's answer.
#[derive(Serialize)]
struct Answer {
    /// Number of the method among those of the page.
    key: usize,
    method: String,
    /// Class of the method's colour.
    colour: usize,
    right: bool,
    verdict: &'static str,
    /// The answer of the text.
    answer: Option<String>,
    facts: String,
    segments: Vec<Segment>,
}

/// A piece of a text, and what was decided before it.
#[derive(Serialize)]
struct Segment {
    number: usize,
    steered: bool,
    /// The decision, in a few words; `None` if there was nothing to decide.
    decision: Option<String>,
    candidates: Vec<Candidate>,
    null_score: String,
    retrieved: String,
    text: Text,
}

#[derive(Serialize)]
struct Candidate {
    entry: usize,
    chosen: bool,
    score: String,
    advantage: String,
    similarity: String,
    gain: String,
}

/// A text, or its beginning.
#[derive(Serialize)]
struct Text {
    text: String,
    /// Bytes that are not shown.
    left_out: usize,
}

impl Text {
    fn new(text: &str, room: usize) -> Self {
        let end = floor(text, room);
        Self { text: text[..end].to_owned(), left_out: text.len() - end }
    }
}

/// Returns the cases of a block, in the order of the problems: those first that a steering method loses (they are few,
/// and should not be lost among its wins), then those that it wins, those that other methods differ on, and the others.
/// `names` are those of all methods of the page.
pub(crate) fn cases(runs: &GroupedRuns<'_>, block: &Block<'_>, config: &ReportConfig, names: &[&str]) -> Cases {
    let index = |records: &'_ [Record]| -> HashMap<String, usize> {
        records.iter().enumerate().map(|(place, record)| (record.id.clone(), place)).collect()
    };
    // The first seed represents all.
    let methods: Vec<_> = block.shown().map(|(group, summary)| (group[0], index(&group[0].records), summary)).collect();
    let Some((baseline, ..)) = methods.first() else {
        return Cases { task: runs.place(block), shown: 0, problems: 0, differing: 0, cases: vec![] };
    };
    let answers = |id: &str| -> Vec<&Record> {
        methods.iter().filter_map(|(run, places, _)| run.records.get(*places.get(id)?)).collect()
    };
    let differs = |id: &str| {
        let right: Vec<bool> = answers(id).iter().map(|record| record.judged.correct()).collect();
        right.windows(2).any(|pair| pair[0] != pair[1])
    };
    // The method that steers, where there is one, is what most readers want to see next to the baseline.
    let steers = |run: &Run| run.records.iter().any(|record| record.steps.iter().any(Step::steered));
    let steered = methods.iter().position(|(run, ..)| steers(run)).unwrap_or(1);
    let rank = |id: &str| {
        let right: Vec<bool> = answers(id).iter().map(|record| record.judged.correct()).collect();
        match right.get(steered).map(|after| (right[0], *after)) {
            Some((true, false)) => 0,
            Some((false, true)) => 1,
            _ if differs(id) => 2,
            _ => 3,
        }
    };
    let mut ranked: Vec<(u8, &Record)> = baseline.records.iter().map(|record| (rank(&record.id), record)).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    let differing = ranked.iter().filter(|(rank, _)| *rank < 3).count();
    let shown: Vec<&Record> = ranked.iter().map(|(_, record)| *record).take(config.cases_per_task).collect();
    let case = |record: &&Record| Case {
        id: record.id.clone(),
        gold: record.gold.clone(),
        prompt: Text::new(&record.prompt, config.case_bytes),
        differs: differs(&record.id),
        answers: methods
            .iter()
            .zip(answers(&record.id))
            .map(|((_, _, summary), record)| {
                let key = names.iter().position(|name| *name == summary.name).unwrap_or(0);
                let colour = runs.look(&summary.method).colour;
                Answer { key, colour, ..answer(summary.name.clone(), record, config.case_bytes) }
            })
            .collect(),
    };
    Cases {
        task: runs.place(block),
        shown: shown.len(),
        problems: baseline.records.len(),
        differing,
        cases: shown.iter().map(case).collect(),
    }
}

fn answer(method: String, record: &Record, room: usize) -> Answer {
    let verdict = match record.judged.grade.as_ref().map(|grade| grade.verdict) {
        Some(Verdict::Equal) => "right",
        Some(Verdict::Different) => "wrong",
        Some(Verdict::Unclear) => "undecided",
        None => "no answer",
    };
    let end = match record.finish {
        Finish::Eos | Finish::Stop => "",
        Finish::Length if record.tokens == 0 => ", no room in the model's context",
        Finish::Length => ", cut off by the budget",
        Finish::Cancelled => ", cancelled",
        _ => ", ended for another reason",
    };
    let thrown = record.spent() - record.tokens;
    let besides = if thrown > 0 { format!(" and {} thrown away", number(thrown as f64, 0)) } else { String::new() };
    let tokens = number(record.tokens as f64, 0);
    Answer {
        key: 0,
        method,
        colour: 0,
        right: record.judged.correct(),
        verdict,
        answer: record.judged.answer.clone(),
        facts: format!("{tokens} tokens{besides}{end}"),
        segments: segments(record, room),
    }
}

/// Returns the text in pieces: one for every step, and what follows the last. Ends that lie outside the text, or inside
/// a letter, are moved to where they can be.
fn segments(record: &Record, room: usize) -> Vec<Segment> {
    let text = record.text.as_str();
    let (mut start, mut room) = (0, room);
    let mut segments = vec![];
    let ends = record.segment_ends.iter().map(|&end| floor(text, end)).chain([text.len()]);
    let steps = record.steps.iter().map(Some).chain(std::iter::repeat(None));
    for (place, (end, step)) in ends.zip(steps).enumerate() {
        let end = end.max(start);
        let last = place == record.segment_ends.len();
        if end == start && (last || step.is_none()) {
            continue;
        }
        let piece = Text::new(&text[start..end], room);
        room -= piece.text.len();
        start = end;
        segments.push(segment(place + 1, step, piece));
    }
    segments
}

fn segment(number_of: usize, step: Option<&Step>, text: Text) -> Segment {
    let Some(step) = step else {
        let (decision, candidates) = (None, vec![]);
        let (null_score, retrieved) = (String::new(), String::new());
        return Segment { number: number_of, steered: false, decision, candidates, null_score, retrieved, text };
    };
    let candidate = |scored: &stir_controller::Scored| Candidate {
        entry: scored.entry,
        chosen: Some(scored.entry) == step.chosen,
        score: number(scored.score, 3),
        advantage: number(scored.advantage, 3),
        similarity: number(f64::from(scored.similarity), 3),
        gain: number(scored.gain, 3),
    };
    let hits = step.retrieved.iter().map(|hit| format!("{} ({:.3})", hit.entry, hit.similarity));
    let layer = step.layer.map_or_else(String::new, |layer| format!(", after layer {layer}"));
    let decision = match (step.steered(), step.chosen, step.segment) {
        (true, entry, _) => {
            let what = if entry.is_some() { entry_name(entry) } else { "a vector that is no entry".to_owned() };
            Some(format!("{what} \u{d7} {}{layer}", number(f64::from(step.scale), 2)))
        }
        (false, _, segment) if segment > 1 && !step.retrieved.is_empty() => Some("nothing added".to_owned()),
        _ => None,
    };
    Segment {
        number: number_of,
        steered: step.steered(),
        decision,
        candidates: step.candidates.iter().map(candidate).collect(),
        null_score: number(step.null_score, 3),
        retrieved: hits.collect::<Vec<_>>().join(", "),
        text,
    }
}

/// Returns the last place in `text` that is at most `end` and between two letters.
fn floor(text: &str, end: usize) -> usize {
    (0..=end.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::record;

    fn step(segment: usize, scale: f32) -> Step {
        let chosen = (scale != 0.0).then_some(3);
        Step {
            segment,
            chosen,
            layer: chosen,
            score: 0.5,
            null_score: 0.1,
            scale,
            tokens: 2,
            retrieved: vec![],
            candidates: vec![],
        }
    }

    fn pieces(text: &str, ends: &[usize], steps: &[Step], room: usize) -> Vec<(String, bool, usize)> {
        let record =
            Record { text: text.into(), segment_ends: ends.to_vec(), steps: steps.to_vec(), ..record("a", true) };
        segments(&record, room).into_iter().map(|s| (s.text.text, s.steered, s.text.left_out)).collect()
    }

    #[test]
    fn texts_are_cut_where_their_segments_end() {
        let steps = [step(1, 0.0), step(2, 1.5), step(3, 0.0)];
        let found = pieces("one.\n\ntwo.\n\nthree", &[6, 12, 17], &steps, 1000);
        assert_eq!(found, [("one.\n\n".into(), false, 0), ("two.\n\n".into(), true, 0), ("three".into(), false, 0)]);
        assert_eq!(pieces("plain", &[], &[], 1000), [("plain".into(), false, 0)]);
        assert_eq!(pieces("", &[], &[], 1000), []);
    }

    #[test]
    fn ends_that_cannot_be_are_moved() {
        let steps = [step(1, 0.0), step(2, 1.0), step(3, 1.0)];
        // Inside a letter, backwards, and beyond the end.
        let found = pieces("äöü", &[3, 1, usize::MAX], &steps, 1000);
        assert_eq!(found.iter().map(|(text, ..)| text.as_str()).collect::<String>(), "äöü");
        assert_eq!(pieces("äöü", &[3], &[], 1000).len(), 2);
    }

    #[test]
    fn long_texts_are_shown_in_part() {
        let steps = [step(1, 0.0), step(2, 1.0)];
        let found = pieces("aaaaäbbbb", &[6, 10], &steps, 5);
        assert_eq!(found, [("aaaa".into(), false, 2), ("b".into(), true, 3)]);
    }
}
