//! The little of addresses that is needed here.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Escapes one part of a path: every special character, slashes included.
pub(crate) fn part(text: &str) -> String {
    utf8_percent_encode(text, PART).to_string()
}

/// Returns a path, its slashes kept.
pub(crate) fn path(text: &str) -> String {
    text.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// Returns scheme, host and port: the origin that gets the token.
pub(crate) fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find(['/', '?', '#']).map_or(url, |end| &url[..host + end])
}

/// Returns an address as it may be shown: without the query, which is where signatures are.
pub(crate) fn shown(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// Returns the target of a redirect from `base`.
pub(crate) fn join(base: &str, location: &str) -> String {
    let scheme = base.split("://").next().unwrap_or_default();
    let is_absolute = location.split(['/', '?', '#']).next().is_some_and(|start| start.contains(':'));
    if is_absolute {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{}{location}", origin(base))
    } else {
        let path = shown(base);
        let folder = path[origin(base).len()..].rfind('/').map_or(path.len(), |at| origin(base).len() + at);
        format!("{}/{location}", &path[..folder])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        assert_eq!(origin("https://a.b:1/c/d?e"), "https://a.b:1");
        assert_eq!(origin("https://a.b?x=https://c/d"), "https://a.b");
        assert_eq!(origin("http://a"), "http://a");
        assert_ne!(origin("https://hub.co.evil.net/x"), origin("https://hub.co/x"));
        assert_ne!(origin("https://hub.co@evil.net/x"), origin("https://hub.co/x"));
        assert_ne!(origin("http://hub.co/x"), origin("https://hub.co/x"));
    }

    #[test]
    fn redirects() {
        let base = "https://h:1/a/b?q=/z";
        assert_eq!(join(base, "https://c/d"), "https://c/d");
        assert_eq!(join(base, "//c/d"), "https://c/d");
        assert_eq!(join(base, "/x?y=http://z"), "https://h:1/x?y=http://z");
        assert_eq!(join(base, "x"), "https://h:1/a/x");
        assert_eq!(join("https://h", "x"), "https://h/x");
    }

    #[test]
    fn escapes() {
        assert_eq!(part("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(path("a b/é?#%.json"), "a%20b/%C3%A9%3F%23%25.json");
    }
}
