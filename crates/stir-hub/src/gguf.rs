//! Which file of a repository holds the model in the quantisation that is asked for.

use std::collections::BTreeMap;

use crate::HubError;

/// The files of one model: one, or its shards in order.
#[derive(Debug, PartialEq, Eq)]
struct Group<'n> {
    /// The name without folders, ending and number of shards.
    stem: &'n str,
    tag: String,
    files: Vec<&'n str>,
    /// The number of shards that the names state.
    shards: usize,
}

/// Returns the `.gguf` files to bring, first shard first, of a repository at a revision that has `names`.
///
/// A file is chosen by its quantisation as its name carries it, or by its whole name without the ending, in any case of
/// letters; without a tag, the only model there is. Projectors (`mmproj`) and importance matrices (`imatrix`) are no
/// models.
pub(crate) fn choose<'n>(
    (repo, revision): (&str, &str),
    names: impl IntoIterator<Item = &'n str>,
    tag: Option<&str>,
) -> Result<Vec<&'n str>, HubError> {
    let groups = groups(names);
    let by = |means: &dyn Fn(&Group<'n>, &str) -> bool| {
        groups.iter().filter(|group| tag.is_none_or(|tag| means(group, tag))).collect::<Vec<_>>()
    };
    let exact = by(&|group, tag| group.tag.eq_ignore_ascii_case(tag) || group.stem.eq_ignore_ascii_case(tag));
    // Unsloth's dynamic quantisations stand next to the plain ones, or in their place.
    let found = if exact.is_empty() { by(&|group, tag| group.tag.eq_ignore_ascii_case(&dynamic(tag))) } else { exact };
    if let [group] = found[..] {
        return match group.missing() {
            None => Ok(group.files.clone()),
            Some(file) => Err(HubError::NoFile { repo: repo.into(), revision: revision.into(), file }),
        };
    }
    // Several of one quantisation are told apart by their whole names.
    let distinct = |group: &&Group<'n>| groups.iter().filter(|other| other.tag == group.tag).count() == 1;
    let known = groups.iter().map(|group| if distinct(&group) { group.tag.clone() } else { group.stem.to_owned() });
    Err(HubError::Quantisation {
        repo: repo.into(),
        revision: revision.into(),
        tag: tag.map(str::to_owned),
        several: found.len() > 1,
        known: known.collect(),
    })
}

/// Returns whether a name is that of a model's GGUF file.
pub(crate) fn is_model(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    file.ends_with(".gguf") && !file.contains("mmproj") && !file.contains("imatrix")
}

fn groups<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<Group<'n>> {
    let mut groups: BTreeMap<(&str, usize), Group<'n>> = BTreeMap::new();
    let mut names: Vec<&str> = names.into_iter().filter(|name| is_model(name)).collect();
    names.sort_unstable();
    for name in names {
        let Some(whole) = without_ending(name) else { continue };
        let (path, shards) = without_shard(whole);
        let (folder, stem) = path.rsplit_once('/').unwrap_or(("", path));
        let tag = || quantisation(stem).or_else(|| quantisation(folder)).unwrap_or_else(|| stem.to_owned());
        let group = groups.entry((path, shards)).or_insert_with(|| Group { stem, tag: tag(), files: vec![], shards });
        group.files.push(name);
    }
    groups.into_values().collect()
}

impl Group<'_> {
    /// Returns the name of the first shard that is not listed, if any.
    fn missing(&self) -> Option<String> {
        let path = without_shard(without_ending(self.files.first()?)?).0;
        let named = |number| format!("{path}-{number:05}-of-{:05}.gguf", self.shards);
        let stated = |&(number, file): &(usize, &&str)| !file.eq_ignore_ascii_case(&named(number));
        if self.shards == 0 {
            return None;
        }
        let first = (1..).zip(&self.files).find(stated).map(|(number, _)| named(number));
        first.or_else(|| (self.files.len() < self.shards).then(|| named(self.files.len() + 1)))
    }
}

fn without_ending(name: &str) -> Option<&str> {
    let at = name.len().checked_sub(".gguf".len())?;
    name.get(at..)?.eq_ignore_ascii_case(".gguf").then_some(&name[..at])
}

/// Returns `a` and 3 of `a-00002-of-00003`; 0 where there are no shards.
fn without_shard(path: &str) -> (&str, usize) {
    let number = |text: &str| if text.len() == 5 { text.parse::<u16>().ok() } else { None };
    let parts = || {
        let (rest, count) = path.rsplit_once("-of-")?;
        let (rest, index) = rest.rsplit_once('-')?;
        number(index).and(number(count)).map(|count| (rest, usize::from(count)))
    };
    parts().unwrap_or((path, 0))
}

/// Returns the last part of a name that is a quantisation's: `Q4_K_M`, `iq2_xs`, `BF16`, `UD-Q4_K_XL`.
fn quantisation(name: &str) -> Option<String> {
    let starts = name.char_indices().filter(|&(at, _)| at == 0 || name[..at].ends_with(['-', '.', '_', '/']));
    let of = |at: usize| {
        let text = name[at..].split(['-', '.', '/']).next()?;
        if !is_quantisation(text) {
            return None;
        }
        let before = name[..at].to_ascii_lowercase();
        let is_dynamic = before == "ud-" || before.ends_with("-ud-") || before.ends_with(".ud-");
        Some(if is_dynamic { dynamic(text) } else { text.to_owned() })
    };
    starts.rev().find_map(|(at, _)| of(at))
}

fn is_quantisation(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let is_float = ["F16", "F32", "FP16", "FP32", "BF16", "MXFP4", "NVFP4"]
        .iter()
        .any(|float| text.strip_prefix(float).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')));
    let bits = text.trim_start_matches(['I', 'T']).strip_prefix('Q');
    is_float
        || bits.is_some_and(|bits| {
            let (bits, rest) = bits.split_at(usize::from(bits.starts_with(|c: char| c.is_ascii_digit())));
            !bits.is_empty() && (rest.is_empty() || rest.starts_with('_'))
        })
}

fn dynamic(tag: &str) -> String {
    format!("UD-{tag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen<'n>(names: &[&'n str], tag: Option<&str>) -> Result<Vec<&'n str>, HubError> {
        choose(("o/n", "main"), names.iter().copied(), tag)
    }

    fn refused(names: &[&str], tag: Option<&str>) -> (bool, Vec<String>) {
        match chosen(names, tag) {
            Err(HubError::Quantisation { several, known, .. }) => (several, known),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn quantisations_in_names() {
        for (name, tag) in [
            ("Qwen3-0.6B-Q8_0", "Q8_0"),
            ("qwen2.5-1.5b-instruct-q4_k_m", "q4_k_m"),
            ("tinyllama-1.1b-chat-v1.0.Q4_K_M", "Q4_K_M"),
            ("model_iq2_xxs", "iq2_xxs"),
            ("Qwen3-0.6B-UD-Q4_K_XL", "UD-Q4_K_XL"),
            ("gpt-oss-20b-mxfp4", "mxfp4"),
            ("Bitnet-TQ1_0", "TQ1_0"),
            ("model-BF16", "BF16"),
            ("Q4_0", "Q4_0"),
        ] {
            assert_eq!(quantisation(name).as_deref(), Some(tag), "{name}");
        }
        for name in ["model", "Qwen2.5-7B", "q", "F1", "bf16x", "Q4bit", "é-ü", "IQ", ""] {
            assert_eq!(quantisation(name), None, "{name}");
        }
    }

    #[test]
    fn one_is_chosen() {
        let names =
            ["README.md", "m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "m-UD-Q4_K_XL.gguf", "mmproj-F16.gguf", "M-Q8_0.GGUF"];
        assert_eq!(chosen(&names, Some("q4_k_m")).unwrap(), ["m-Q4_K_M.gguf"]);
        assert_eq!(chosen(&names, Some("Q8_0")).unwrap(), ["M-Q8_0.GGUF"]);
        assert_eq!(chosen(&names, Some("Q4_K_XL")).unwrap(), ["m-UD-Q4_K_XL.gguf"]);
        assert_eq!(chosen(&names, Some("m-q4_k_s")).unwrap(), ["m-Q4_K_S.gguf"]);
        let known = ["Q8_0", "Q4_K_M", "Q4_K_S", "UD-Q4_K_XL"].map(str::to_owned).to_vec();
        for tag in [None, Some("F16"), Some("Q4_K"), Some("K_M"), Some("")] {
            assert_eq!(refused(&names, tag), (tag.is_none(), known.clone()), "{tag:?}");
        }
        assert_eq!(refused(&["a-imatrix.gguf", "x.bin"], None), (false, vec![]));
        assert_eq!(chosen(&["the-model.gguf", "mmproj.gguf"], None).unwrap(), ["the-model.gguf"]);
    }

    #[test]
    fn several_of_one_quantisation_are_told_apart_by_name() {
        let names = ["a-Q8_0.gguf", "b-Q8_0.gguf", "b-F16.gguf"];
        let known = ["a-Q8_0", "F16", "b-Q8_0"].map(str::to_owned).to_vec();
        assert_eq!(refused(&names, Some("Q8_0")), (true, known));
        assert_eq!(chosen(&names, Some("b-Q8_0")).unwrap(), ["b-Q8_0.gguf"]);
    }

    #[test]
    fn shards_go_together() {
        let names = ["Q8_0/m-00002-of-00003.gguf", "Q8_0/m-00001-of-00003.gguf", "Q8_0/m-00003-of-00003.gguf"];
        let all = ["Q8_0/m-00001-of-00003.gguf", "Q8_0/m-00002-of-00003.gguf", "Q8_0/m-00003-of-00003.gguf"];
        assert_eq!(chosen(&names, Some("Q8_0")).unwrap(), all);
        for missing in 0..3 {
            let rest: Vec<&str> = (0..3).filter(|&i| i != missing).map(|i| all[i]).collect();
            let error = chosen(&rest, Some("Q8_0"));
            assert!(matches!(&error, Err(HubError::NoFile { file, .. }) if file == all[missing]), "{error:?}");
        }
        assert_eq!(chosen(&["m-1-of-2.gguf"], None).unwrap(), ["m-1-of-2.gguf"], "no shards by llama.cpp's rule");
    }
}
