//! The source of a template, rewritten for the engine.

use super::{namespaces::keep, operators::rewrite};

/// Rewrites what the engine does not know.
///
/// `{% generation %}` marks what the assistant said, for training; it renders its content. A `with` without variables
/// does the same: it renders its content, in a scope of its own. The operators `%` and `~` make texts as Python makes them;
/// they become calls of functions, and a filter looks at what a namespace is to keep.
pub(super) fn translate(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find('{') {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let end = match tag.as_bytes().get(1) {
            Some(b'#') => tag.find("#}").map(|end| end + 2),
            Some(b'{') => tag_end(tag, "}}"),
            Some(b'%') => tag_end(tag, "%}"),
            _ => Some(1),
        };
        // What nothing ends is an error that the engine words.
        let Some((tag, after)) = end.map(|end| tag.split_at(end)) else {
            out.push_str(tag);
            return out;
        };
        let word = tag.strip_prefix("{%").and_then(|tag| tag.strip_suffix("%}")).unwrap_or_default();
        match word.trim_matches(['-', '+']).trim() {
            "generation" => out.push_str(&tag.replace("generation", "with")),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", "endwith")),
            "raw" => {
                let end = after.find("endraw").unwrap_or(after.len());
                out.push_str(tag);
                // Jinja2 keeps the line break after this one tag.
                if after.starts_with('\n') && !tag.ends_with("-%}") {
                    out.push('\n');
                }
                out.push_str(&after[..end]);
                rest = &after[end..];
                continue;
            }
            _ if tag.starts_with("{#") => out.push_str(tag),
            _ => out.push_str(&rewrite(&keep(tag))),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Returns one past the end of a tag; strings in it may hold what looks like the end.
fn tag_end(tag: &str, close: &str) -> Option<usize> {
    let (mut quote, mut depth) = (None, 0);
    let mut bytes = tag.bytes().enumerate().skip(2);
    while let Some((at, byte)) = bytes.next() {
        match (quote, byte) {
            (Some(_), b'\\') => drop(bytes.next()),
            (Some(open), byte) if open == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            // `}}` may end two dictionaries.
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, _) if tag.as_bytes()[at..].starts_with(close.as_bytes()) => return Some(at + close.len()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statements_are_generation_blocks() {
        for (text, expected) in [
            ("a{% generation %}b{%- endgeneration -%}c", "a{% with %}b{%- endwith -%}c"),
            ("{%generation%}{% if x == '%}' %}{%+ endgeneration %}", "{%with%}{% if x == '%}' %}{%+ endwith %}"),
            ("{# {% generation %} #}", "{# {% generation %} #}"),
            ("{{ '{% generation %}' }}", "{{ '{% generation %}' }}"),
            ("{{ {'a': {'b': 1}} % x }}", "{{ __percent({'a': {'b': 1}} , x) }}"),
            ("{{ '\\'{% generation %}' }}", "{{ '\\'{% generation %}' }}"),
            ("{% raw %}{% generation %}{% endraw %}", "{% raw %}{% generation %}{% endraw %}"),
            ("{% generation_x %}{generation}", "{% generation_x %}{generation}"),
            ("ü{% generation", "ü{% generation"),
            ("{", "{"),
        ] {
            assert_eq!(translate(text), expected);
        }
    }
}
