//! An experiment that was never run: numbers, texts and decisions as a real one has them.

use std::collections::BTreeMap;

use serde_json::Value;
use stir_basis::Pair;
use stir_controller::{Retrieved, Scored, Step};
use stir_core::{Finish, SampleRng};
use stir_grade::{Grade, Judged, Verdict};
use stir_report::{EntryDescription, LibraryDescription, Record, Run, Settings};

pub(crate) const MODEL: &str = "planted-1m";
pub(crate) const TASKS: [(&str, usize); 2] = [("stories", 300), ("puzzles", 120)];
const ENTRIES: usize = 64;

/// The accuracy of a method and its cost.
#[derive(Clone, Copy)]
struct Skill {
    ability: f64,
    length: f64,
    steers: bool,
    probes: bool,
    samples: usize,
}

fn skill(method: &str, k_scale: f64, layer: f64, moved: bool) -> Skill {
    let plain = Skill { ability: 0.2, length: 1.0, steers: false, probes: false, samples: 0 };
    // Best at a scale of 1 and a depth of 0.6, half as good with a library from elsewhere.
    let fit =
        (-(k_scale - 1.0f64).powi(2) / 0.5 - (layer - 0.6f64).powi(2) / 0.05).exp() * if moved { 0.5 } else { 1.0 };
    match method {
        "stir" => Skill { ability: 0.2 + 1.1 * fit, length: 1.0 - 0.22 * fit, steers: true, probes: true, samples: 0 },
        "no_probing" => Skill { ability: 1.1, length: 0.84, steers: true, ..plain },
        "random_vector" => Skill { ability: 0.12, length: 1.15, steers: true, probes: true, ..plain },
        "static_vector" => Skill { ability: 0.8, length: 0.9, steers: true, ..plain },
        "self_consistency" => Skill { ability: 1.2, samples: 4, ..plain },
        _ => plain,
    }
}

/// The runs: six methods on two tasks, three seeds of two of them, a grid over scale and depth, exchanged libraries.
pub(crate) fn runs() -> Vec<Run> {
    let mut runs = vec![];
    for (task, problems) in TASKS {
        let methods = ["plain", "stir", "no_probing", "random_vector", "static_vector", "self_consistency"];
        for method in methods {
            for seed in 0..if matches!(method, "plain" | "stir") { 3 } else { 1 } {
                runs.push(run(task, problems, method, seed, None, 1.0, 0.6));
            }
        }
        for k_scale in [0.25, 0.5, 0.75, 1.5, 2.0] {
            runs.push(run(task, problems, "stir", 0, None, k_scale, 0.6));
        }
        for layer in [0.3, 0.45, 0.75, 0.9] {
            runs.push(run(task, problems, "stir", 0, None, 1.0, layer));
        }
        for (k_scale, layer) in [(0.5, 0.45), (0.5, 0.75), (1.5, 0.45), (1.5, 0.75)] {
            runs.push(run(task, problems, "stir", 0, None, k_scale, layer));
        }
        for from in ["stories", "puzzles", "riddles"].into_iter().filter(|from| *from != task) {
            runs.push(run(task, problems, "stir", 0, Some(from), 1.0, 0.6));
        }
    }
    // Mined at home, where nothing else is said.
    for run in runs.iter_mut().filter(|run| run.settings.method == "stir" && run.settings.mined_from.is_none()) {
        run.settings.mined_from = Some(run.settings.task.clone());
    }
    runs
}

fn run(task: &str, problems: usize, method: &str, seed: u64, from: Option<&str>, k_scale: f64, layer: f64) -> Run {
    let skill = skill(method, k_scale, layer, from.is_some());
    let mut params: BTreeMap<String, Value> = BTreeMap::from([("max_tokens".into(), 400.into())]);
    if skill.steers {
        params.extend([
            ("k_scale".into(), k_scale.into()),
            ("layer".into(), layer.into()),
            ("budget".into(), 64.into()),
        ]);
    }
    let settings = Settings {
        model: MODEL.into(),
        task: task.into(),
        method: method.into(),
        mined_from: from.map(str::to_owned),
        seed,
        params,
    };
    let stream =
        method.bytes().map(u64::from).sum::<u64>() + (k_scale * 100.0) as u64 * 7 + (layer * 100.0) as u64 * 13;
    let mut own = SampleRng::new(seed + 17 * stream, from.map_or(0, |from| from.bytes().map(u64::from).sum()));
    let mut records: Vec<Record> = (0..problems).map(|i| record(task, i, skill, k_scale, seed, &mut own)).collect();
    let mut clock = 0.0;
    for record in &mut records {
        clock += 2e-3 * record.spent() as f64;
        record.seconds = Some(clock);
    }
    Run { settings, records, seconds: clock }
}

fn record(task: &str, index: usize, skill: Skill, k_scale: f64, seed: u64, own: &mut SampleRng) -> Record {
    // What a problem and a seed have in common for all methods.
    let mut shared = SampleRng::new(seed, (index as u64) << 8 | task.len() as u64);
    let mut problem = SampleRng::new(1, (index as u64) << 8 | task.len() as u64);
    let (difficulty, size) = (1.6 * problem.normal(), (4.3 + 0.35 * problem.normal()).exp());
    let luck = 0.7 * shared.normal() + 0.35 * own.normal();
    let right = skill.ability + luck > difficulty;
    let (a, b) = (11 + problem.below(80), 3 + problem.below(40));
    let gold = a + b;
    let tokens =
        ((size * skill.length * (0.12 * own.normal()).exp() * if right { 1.0 } else { 1.25 }) as usize).clamp(20, 400);
    let cut = tokens == 400;
    let said = if right { gold } else { gold + 1 + own.below(9) };
    let mut parts = vec![
        format!("Ana starts with {a} coins. She finds {b} more, so the coins have to be added."),
        format!("First the tens: {} + {} = {}.", a / 10 * 10, b / 10 * 10, a / 10 * 10 + b / 10 * 10),
        format!("Then the ones: {} + {} = {}.", a % 10, b % 10, a % 10 + b % 10),
        format!("Together that makes {said}. Check: {said} \u{2212} {b} = {}.", said - b),
    ];
    parts.truncate(2 + own.below(3));
    parts.push(if cut { "Let me look at it once more, from the start, as".into() } else { format!("#### {said}") });
    let (mut text, mut ends) = (String::new(), vec![]);
    for (place, part) in parts.iter().enumerate() {
        text += part;
        if place + 1 < parts.len() {
            text += "\n\n";
        }
        ends.push(text.len());
    }
    let steps = match skill.steers {
        true => (1..=parts.len()).map(|segment| step(segment, tokens / parts.len(), skill, k_scale, own)).collect(),
        false => vec![],
    };
    let steered = steps.iter().filter(|step: &&Step| !step.candidates.is_empty()).count();
    let verdict = match own.uniform() {
        u if u < 0.01 => Verdict::Unclear,
        _ if right => Verdict::Equal,
        _ => Verdict::Different,
    };
    let grade = Grade { verdict, rule: "number".into(), why: None };
    Record {
        id: format!("{task}-{index}"),
        prompt: format!("User: Ana has {a} coins. Ana finds {b}. How many coins now?\nAssistant:"),
        gold: gold.to_string(),
        text,
        token_ids: vec![7; tokens],
        judged: if cut {
            Judged { answer: None, grade: None }
        } else {
            Judged { answer: Some(said.to_string()), grade: Some(grade) }
        },
        tokens,
        probe_tokens: if skill.probes { 20 * steered } else { 0 },
        other_tokens: skill.samples * tokens,
        forward_passes: tokens,
        finish: if cut { Finish::Length } else { Finish::Eos },
        segment_ends: if skill.steers { ends } else { vec![] },
        steps,
        seconds: None,
    }
}

fn step(segment: usize, tokens: usize, skill: Skill, k_scale: f64, own: &mut SampleRng) -> Step {
    // Few entries do most of the work, each at its own control point.
    let mut entry = |m: usize| ((own.uniform().powi(3) * 12.0) as usize * 5 + m) % ENTRIES;
    let m = segment - 1;
    let found: Vec<usize> = if m == 0 { vec![] } else { (0..6).map(|_| entry(m)).collect() };
    let mut retrieved: Vec<Retrieved> = vec![];
    for entry in found {
        if retrieved.iter().all(|hit| hit.entry != entry) {
            retrieved.push(Retrieved { entry, similarity: (0.97 - 0.06 * own.uniform()) as f32 });
        }
    }
    retrieved.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
    let scored = |hit: &Retrieved| {
        let advantage = f64::from(hit.similarity) * (0.3 + 0.5 * own.uniform());
        let gain = if skill.probes { 0.3 * own.normal() } else { 0.0 };
        Scored { entry: hit.entry, score: 2.0 * advantage + 0.1 * gain, advantage, similarity: hit.similarity, gain }
    };
    let mut candidates: Vec<Scored> = retrieved.iter().take(4).map(scored).collect();
    candidates.sort_by(|a, b| b.advantage.total_cmp(&a.advantage));
    let best = candidates.iter().copied().reduce(|a, b| if b.score > a.score { b } else { a });
    let null_score = 0.9 + 0.4 * own.uniform();
    let chosen = best.filter(|best| best.score > null_score);
    Step {
        segment,
        chosen: chosen.map(|best| best.entry),
        layer: chosen.map(|_| 7),
        score: chosen.map_or(null_score, |best| best.score),
        null_score,
        scale: chosen.map_or(0.0, |best| (k_scale * best.score) as f32),
        tokens,
        retrieved,
        candidates,
    }
}

/// The entries.
pub(crate) fn library(task: &str) -> LibraryDescription {
    let entry = |index: usize| EntryDescription {
        problem: format!("{task}-train-{}", index * 3),
        m: 1 + index % 5,
        layer: 7,
        quality: 1.2 - index as f64 / 80.0,
        steers: !index.is_multiple_of(4),
    };
    LibraryDescription {
        model: MODEL.into(),
        mined_from: task.into(),
        params: BTreeMap::new(),
        entries: (0..ENTRIES).map(entry).collect(),
    }
}

/// Pairs of states in 48 dimensions: a cloud for every control point, failures and successes apart in a direction that
/// turns from cloud to cloud.
pub(crate) fn pairs() -> Vec<Pair> {
    let mut rng = SampleRng::new(5, 0);
    let centres: Vec<Vec<f64>> = (0..5).map(|_| (0..48).map(|_| 2.2 * rng.normal()).collect()).collect();
    let shift: Vec<f64> = (0..48).map(|_| rng.normal()).collect();
    let pair = |index: usize| {
        let m = index % 5;
        let mut noise = |by: f64| by * rng.normal();
        let minus: Vec<f32> = centres[m].iter().map(|c| (c + noise(0.9)) as f32).collect();
        let towards = |i: usize| 0.8 * shift[i] + 0.35 * centres[(m + 1) % 5][i];
        let plus: Vec<f32> =
            minus.iter().enumerate().map(|(i, &x)| (f64::from(x) + towards(i) + noise(0.25)) as f32).collect();
        Pair {
            problem: format!("stories-train-{index}"),
            m: m + 1,
            layer: 7,
            quality: 1.0 - index as f64 / 400.0,
            mu_plus: plus,
            mu_minus: minus,
            ..Pair::default()
        }
    };
    (0..160).map(pair).collect()
}
