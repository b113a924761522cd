//! Workers that die at random moments: every shard is in the result once, and the result is that of one process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use serde_json::json;
use stir_cloud::{Board, Claim, CloudError, Finished, Place, RunSpec, Work, copy};
use stir_files::{RecordLog, Settings, Shard, Share, merge_logs};
use tempfile::TempDir;
use tokio::time::sleep;

const IDS: [&str; 17] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q"];
const SHARDS: usize = 6;
const ROUNDS: u64 = 50;

fn spec(lease_ms: u64) -> RunSpec {
    RunSpec { shards: SHARDS, lease_ms, work: json!("letters") }
}

/// Writes the records of a part, or of the whole run, one a millisecond.
async fn write(out: &Path, shard: Option<Shard>) {
    let settings = Settings::new(&json!({"seed": 7})).unwrap().of_shard(shard);
    let key = |record: &serde_json::Value| record["id"].as_str().unwrap().to_owned();
    let mut log = RecordLog::open(out, &settings, IDS.map(String::from), key).unwrap();
    if let Some(shard) = shard {
        log = log.sealed(Share::new(shard, IDS)).unwrap();
    }
    for id in shard.unwrap_or(Shard::new(0, 1).unwrap()).of(IDS) {
        log.push(&json!({"id": id, "text": id.repeat(20)})).unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    log.finish().unwrap();
}

async fn one(mut claim: Claim) -> Result<Finished, CloudError> {
    let folder = TempDir::new().unwrap();
    let shard = claim.shard();
    claim.hold(write(&folder.path().join("letters.jsonl"), Some(shard))).await?;
    claim.finish(folder.path()).await
}

/// Works until all is done; returns how many shards of this worker were kept.
async fn worker(place: Place, name: usize, lease_ms: u64) -> usize {
    let mut board = Board::join(place, spec(lease_ms), format!("worker {name}")).await.unwrap();
    let mut kept = 0;
    while let Some(claim) = board.claim().await.unwrap() {
        match one(claim).await {
            Ok(finished) => kept += usize::from(finished == Finished::Kept),
            Err(CloudError::Lost { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    kept
}

async fn whole(folder: &Path) -> Vec<u8> {
    let path = folder.join("whole.jsonl");
    write(&path, None).await;
    fs::read(path).unwrap()
}

/// Lets four workers work, two of which die; checks the result. Returns how many shards the two survivors did.
async fn round(place: Place, seed: u64, lease_ms: u64) -> usize {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let start = |name: usize| tokio::spawn(worker(place.clone(), name, lease_ms));
    let workers: Vec<_> = (0..4).map(start).collect();
    let mut kept = 0;
    let doomed = [rng.random_range(0..4usize), rng.random_range(0..4usize)];
    for (name, worker) in workers.into_iter().enumerate() {
        if doomed.contains(&name) {
            let moment = Duration::from_micros(rng.random_range(0..12_000));
            tokio::spawn(async move {
                sleep(moment).await;
                worker.abort();
            });
        } else {
            kept += worker.await.unwrap();
        }
    }
    let folder = TempDir::new().unwrap();
    let board = Board::open(place).await.unwrap();
    let fetched = board.fetch(folder.path()).await.unwrap();
    assert_eq!(fetched.iter().map(|(shard, _)| shard.index()).collect::<Vec<_>>(), (0..SHARDS).collect::<Vec<_>>());
    let parts: Vec<PathBuf> = fetched.iter().map(|(_, folder)| folder.join("letters.jsonl")).collect();
    let out = folder.path().join("out.jsonl");
    assert_eq!(merge_logs(&out, &parts).unwrap(), IDS.len());
    assert_eq!(fs::read(out).unwrap(), whole(folder.path()).await, "seed {seed}");
    assert!(kept <= SHARDS);
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_memory_two_of_four_workers_die_and_nothing_is_lost() {
    let mut survivors = 0;
    for seed in 0..ROUNDS {
        survivors += round(Place::in_memory(), seed, 60).await;
    }
    // The dead have done some, the others the rest.
    assert!(survivors > 0 && survivors < ROUNDS as usize * SHARDS, "{survivors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_files_two_of_four_workers_die_and_nothing_is_lost() {
    let folder = TempDir::new().unwrap();
    for seed in 0..ROUNDS {
        let place = Place::open(&format!("file://{}/{seed}", folder.path().display())).unwrap();
        round(place, seed, 60).await;
    }
}

/// A server that `tests/cluster/s3` has started.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs an S3 server: tests/cluster/s3 starts one and sets STIR_CLOUD_URL"]
async fn on_a_server_two_of_four_workers_die_and_nothing_is_lost() {
    let url = std::env::var("STIR_CLOUD_URL").expect("STIR_CLOUD_URL names an empty folder of the server");
    for seed in 0..ROUNDS {
        round(Place::open(&format!("{url}/{seed}")).unwrap(), seed, 600).await;
    }
}

#[tokio::test]
async fn a_worker_that_was_only_slow_spoils_nothing() {
    let (place, folder) = (Place::in_memory(), TempDir::new().unwrap());
    let mut slow = Board::join(place.clone(), spec(40), "slow").await.unwrap();
    let mut quick = Board::join(place.clone(), spec(40), "quick").await.unwrap();
    let mut claim = slow.claim().await.unwrap().unwrap();
    assert_eq!(claim.shard().index(), 0);
    assert_eq!(quick.try_claim().await.unwrap().unwrap().shard().index(), 1);
    // It does not renew its claim, and the other one takes the shard.
    let other = loop {
        match quick.try_claim().await.unwrap() {
            Some(other) if other.shard().index() == 0 => break other,
            _ => sleep(Duration::from_millis(5)).await,
        }
    };
    assert!(matches!(claim.renew().await, Err(CloudError::Lost { shard }) if shard.index() == 0));
    // Both finish: the first counts, whoever it is.
    fs::write(folder.path().join("x"), "slow").unwrap();
    assert_eq!(claim.finish(folder.path()).await.unwrap(), Finished::Kept);
    fs::write(folder.path().join("x"), "quick").unwrap();
    assert_eq!(other.finish(folder.path()).await.unwrap(), Finished::Late);
    let out = TempDir::new().unwrap();
    let fetched = quick.fetch(out.path()).await.unwrap();
    assert_eq!(fetched.len(), 1);
    assert_eq!(fs::read_to_string(fetched[0].1.join("x")).unwrap(), "slow");
}

#[tokio::test]
async fn a_living_worker_keeps_its_shard() {
    let place = Place::in_memory();
    let mut first = Board::join(place.clone(), spec(60), "first").await.unwrap();
    let mut second = Board::join(place.clone(), spec(60), "second").await.unwrap();
    let mut claims = Vec::new();
    while let Some(claim) = first.try_claim().await.unwrap() {
        claims.push(claim);
    }
    assert_eq!(claims.len(), SHARDS);
    let held = claims
        .into_iter()
        .map(|mut claim| tokio::spawn(async move { claim.hold(sleep(Duration::from_millis(400))).await }));
    let held: Vec<_> = held.collect();
    for _ in 0..30 {
        assert!(second.try_claim().await.unwrap().is_none());
        sleep(Duration::from_millis(10)).await;
    }
    for claim in held {
        claim.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn other_runs_and_foreign_objects_are_refused() {
    let (place, folder) = (Place::in_memory(), TempDir::new().unwrap());
    assert!(matches!(Board::open(place.clone()).await, Err(CloudError::Foreign { .. })));
    Board::join(place.clone(), spec(60), "one").await.unwrap();
    for (other, name) in [
        (RunSpec { shards: 7, ..spec(60) }, "shards"),
        (RunSpec { work: json!(["sleep"]), ..spec(60) }, "work"),
        (spec(61), "lease_ms"),
    ] {
        let error = Board::join(place.clone(), other, "two").await.unwrap_err();
        assert!(matches!(&error, CloudError::Differs { field, .. } if field == name), "{error}");
    }
    assert!(matches!(Board::join(place.clone(), spec(1), "two").await, Err(CloudError::Lease { at_least: 30, .. })));
    let none = RunSpec { shards: 0, ..spec(60) };
    assert!(matches!(Board::join(place, none, "two").await, Err(CloudError::Shard(_))));

    // A file that is not the one that was uploaded.
    let place = Place::open(&format!("file://{}", folder.path().display())).unwrap();
    let mut board = Board::join(place, spec(60), "one").await.unwrap();
    let out = TempDir::new().unwrap();
    fs::write(out.path().join("x"), "right").unwrap();
    board.claim().await.unwrap().unwrap().finish(out.path()).await.unwrap();
    let attempt = fs::read_dir(folder.path().join("results/0")).unwrap().next().unwrap().unwrap().path();
    fs::write(attempt.join("x"), "wrong").unwrap();
    let error = board.fetch(out.path()).await.unwrap_err();
    assert!(matches!(&error, CloudError::Foreign { what: "it is not the file that was uploaded", .. }), "{error}");
    assert!(!out.path().join("0/x").exists());
    let done = folder.path().join("done/0");
    let text = fs::read_to_string(&done).unwrap();
    fs::write(&done, text.replace("\"x\"", "\"../../x\"")).unwrap();
    assert!(matches!(board.fetch(out.path()).await, Err(CloudError::Foreign { what: "a file has no plain name", .. })));
    // A list that is larger than any, of which nothing is read.
    fs::File::create(&done).unwrap().set_len(65 << 20).unwrap();
    let error = board.fetch(out.path()).await.unwrap_err();
    assert!(matches!(&error, CloudError::Foreign { what, .. } if what.contains("64 MiB")), "{error}");
}

#[tokio::test]
async fn files_of_any_size_and_folders_come_back() {
    let (place, folder) = (Place::in_memory(), TempDir::new().unwrap());
    let mut board = Board::join(place, spec(2000), "one").await.unwrap();
    let large: Vec<u8> = (0..20_000_000u32).map(|i| (i % 251) as u8).collect();
    fs::create_dir_all(folder.path().join("answers/12")).unwrap();
    for (name, content) in [("empty", &[][..]), ("large", &large), ("answers/12/a.jsonl", b"{}\n")] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    board.claim().await.unwrap().unwrap().finish(folder.path()).await.unwrap();
    let out = TempDir::new().unwrap();
    let fetched = board.fetch(out.path()).await.unwrap().remove(0).1;
    for name in ["empty", "large", "answers/12/a.jsonl"] {
        assert!(fs::read(fetched.join(name)).unwrap() == fs::read(folder.path().join(name)).unwrap(), "{name}");
    }
}

#[tokio::test]
async fn a_command_is_run_for_every_shard() {
    let (folder, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let place = Place::open(&format!("file://{}", folder.path().display())).unwrap();
    let sh = |script: &str| Work::new(["sh", "-c", script].map(String::from));
    for (script, missing) in [("echo {shard}", "{out}"), ("echo > {out}/x", "{shard}")] {
        let refused = sh(script).spec(SHARDS, 1000);
        assert!(matches!(refused, Err(CloudError::Placeholder { missing: found }) if found == missing));
    }
    assert!(sh("echo > {out}/x").spec(1, 1000).is_ok());
    let work = sh("echo {shard} > {out}/shard.txt");
    let mut board = Board::join(place.clone(), work.spec(SHARDS, 1000).unwrap(), "one").await.unwrap();
    assert_eq!(work.run(&mut board).await.unwrap(), SHARDS);
    for (shard, folder) in board.fetch(out.path()).await.unwrap() {
        assert_eq!(fs::read_to_string(folder.join("shard.txt")).unwrap(), format!("{shard}\n"));
    }
    // One that fails leaves its shard to others, and nothing in the store.
    let failing = sh("echo {shard} > {out}/shard.txt; exit 3");
    let mut board = Board::join(Place::in_memory(), failing.spec(SHARDS, 1000).unwrap(), "two").await.unwrap();
    let error = failing.run(&mut board).await.unwrap_err();
    assert!(matches!(&error, CloudError::Command { status, .. } if status.code() == Some(3)), "{error}");
    assert!(board.done().await.unwrap().is_empty());
    let absent = Work::new(["no-such-program", "{shard}", "{out}"].map(String::from));
    let error = absent.run(&mut board).await.unwrap_err();
    assert!(matches!(&error, CloudError::Start { program, .. } if program == Path::new("no-such-program")), "{error}");
}

#[tokio::test]
async fn a_worker_of_a_run_that_was_removed_takes_no_part_in_the_next() {
    let folder = TempDir::new().unwrap();
    let place = Place::open(&format!("file://{}/run", folder.path().display())).unwrap();
    let mut old = Board::join(place.clone(), spec(60), "old").await.unwrap();
    fs::remove_dir_all(folder.path().join("run")).unwrap();
    assert!(matches!(old.claim().await, Err(CloudError::Foreign { .. })));
    Board::join(place, RunSpec { work: json!("new"), ..spec(60) }, "new").await.unwrap();
    assert!(matches!(old.claim().await, Err(CloudError::Differs { field, .. }) if field == "work"));
}

#[cfg(unix)]
#[tokio::test]
async fn what_could_not_be_fetched_is_not_done() {
    for (script, is_name) in [("echo > '{out}/b\\s'", true), ("true {out}", false)] {
        let work = Work::new(["sh", "-c", script].map(String::from));
        let mut board = Board::join(Place::in_memory(), work.spec(1, 1000).unwrap(), "one").await.unwrap();
        let error = work.run(&mut board).await.unwrap_err();
        let expected =
            if is_name { matches!(error, CloudError::File(_)) } else { matches!(error, CloudError::Nothing { .. }) };
        assert!(expected && board.done().await.unwrap().is_empty(), "{error}");
    }
    // Devices and pipes are neither replaced nor waited for.
    let folder = TempDir::new().unwrap();
    let (pipe, there) = (folder.path().join("pipe"), format!("file://{}/x", folder.path().display()));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = pipe.display().to_string();
    assert!(matches!(copy(&pipe, &there).await, Err(CloudError::File(_))));
    fs::write(folder.path().join("x"), "x").unwrap();
    assert!(matches!(copy(&there, &pipe).await, Err(CloudError::File(_))));
}

#[tokio::test]
async fn inputs_in_a_store_are_downloaded_once() {
    let (folder, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let bucket = format!("file://{}", folder.path().display());
    fs::create_dir_all(folder.path().join("model/parts")).unwrap();
    let files =
        [("task.jsonl", "t"), ("task.jsonl.settings.json", "s"), ("model/config.json", "c"), ("model/parts/1", "p")];
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let work = |address: String| {
        // What a shard appends, the next one would find.
        let script = "cat $1 $1.settings.json $2/config.json $2/parts/1 > {out}/read.txt; echo x >> $1";
        let words = ["sh", "-c", script, "{shard}", &address];
        Work::new(words.map(String::from).into_iter().chain([format!("{bucket}/model/")]))
    };
    let one = work(format!("{bucket}/task.jsonl"));
    let run = Place::open(&format!("{bucket}/run")).unwrap();
    let mut board = Board::join(run, one.spec(2, 1000).unwrap(), "one").await.unwrap();
    assert_eq!(one.run(&mut board).await.unwrap(), 2);
    let fetched = board.fetch(out.path()).await.unwrap();
    let read = |shard: usize| fs::read_to_string(fetched[shard].1.join("read.txt")).unwrap();
    assert_eq!((read(0).as_str(), read(1).as_str()), ("tscp", "tx\nscp"));
    assert_eq!(fs::read_to_string(folder.path().join("task.jsonl")).unwrap(), "t");

    for (gone, is_store) in [("gone.jsonl", true), ("gone/", false)] {
        let absent = work(format!("{bucket}/{gone}"));
        let mut board = Board::join(Place::in_memory(), absent.spec(2, 1000).unwrap(), "two").await.unwrap();
        let error = absent.run(&mut board).await.unwrap_err();
        let expected = if is_store {
            matches!(error, CloudError::Store { action: "read", .. })
        } else {
            matches!(error, CloudError::Foreign { what: "there is no object below it", .. })
        };
        assert!(expected, "{error}");
    }
}

#[tokio::test]
async fn single_files_are_copied_both_ways() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("problems.jsonl"), "{}\n").unwrap();
    let there = format!("file://{}", path("bucket/problems.jsonl"));
    assert_eq!(copy(&path("problems.jsonl"), &there).await.unwrap(), 3);
    assert_eq!(copy(&there, &path("back.jsonl")).await.unwrap(), 3);
    assert_eq!(fs::read_to_string(path("back.jsonl")).unwrap(), "{}\n");
    assert!(matches!(copy(&path("a"), &path("b")).await, Err(CloudError::Copy { .. })));
    assert!(matches!(copy(&there, &there).await, Err(CloudError::Copy { .. })));
    let error = copy(&format!("{there}.gone"), &path("c")).await.unwrap_err();
    assert!(matches!(&error, CloudError::Store { action: "read", .. }), "{error}");
    assert!(!Path::new(&path("c")).exists());
    for url in
        ["s3:/bucket", "ftp://host/x", "s3://user:secret@bucket/x", "memory:///x", "file:///x?y", "s3://bucket/x#2"]
    {
        assert!(matches!(Place::open(url), Err(CloudError::Url { .. })), "{url}");
    }
}
