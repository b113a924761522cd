//! Control vectors: exported, imported, and steered with.

use std::fs;

use stir::{basis::Library, model::gguf::ControlVectors};

use crate::{Folder, fixture, records, reference, refuse, succeed};

#[test]
fn vectors_go_out_and_come_back() {
    let folder = Folder::new();
    let (_, library, prompts) = folder.stages(2);
    let [vectors, again, imported] = ["v.gguf", "again.gguf", "i.stir"].map(|name| folder.path(name));
    assert!(succeed("export", &format!("{library} {vectors}")).contains("length"));
    let (exported, mined) = (ControlVectors::open(&vectors).unwrap(), Library::load(&library).unwrap());
    assert_eq!((exported.model_hint(), exported.directions()), ("qwen2", &mined.constant_vectors()));

    let model = reference("model");
    let printed = succeed("import", &format!("{vectors} --model {model} --out {imported}"));
    assert!(printed.contains("vectors after the layers"), "{printed}");
    let read = Library::load(&imported).unwrap();
    assert_eq!(read.provenance()["import"], r#"{"vectors":"v.gguf","model_hint":"qwen2"}"#);
    succeed("export", &format!("{imported} {again}"));
    assert_eq!(fs::read(&again).unwrap(), fs::read(&vectors).unwrap());

    // Both libraries have the same mean, which is all that this variant looks at.
    let answers = |library: &str, out: &str| {
        let (out, variant) = (folder.path(out), "--variant static_vector");
        let flags = format!("--model {model} --library {library} --prompts {prompts} --out {out} --max-tokens 60");
        succeed("steer", &format!("{flags} {variant}"));
        records(out).into_iter().map(|line| line["token_ids"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(answers(&library, "a.jsonl"), answers(&imported, "b.jsonl"));

    let chosen = mined.entries().iter().position(|entry| entry.vector().is_some()).unwrap();
    succeed("export", &format!("{library} {vectors} --entry {chosen} --scale -2"));
    let entry = &mined.entries()[chosen];
    let expected: Vec<f32> = entry.vector().unwrap().iter().map(|x| -2.0 * x).collect();
    assert_eq!(ControlVectors::open(&vectors).unwrap().directions(), &[(entry.layer, expected)].into());
}

#[test]
fn what_cannot_be_exported_or_imported_is_named() {
    let folder = Folder::new();
    let (candidates, library, _) = folder.stages(1);
    let (vectors, out, model) = (folder.path("v.gguf"), folder.path("o.stir"), reference("model"));
    refuse("export", &format!("{library} {vectors} --entry 0,64"), &["l.stir", "entry 64", "index"]);
    refuse("export", &format!("{library} {vectors} --scale inf"), &["scale is inf"]);
    refuse("export", &format!("{library} {vectors} --scale 3e38"), &["direction.", "inf at element", "finite numbers"]);
    refuse("export", &format!("{library} {library}"), &["would take the place of what is read"]);
    refuse("export", &format!("{candidates} {vectors}"), &["c.stir", "a file of mined pairs"]);

    succeed("export", &format!("{library} {vectors}"));
    let import = |vectors: &str, model: &str| format!("{vectors} --model {model} --out {out}");
    let narrow = fixture("models/qwen2-tied").display().to_string();
    refuse("import", &import(&vectors, &narrow), &["v.gguf", "direction", "as wide as"]);
    let whole = fs::read(&vectors).unwrap();
    let cut = folder.write("cut.gguf", &whole[..whole.len() - 1]);
    refuse("import", &import(&cut, &model), &["cut.gguf", "direction.", "the file has"]);
    let other = fixture("gguf/olmo2.gguf").display().to_string();
    refuse("import", &import(&other, &model), &["olmo2.gguf", "general.architecture", "controlvector"]);
    refuse("import", &import(&vectors, &folder.path("none")), &["there is no file or folder"]);
}
