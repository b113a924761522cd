use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{RecordLog, Shard, Share};

const IDS: [&str; 7] = ["a", "ß", "c", "d", "e", "f", "g"];

/// The number of records of every problem; one has none, as if it could not be done.
const RECORDS: [u64; 7] = [2, 1, 0, 3, 1, 1, 2];

fn settings() -> Value {
    json!({"z": {"b": 0.1, "a": [1]}, "seed": 7, "a": "last but one"})
}

fn key(record: &Value) -> (String, u64) {
    (record["id"].as_str().unwrap_or_default().to_owned(), record["k"].as_u64().unwrap_or_default())
}

fn records(place: usize) -> impl Iterator<Item = Value> {
    (0..RECORDS[place]).map(move |k| json!({"id": IDS[place], "k": k, "text": "grün 🌱"}))
}

/// Writes a run, or one part of it, last record first; without `finish` it is left as a killed process leaves it.
fn write(out: &Path, shard: Option<Shard>, settings: Settings, finish: bool) {
    let places: Vec<usize> = shard.map_or((0..7).collect(), |shard| shard.of(0..7).collect());
    let settings = settings.of_shard(shard);
    let keys = places.iter().flat_map(|&place| (0..3).map(move |k| (IDS[place].to_owned(), k)));
    let mut log = RecordLog::open(out, &settings, keys, key).unwrap();
    if let Some(shard) = shard {
        log = log.sealed(Share::new(shard, IDS)).unwrap();
    }
    let all: Vec<Value> = places.iter().flat_map(|&place| records(place)).collect();
    for record in all.iter().rev() {
        if !log
            .contains(places.iter().position(|&place| IDS[place] == record["id"]).unwrap() * 3 + key(record).1 as usize)
        {
            log.push(record).unwrap();
        }
    }
    if finish {
        log.finish().unwrap();
    }
}

struct Run(TempDir);

impl Run {
    fn new(count: usize) -> Self {
        let run = Self(TempDir::new().unwrap());
        Shard::all(count).for_each(|shard| write(&run.part(shard.index()), Some(shard), run.settings(), true));
        run
    }

    fn settings(&self) -> Settings {
        Settings::new(&settings()).unwrap()
    }

    fn part(&self, index: usize) -> PathBuf {
        self.0.path().join(format!("part{index}.jsonl"))
    }

    fn out(&self) -> PathBuf {
        self.0.path().join("out.jsonl")
    }

    fn merge(&self, parts: impl IntoIterator<Item = usize>) -> Result<usize, MergeError> {
        merge_logs(self.out(), &parts.into_iter().map(|index| self.part(index)).collect::<Vec<_>>())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn parts_give_the_bytes_of_the_whole(count in 1usize..10, order in any::<u64>(), indented in any::<bool>()) {
        let folder = TempDir::new().unwrap();
        let whole = folder.path().join("whole.jsonl");
        let settings = Settings::new(&settings()).unwrap();
        let settings = if indented { settings.indented() } else { settings };
        write(&whole, None, settings.clone(), true);
        let part = |index: usize| folder.path().join(format!("{index}.jsonl"));
        Shard::all(count).for_each(|shard| write(&part(shard.index()), Some(shard), settings.clone(), true));

        let mut parts: Vec<usize> = (0..count).collect();
        parts.sort_by_key(|&index| (index as u64 ^ order).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (parts, out) = (parts.into_iter().map(part).collect::<Vec<_>>(), folder.path().join("out.jsonl"));
        // Once, and again over what it made.
        for _ in 0..2 {
            prop_assert_eq!(merge_logs(&out, &parts).unwrap(), 10);
            prop_assert_eq!(fs::read(&out).unwrap(), fs::read(&whole).unwrap());
            prop_assert_eq!(fs::read(Settings::path(&out)).unwrap(), fs::read(Settings::path(&whole)).unwrap());
        }
        // The whole can be gone on with as if it had been made at once.
        let keys = IDS.iter().flat_map(|id| (0..3).map(move |k| ((*id).to_owned(), k)));
        prop_assert_eq!(RecordLog::open(&out, &settings, keys, key).unwrap().len(), 10);
    }
}

#[test]
fn gaps_and_repeated_parts_are_refused() {
    let run = Run::new(3);
    assert!(matches!(run.merge([]), Err(MergeError::Nothing)));
    match run.merge([2]).unwrap_err() {
        MergeError::Gap { count: 3, missing } => assert_eq!(missing, [0, 1]),
        error => panic!("{error}"),
    }
    assert!(matches!(run.merge([0, 1, 2, 1]), Err(MergeError::Twice { shard, .. }) if shard.index() == 1));
    assert!(!run.out().exists() && !Settings::path(run.out()).exists());
    assert_eq!(run.merge([1, 2, 0]).unwrap(), 10);
}

#[test]
fn parts_of_two_runs_are_refused() {
    let run = Run::new(3);
    let other = |index: usize, count: usize, settings: Value| {
        for path in [run.part(index), Settings::path(run.part(index)), Seal::path(run.part(index))] {
            fs::remove_file(path).unwrap();
        }
        write(&run.part(index), Some(Shard::new(index, count).unwrap()), Settings::new(&settings).unwrap(), true);
    };
    other(1, 4, settings());
    assert!(matches!(run.merge([0, 1, 2]), Err(MergeError::Division { path, .. }) if path == run.part(1)));
    let mut changed = settings();
    changed["z"]["b"] = json!(0.2);
    other(1, 3, changed);
    let error = run.merge([0, 1, 2]).unwrap_err();
    let (first, second) = (run.part(0), run.part(1));
    let text = format!("z.b is 0.2 in {}, but 0.1 in {}", second.display(), first.display());
    assert!(matches!(error, MergeError::Settings { .. }) && error.to_string() == text, "{error}");
    // Nor do parts take the place of another run's records.
    other(1, 3, settings());
    write(&run.out(), None, Settings::new(&json!({"seed": 8})).unwrap(), true);
    let before = fs::read(run.out()).unwrap();
    assert!(matches!(run.merge([0, 1, 2]), Err(MergeError::File(FileError::Settings { .. }))));
    assert_eq!(fs::read(run.out()).unwrap(), before);
}

#[test]
fn a_part_that_is_not_finished_is_refused_until_it_is() {
    let run = Run::new(2);
    let (part, shard) = (run.part(1), Shard::new(1, 2).unwrap());
    let whole = fs::read(&part).unwrap();
    // Killed, and begun again.
    fs::write(&part, &whole[..whole.len() / 2]).unwrap();
    match run.merge([0, 1]).unwrap_err() {
        MergeError::Changed { path, found, sealed } => {
            assert_eq!((path, found, sealed), (part.clone(), (whole.len() / 2) as u64, whole.len() as u64));
        }
        error => panic!("{error}"),
    }
    write(&part, Some(shard), run.settings(), false);
    assert!(matches!(run.merge([0, 1]), Err(MergeError::Unfinished { path }) if path == part));
    write(&part, Some(shard), run.settings(), true);
    assert_eq!(fs::read(&part).unwrap(), whole);
    assert_eq!(run.merge([0, 1]).unwrap(), 10);
    // While a process writes it.
    let _lock = FileLock::acquire(&part).unwrap();
    assert!(matches!(run.merge([0, 1]), Err(MergeError::File(FileError::InUse { .. }))));
}

#[test]
fn what_is_no_part_is_named() {
    let run = Run::new(2);
    write(&run.out(), None, run.settings(), true);
    let merge = |first: &Path| merge_logs(run.0.path().join("new.jsonl"), &[first, &run.part(1)]);
    assert!(matches!(merge(&run.out()), Err(MergeError::NotAShard { path }) if path == run.out()));
    let missing = run.0.path().join("none.jsonl");
    assert!(matches!(merge(&missing), Err(MergeError::File(FileError::Io { action: "open", .. }))));
    assert!(!missing.exists());
    // A seal that is not one, and one of another part.
    let seal = fs::read_to_string(Seal::path(run.part(0))).unwrap();
    fs::write(Seal::path(run.part(0)), "{}").unwrap();
    assert!(matches!(merge(&run.part(0)), Err(MergeError::File(FileError::BrokenSettings { .. }))));
    fs::write(Seal::path(run.part(0)), seal.replace("0/2", "1/2")).unwrap();
    assert!(matches!(merge(&run.part(0)), Err(MergeError::Unfinished { .. })));
    fs::write(Seal::path(run.part(0)), seal.replace("0/2", "2/2")).unwrap();
    assert!(matches!(merge(&run.part(0)), Err(MergeError::File(FileError::BrokenSettings { .. }))));
}

#[test]
fn problems_of_another_part_are_refused() {
    let run = Run::new(2);
    let (part, seal) = (run.part(1), Seal::path(run.part(1)));
    let (records, sealed) = (fs::read_to_string(&part).unwrap(), fs::read_to_string(&seal).unwrap());
    fs::write(&seal, sealed.replace("\"ß\"", "\"a\"")).unwrap();
    assert!(matches!(run.merge([0, 1]), Err(MergeError::Overlap { id, .. }) if id == "a"));
    fs::write(&seal, sealed.replace(",\"f\"", "")).unwrap();
    assert!(matches!(run.merge([0, 1]), Err(MergeError::Share { found: 2, total: 7, .. })));
    // A record of a problem that the part does not have: of the same length, so that only this is wrong.
    fs::write(&seal, &sealed).unwrap();
    fs::write(&part, records.replace("\"f\"", "\"x\"")).unwrap();
    match run.merge([0, 1]).unwrap_err() {
        MergeError::Stray { path, record, id } => assert_eq!((path, record, id.as_str()), (part, 5, "x")),
        error => panic!("{error}"),
    }
    assert!(!run.out().exists());
}

#[test]
fn folders_are_put_together_file_by_file() {
    let folder = TempDir::new().unwrap();
    let parts: Vec<PathBuf> = (0..2).map(|index| folder.path().join(index.to_string())).collect();
    let (out, settings) = (folder.path().join("out"), Settings::new(&settings()).unwrap());
    assert!(matches!(merge_folders(&out, &[] as &[PathBuf]), Err(MergeError::Nothing)));
    for (part, shard) in parts.iter().zip(Shard::all(2)) {
        fs::create_dir(part).unwrap();
        fs::write(part.join("report.html"), "not a log").unwrap();
        for name in ["answers.plain.jsonl", "answers.stir.jsonl"] {
            if (name, shard.index()) != ("answers.stir.jsonl", 1) {
                write(&part.join(name), Some(shard), settings.clone(), true);
            }
        }
    }
    // The second part has not begun the second file.
    assert!(
        matches!(merge_folders(&out, &parts), Err(MergeError::File(FileError::Io { path, .. })) if path.ends_with("1/answers.stir.jsonl"))
    );
    write(&parts[1].join("answers.stir.jsonl"), Some(Shard::new(1, 2).unwrap()), settings, true);
    let merged = merge_folders(&out, &parts).unwrap();
    assert_eq!(merged, [out.join("answers.plain.jsonl"), out.join("answers.stir.jsonl")]);
    assert_eq!(fs::read(&merged[0]).unwrap(), fs::read(&merged[1]).unwrap());
    assert_eq!(fs::read_dir(&out).unwrap().count(), 4);
    assert!(matches!(merge_folders(&out, &[folder.path()]), Err(MergeError::Unfinished { .. })));
}
