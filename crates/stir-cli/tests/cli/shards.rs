//! Runs in parts: `--shard` and `stir merge`.

use std::{fs, path::Path};

use crate::{Folder, records, reference, refuse, run, succeed};

fn same(one: &str, other: &str) {
    assert_eq!(fs::read(one).unwrap(), fs::read(other).unwrap(), "{one} is not {other}");
}

#[test]
fn parts_of_every_stage_are_put_together() {
    let folder = Folder::new();
    let (_, library, task) = folder.stages(5);
    let (model, rollouts) = (reference("model"), reference("rollouts.jsonl"));
    let path = |name: &str| folder.path(name);
    let shards = ["0/2", "1/2"];
    let part = |name: &str, shard: &str| path(&format!("{name}.{}", &shard[..1]));

    let rollout = format!("--model {model} --task {task} --samples 2 --max-tokens 20 --out");
    succeed("rollout", &format!("{rollout} {}", path("r")));
    let parts = shards.map(|shard| {
        succeed("rollout", &format!("{rollout} {} --shard {shard}", part("r", shard)));
        part("r", shard)
    });
    refuse("rollout", &format!("{rollout} {}", parts[0]), &["shard"]);
    refuse("merge", &format!("{} {}", path("merged"), parts[0]), &["1 of 2 shards are missing"]);
    refuse("merge", &format!("{} {}", parts[0], parts.join(" ")), &["would take the place of"]);
    refuse("merge", &format!("{}.shard.json {}", parts[0], parts.join(" ")), &["would take the place of"]);
    succeed("merge", &format!("{} {}", path("merged"), parts.join(" ")));
    same(&path("merged"), &path("r"));
    same(&path("merged.settings.json"), &path("r.settings.json"));

    let induce = format!("--model {model} --rollouts {rollouts} --out");
    succeed("induce", &format!("{induce} {}", path("c")));
    let parts = shards.map(|shard| {
        succeed("induce", &format!("{induce} {} --shard {shard}", part("c", shard)));
        part("c", shard)
    });
    succeed("merge", &format!("{} {}", path("pairs"), parts.join(" ")));
    same(&path("pairs"), &path("c"));
    refuse(
        "induce",
        &format!("{induce} {} --shard 0/2 --center", path("x")),
        &["center needs the states of all problems"],
    );

    let evaluate =
        format!("--model {model} --library {library} --task {task} --methods plain,stir --max-tokens 20 --out");
    succeed("evaluate", &format!("{evaluate} {}", path("e")));
    let parts = shards.map(|shard| {
        succeed("evaluate", &format!("{evaluate} {} --shard {shard}", part("e", shard)));
        assert!(!Path::new(&part("e", shard)).join("results.json").exists());
        part("e", shard)
    });
    succeed("merge", &format!("{} {}", path("results"), parts.join(" ")));
    succeed("evaluate", &format!("{evaluate} {}", path("results")));
    for method in ["plain", "stir"] {
        let answers = |folder: &str| {
            let mut answers = records(Path::new(&path(folder)).join(format!("answers.{method}.jsonl")));
            answers.iter_mut().for_each(|answer| drop(answer.as_object_mut().unwrap().remove("seconds").unwrap()));
            answers
        };
        assert_eq!(answers("results"), answers("e"));
    }
    assert!(Path::new(&path("results")).join("results.json").exists());
}

#[test]
fn what_is_no_part_is_a_wrong_command_line() {
    for shard in ["2/2", "0/0", "x", "auto"] {
        let output = run("rollout", &format!("--task t --out o --shard {shard}"));
        assert_eq!(output.status.code(), Some(2), "{shard}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--shard"), "{shard}");
    }
}
