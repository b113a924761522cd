//! `stir controls`, with a model that is hardly trained and few problems: every stage runs, and runs again.

use super::*;

const FEW: &str = "--only negative --steps 1 --mined-problems 6 --validated-problems 4 --compared-problems 12";

#[test]
fn a_control_trains_mines_validates_and_tests_and_resumes() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("controls");
    let args = format!("--out {} {FEW}", out.display());
    let table = succeed("controls", &args);
    for words in ["sound no different from plain", "published", "passed"] {
        assert!(table.contains(words), "{table}");
    }
    let weights = out.join("model/model.safetensors");
    let trained = fs::metadata(&weights).unwrap().modified().unwrap();
    assert!(fs::metadata(&weights).unwrap().len() <= 6 << 20);
    assert!(!out.join("model.unfinished").exists());
    let answers = fs::read(out.join("negative/answers.sound.jsonl")).unwrap();
    // The second run trains nothing.
    let again = succeed("controls", &args);
    assert!(table.ends_with(&again) && again.len() < table.len(), "{again}");
    assert_eq!(fs::metadata(&weights).unwrap().modified().unwrap(), trained);
    assert_eq!(fs::read(out.join("negative/answers.sound.jsonl")).unwrap(), answers);
}

#[test]
fn what_must_hold_and_does_not_is_an_error() {
    let folder = TempDir::new().unwrap();
    // A dozen problems cannot show that the published settings harm.
    let few = FEW.replace("negative", "progress");
    refuse("controls", &format!("--out {} {few}", folder.path().display()), &["must hold"]);
    refuse("controls", "--mined-problems 0", &["mined_problems is 0"]);
}
