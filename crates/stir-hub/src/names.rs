//! The names that are accepted: of repositories, revisions and files. All of them end up in paths and addresses.

use crate::{HubError, Origin};

/// Longest name of a repository on the hub, and longest part of a path on common file systems.
const LONGEST: (usize, usize) = (96, 255);

/// A model as a user names it: `[hf.co/]OWNER/NAME[@REVISION][:TAG]`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ModelName<'t> {
    pub id: &'t str,
    pub revision: Option<&'t str>,
    /// The quantisation of a GGUF file.
    pub tag: Option<&'t str>,
}

impl<'t> From<&'t str> for ModelName<'t> {
    fn from(text: &'t str) -> Self {
        let text = text.strip_prefix("hf.co/").unwrap_or(text);
        // Git allows no colon in a revision.
        let (rest, tag) = text.split_once(':').map_or((text, None), |(rest, tag)| (rest, Some(tag)));
        let (id, revision) = rest.split_once('@').map_or((rest, None), |(id, revision)| (id, Some(revision)));
        Self { id, revision, tag }
    }
}

/// Refuses what the hub does not accept as `name` or `owner/name`.
pub(crate) fn check_repo_id(id: &str) -> Result<(), HubError> {
    let refused = |reason| Err(HubError::RepoId { id: id.to_owned(), reason });
    if id.split('/').count() > 2 {
        return refused("expected NAME or OWNER/NAME");
    }
    for part in id.split('/') {
        if part.is_empty() || part.len() > LONGEST.0 {
            return refused("owner and name have 1 to 96 characters");
        }
        if !part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return refused("only letters, digits, '-', '_' and '.' are allowed");
        }
        if part.starts_with(['-', '.']) || part.ends_with(['-', '.']) {
            return refused("owner and name do not begin or end with '-' or '.'");
        }
    }
    if id.contains("--") || id.contains("..") || id.ends_with(".git") {
        return refused("it holds \"--\" or \"..\", or ends with \".git\"");
    }
    Ok(())
}

/// Refuses what cannot be a branch, tag or commit, and what would leave the folder of references.
pub(crate) fn check_revision(revision: &str) -> Result<(), HubError> {
    check_path(revision).map_err(|reason| HubError::Revision { revision: revision.to_owned(), reason })
}

/// Refuses a file name that is not a plain relative path.
pub(crate) fn check_file(repo: &str, name: &str, origin: Origin) -> Result<(), HubError> {
    check_path(name).map_err(|reason| HubError::FileName {
        repo: repo.to_owned(),
        name: name.to_owned(),
        origin,
        reason,
    })
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if path.starts_with('/') {
        return Err("it is absolute");
    }
    if path.chars().any(char::is_control) {
        return Err("it holds a control character");
    }
    if path.contains('\\') {
        return Err("it holds a backslash");
    }
    let drive = |part: &str| part.as_bytes().get(1) == Some(&b':') && part.as_bytes()[0].is_ascii_alphabetic();
    for part in path.split('/') {
        match part {
            "" => return Err("a part of it is empty"),
            "." | ".." => return Err("it holds \".\" or \"..\" as a part"),
            _ if part.len() > LONGEST.1 => return Err("a part of it is longer than 255 bytes"),
            _ if drive(part) => return Err("it holds a drive letter"),
            // There, a colon opens another stream of a file and trailing dots and spaces vanish.
            _ if cfg!(windows) && (part.contains(':') || part.ends_with(['.', ' '])) => {
                return Err("it means another file on this system");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns whether `name` matches a shell pattern: `*` matches any characters, `/` included, and `?` for one.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to continue when what follows the last star does not fit: the star takes one character more.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names() {
        for id in ["gpt2", "Qwen/Qwen2.5-1.5B-Instruct", "a/b_c.d", "0/1"] {
            assert!(check_repo_id(id).is_ok(), "{id}");
        }
        let long = "x".repeat(97);
        for id in [
            "", "/", "a/", "/a", "a/b/c", "../a", "a/..", "a/.b", "a b", "a--b/c", "a/b..c", "a/b.git", "a\\b", "ä/b",
            "a/b?c", "a/b#c", "a/%2e", "-a/b", "a\0", &long,
        ] {
            assert!(matches!(check_repo_id(id), Err(HubError::RepoId { .. })), "{id:?}");
        }
    }

    #[test]
    fn names_of_models() {
        for (text, id, revision, tag) in [
            ("o/n", "o/n", None, None),
            ("gpt2", "gpt2", None, None),
            ("o/n@v1", "o/n", Some("v1"), None),
            ("o/n:Q8_0", "o/n", None, Some("Q8_0")),
            ("hf.co/o/n:q8_0", "o/n", None, Some("q8_0")),
            ("o/n@refs/pr/1:Q8_0", "o/n", Some("refs/pr/1"), Some("Q8_0")),
            ("o/n:", "o/n", None, Some("")),
        ] {
            assert_eq!(ModelName::from(text), ModelName { id, revision, tag }, "{text}");
        }
    }

    #[test]
    fn revisions() {
        for revision in ["main", "v1.0", "refs/pr/1", "feature/x", "größer"] {
            assert!(check_revision(revision).is_ok(), "{revision}");
        }
        for revision in ["", "..", "a/../b", "/main", "a//b", "a\\b", "main\n", "refs/", "C:x"] {
            assert!(matches!(check_revision(revision), Err(HubError::Revision { .. })), "{revision:?}");
        }
    }

    #[test]
    fn file_names() {
        for name in ["config.json", "sub/dir/x.bin", "..x", "x..", "a b", "é/漢.json", "12:30.wav"] {
            assert!(cfg!(windows) || check_file("r", name, Origin::Listing).is_ok(), "{name}");
        }
        let long = "x".repeat(256);
        for name in [
            "",
            "../x",
            "/etc/x",
            "a/../../x",
            "a/..",
            ".",
            "./x",
            "a//b",
            "a/",
            "a\\b",
            "..\\x",
            "C:/x",
            "c:x",
            "a/C:x",
            "a\0b",
            "a\nb",
            "\u{85}",
            &long,
        ] {
            assert!(matches!(check_file("r", name, Origin::Listing), Err(HubError::FileName { .. })), "{name:?}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, name) in
            [("*", "a/b"), ("*.json", "x/config.json"), ("a*b*c", "aXbYbZc"), ("?", "é"), ("", ""), ("a**", "a")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*.json", "x.jsonl"), ("?", ""), ("", "a"), ("a*b", "ac"), ("A", "a"), ("[a]", "a")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(!matches(&"a*".repeat(50), &"a".repeat(40)));
    }
}
