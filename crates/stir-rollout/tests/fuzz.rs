//! Files of lines that are broken at random: reading ends, an error leaves the file as it was, and what opens can be
//! finished.

use std::{
    collections::HashSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use stir_core::{
    SampleRng,
    toy::{break_json, fuzz_runs},
};
use stir_files::{RecordLog, Settings, mend_surrogates};
use stir_rollout::{
    Fork, PromptRecord, Rollout, fork_tree, group_rollouts, read_forks, read_groups, read_prompts, read_rollouts,
};

/// Two problems with their rollouts, as this program and others write them.
const ROLLOUTS: &str = r#"{"id":"a","k":0,"prompt":"p","gold":"g","text":"t\n","token_ids":[1,2,3,4],"correct":true,"reward":0.5}
{"id":"a","k":1,"prompt":"p","text":"caf\u00e9 \ud83d\ude00","token_ids":[1,5,6],"correct":false,"reward":0}
{"id":7,"k":0,"prompt":"","gold":1.50,"text":"","correct":true,"reward":1e-3}
"#;

/// A tree over the first problem.
const FORKS: &str = r#"{"id":"a","node":1,"k":0,"parent":0,"via":0,"m":1,"prefix":[1,2],"token_ids":[3,9],"text":"x","correct":true}
{"id":"a","node":1,"k":1,"parent":0,"via":0,"m":1,"prefix":[1,2],"token_ids":[],"text":"","correct":false}
{"id":"a","node":2,"k":0,"parent":1,"via":0,"m":2,"prefix":[1,2,3],"token_ids":[8],"text":"z","correct":true}
"#;

const PROMPTS: &str = "{\"id\":\"a\",\"question\":\"what\",\"gold\":\"7\"}\n\n{\"id\":2,\"prompt\":\"p\"}\r\n";

/// Reads `count` lines of each kind by themselves, as a reader of a file does. Returns how many were records.
fn lines(count: usize, seed: u64) -> usize {
    let (mut rng, mut line, mut read) = (SampleRng::new(seed, 0), Vec::new(), 0);
    let kinds =
        [ROLLOUTS, FORKS, PROMPTS].map(|kind| kind.split('\n').filter(|line| !line.is_empty()).collect::<Vec<_>>());
    for i in 0..count {
        let kind = i % 3;
        line.clear();
        line.extend(kinds[kind][i / 3 % kinds[kind].len()].as_bytes());
        break_json(&mut line, &mut rng);
        let mended = mend_surrogates(&line);
        assert_eq!(mended.len(), line.len());
        read += usize::from(match kind {
            0 => serde_json::from_slice::<Rollout>(&mended).is_ok_and(|rollout| again(&rollout)),
            1 => serde_json::from_slice::<Fork>(&mended).is_ok_and(|fork| again(&fork)),
            _ => serde_json::from_slice::<PromptRecord>(&mended).is_ok(),
        });
    }
    read
}

/// What was read is written and read again as what it is.
fn again<R: serde::Serialize + serde::de::DeserializeOwned + PartialEq>(record: &R) -> bool {
    serde_json::from_slice::<R>(&serde_json::to_vec(record).unwrap()).unwrap() == *record
}

/// Reads `count` files in every way. Returns how many were whole.
fn files(count: usize, seed: u64) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut rng, mut whole) = (folder.path().join("x.jsonl"), SampleRng::new(seed, 0), 0);
    for i in 0..count {
        let mut file = [ROLLOUTS, FORKS, PROMPTS][i % 3].as_bytes().to_vec();
        break_json(&mut file, &mut rng);
        fs::write(&path, &file).unwrap();
        whole += usize::from(match i % 3 {
            0 => resume(&path, &file),
            1 => {
                let forks = read_forks(&path).and_then(|groups| groups.collect::<Result<Vec<_>, _>>());
                forks.is_ok_and(|groups| groups.iter().all(|forks| tree(forks)))
            }
            _ => read_prompts(&path).is_ok(),
        });
    }
    whole
}

/// Puts the tree of forks together with whole rollouts.
fn tree(forks: &[Fork]) -> bool {
    let rollouts = ROLLOUTS.lines().map(|line| serde_json::from_str::<Rollout>(line).unwrap());
    let groups = group_rollouts(rollouts);
    let tree = fork_tree(&groups[0], forks, |rollout| Some(rollout.token_ids.clone()));
    tree.is_ok_and(|nodes| {
        assert!(nodes.iter().all(|(number, node)| node.parent.is_none_or(|(parent, _)| parent < *number)));
        true
    })
}

/// Reads rollouts, and goes on with the run that the file is of. An error must leave the file as it was; where there is
/// none, every whole line must be kept.
fn resume(path: &Path, file: &[u8]) -> bool {
    let one_by_one = read_rollouts(path).unwrap().all(|rollout| rollout.is_ok());
    let groups = read_groups(path).and_then(|groups| groups.collect::<Result<Vec<_>, _>>());
    assert!(groups.is_err() || one_by_one);
    let settings = Settings::new(&[("seed", 1)]).unwrap();
    settings.write(Settings::path(path)).unwrap();
    let keys = || [("a", 0), ("a", 1), ("a", 2), ("7", 0)].map(|(id, k)| (id.to_owned(), k));
    let key = |rollout: &Rollout| (rollout.id.clone(), rollout.k);
    let Ok(mut log) = RecordLog::open(path, &settings, keys(), key) else {
        assert_eq!(fs::read(path).unwrap(), file);
        return false;
    };
    let kept: HashSet<Vec<u8>> = fs::read(path).unwrap().split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    let lines = file.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
    assert!(lines.map(|line| line[..line.len() - 1].to_vec()).all(|line| kept.contains(&line)));
    for place in log.missing().collect::<Vec<_>>() {
        let (id, k) = keys()[place].clone();
        let (prompt, text) = ("p".into(), "t".into());
        let rollout = Rollout { id, k, prompt, gold: None, text, token_ids: vec![], correct: true, reward: 1.0 };
        log.push(&rollout).unwrap();
    }
    assert_eq!(log.finish().unwrap().map(|rollout| key(&rollout.unwrap())).collect::<Vec<_>>(), keys());
    true
}

#[test]
fn broken_lines_are_records_or_errors() {
    let read = lines(20_000, 1);
    assert!(read > 1000, "{read}");
}

#[test]
fn broken_files_are_left_alone_or_can_be_finished() {
    let whole = files(2000, 2);
    assert!(whole > 100, "{whole}");
}

/// The time of a line that says much the same again and again grows as its length does.
#[test]
fn long_lines_take_time_in_proportion() {
    let time = |length: usize| {
        let texts = ["\\", "\\ud83d", "\\u0000", "[", "{\"a\":", "1"].map(|part| part.repeat(length / part.len()));
        let tried = texts.map(|text| {
            let line = format!(
                r#"{{"id":"a","k":0,"prompt":"p","correct":true,"reward":1,"text":"{text}","token_ids":[{text}]}}"#
            );
            let begun = Instant::now();
            let _ = serde_json::from_slice::<Rollout>(&mend_surrogates(line.as_bytes()));
            begun.elapsed()
        });
        tried.into_iter().max().unwrap()
    };
    // Quadratic, four megabytes would take an hour.
    assert!(time(1 << 22) < Duration::from_secs(20));
}

#[test]
#[ignore = "takes minutes: STIR_FUZZ lines, and a hundredth of that in files"]
fn many_broken_lines_and_files() {
    let (count, seed) = fuzz_runs(1_000_000);
    let begun = Instant::now();
    let read = lines(count, seed);
    println!("{count} lines, {read} of them records, in {:?}", begun.elapsed());
    let begun = Instant::now();
    let whole = files(count / 100, seed);
    println!("{} files, {whole} of them whole, in {:?}", count / 100, begun.elapsed());
    assert!(read > count / 40 && whole > count / 4000, "{read} {whole}");
}
