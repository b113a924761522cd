//! Files that are parts of one: `test-00000-of-00002.parquet`.

use std::path::{Path, PathBuf};

/// Most missing shards that are named.
const MOST_NAMED: usize = 8;

/// A shard, by its name.
struct Shard<'n> {
    start: &'n str,
    number: &'n str,
    total: &'n str,
    end: &'n str,
}

impl<'n> Shard<'n> {
    fn of(name: &'n str) -> Option<Self> {
        let (before, after) = name.split_once("-of-")?;
        let digits = before.len() - before.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (start, number) = before.split_at(before.len() - digits);
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (total, end) = after.split_at(end);
        (!number.is_empty() && !total.is_empty()).then_some(Self { start, number, total, end })
    }
}

/// Returns what the shards of one set have in common: everything except the number of the shard, and the digest that
/// some names end with.
pub(super) fn set(file: &Path) -> (Option<&Path>, String) {
    let name = name(file);
    let set = Shard::of(&name).map(|Shard { start, total, end, .. }| format!("{start}-of-{total}{}", extension(end)));
    (file.parent(), set.unwrap_or(name))
}

/// Returns the first files that a set lacks, as the number in the names of the others tells.
pub(super) fn missing(files: &[PathBuf]) -> Vec<PathBuf> {
    let names: Vec<String> = files.iter().map(|file| name(file)).collect();
    let shards: Vec<Shard<'_>> = names.iter().filter_map(|name| Shard::of(name)).collect();
    let (Some(first), Some(file)) = (shards.first(), files.first()) else { return Vec::new() };
    // Data sets number their shards from 0, some programs from 1.
    let (Ok(total), mut there) = (first.total.parse::<u64>(), numbers(&shards)) else { return Vec::new() };
    there.sort_unstable();
    let from = u64::from(there.last() == Some(&total) && there.first() != Some(&0));
    let lacks = (from..total.saturating_add(from)).filter(|number| there.binary_search(number).is_err());
    let width = first.number.len();
    let path = |number: u64| {
        let Shard { start, total, end, .. } = first;
        file.with_file_name(format!("{start}{number:0width$}-of-{total}{}", extension(end)))
    };
    lacks.take(MOST_NAMED).map(path).collect()
}

fn numbers(shards: &[Shard<'_>]) -> Vec<u64> {
    shards.iter().filter_map(|shard| shard.number.parse().ok()).collect()
}

fn name(file: &Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Returns the end of a name from its last full stop on: every shard has its own digest before that.
fn extension(end: &str) -> &str {
    end.rfind('.').map_or(end, |dot| &end[dot..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacks(names: &[&str]) -> Vec<String> {
        let files: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
        missing(&files).iter().map(|file| file.display().to_string()).collect()
    }

    #[test]
    fn shards_are_counted_against_their_names() {
        assert_eq!(
            lacks(&["a/dev-00001-of-00003.parquet"]),
            ["a/dev-00000-of-00003.parquet", "a/dev-00002-of-00003.parquet"]
        );
        assert_eq!(lacks(&["dev-00000-of-00002-ab12.parquet"]), ["dev-00001-of-00002.parquet"]);
        assert_eq!(lacks(&["dev-00002-of-00002.jsonl"]), ["dev-00001-of-00002.jsonl"]);
        let whole: [&[&str]; 6] = [
            &["dev.jsonl"],
            &["dev-00000-of-00001.parquet"],
            &["dev-00000-of-00002-ab.parquet", "dev-00001-of-00002-cd.parquet"],
            &["dev-1-of-2.json", "dev-2-of-2.json"],
            &["one-of-many.json"],
            &[],
        ];
        for names in whole {
            assert_eq!(lacks(names), [""; 0], "{names:?}");
        }
        // A number in a name is no size of anything.
        assert_eq!(lacks(&["dev-0-of-18446744073709551615.json"]).len(), MOST_NAMED);
        assert_eq!(lacks(&["dev-0-of-99999999999999999999.json"]), [""; 0]);
    }

    #[test]
    fn a_set_is_told_by_what_its_shards_share() {
        let same = |a: &str, b: &str| set(Path::new(a)) == set(Path::new(b));
        assert!(same("x/dev-00000-of-00002-ab.parquet", "x/dev-00001-of-00002-cd.parquet"));
        assert!(!same("x/dev-00000-of-00002.parquet", "y/dev-00001-of-00002.parquet"));
        assert!(!same("x/dev-00000-of-00002.parquet", "x/dev-00000-of-00003.parquet"));
        assert!(!same("x/dev.jsonl", "x/dev.json"));
    }
}
