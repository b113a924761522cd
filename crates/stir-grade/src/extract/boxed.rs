//! Boxes of LaTeX.

use super::found::Found;

/// Names of boxes.
const NAMES: [&str; 2] = ["boxed", "fbox"];
/// Commands that leave room and say nothing.
const ROOM: [&str; 5] = ["phantom", "hphantom", "vphantom", "hspace", "rule"];

/// What separates the items of a list.
const SEPARATORS: [&str; 6] = [", and", ", or", "and", "or", ",", ";"];
/// Commands around words in formulas.
const TEXTS: [&str; 5] = ["\\text", "\\textrm", "\\mathrm", "\\mbox", "\\textbf"];
/// Room between formulas.
const GAPS: [&str; 12] =
    ["\\quad", "\\qquad", "\\enspace", "\\,", "\\;", "\\:", "\\!", "\\ ", "~", "&", "\\thinspace", "\\medspace"];
/// Signs around formulas.
const DELIMITERS: [&str; 8] = ["$$", "$", "\\(", "\\)", "\\[", "\\]", "**", "*"];

/// Furthest that boxes of one list are apart, in bytes.
const FURTHEST: usize = 60;
/// Most blank boxes that are passed over. Without a limit, boxes nested thousandfold take quadratic time.
const MOST_BLANKS: usize = 64;

/// Returns the content of the last box that is not blank, joined with those right before it.
pub(super) fn last(text: &str) -> Found<'_> {
    let Some(found) = before(text, text.len()) else { return Found::Nothing };
    let Span::Closed { start, content, .. } = found else { return Found::Unfinished };
    let mut contents = vec![content];
    let mut start = start;
    while let Some(Span::Closed { start: earlier, content, end }) = before(text, start) {
        if !is_list_glue(&text[end..start]) {
            break;
        }
        contents.push(content);
        start = earlier;
    }
    if contents.len() == 1 {
        return Found::Answer(content.into());
    }
    contents.reverse();
    Found::Answer(contents.join(", ").into())
}

/// The place of a box in a text.
enum Span<'t> {
    /// From the backslash to behind the closing brace.
    Closed { start: usize, content: &'t str, end: usize },
    /// It does not end.
    Open,
}

/// Returns the last box that begins in `text[..limit]` and is not blank.
fn before(text: &str, limit: usize) -> Option<Span<'_>> {
    let mut blanks = 0;
    for (start, _) in text[..limit].rmatch_indices('\\') {
        let after = &text[start + 1..limit];
        let Some(rest) = NAMES.iter().find_map(|name| after.strip_prefix(name)) else { continue };
        let inside = rest.trim_start();
        let at = limit - inside.len();
        match inside.bytes().next() {
            None if limit == text.len() => return Some(Span::Open),
            Some(b'{') => match closing(&inside[1..]) {
                None if limit == text.len() => return Some(Span::Open),
                // It is around `limit`, and so is every box around it.
                None => return None,
                Some(length) if is_blank(&inside[1..=length]) => {
                    blanks += 1;
                    if blanks > MOST_BLANKS {
                        return None;
                    }
                }
                Some(length) => {
                    let content = &inside[1..=length];
                    return Some(Span::Closed { start, content, end: at + length + 2 });
                }
            },
            // `\boxed 42`, as TeX allows it for one token and models write it for a number.
            Some(b'0'..=b'9' | b'-') => {
                let is_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '.' | ',' | '/');
                let content = inside.split(|c| !is_number(c)).next().unwrap_or_default();
                let content = content.trim_end_matches(['.', ',', '-']);
                if !content.is_empty() {
                    return Some(Span::Closed { start, content, end: at + content.len() });
                }
            }
            _ => {}
        }
    }
    None
}

/// Returns where the brace closes that was opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut escaped) = (0_usize, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Returns whether a box is one to be filled in, as in "which number belongs into the box?".
fn is_blank(content: &str) -> bool {
    let mut rest = content.trim_start_matches(is_gap);
    while let Some(command) = rest.strip_prefix('\\') {
        if let Some(after) =
            ["quad", "qquad", ",", ";", "!", " ", "square", "Box"].iter().find_map(|s| skip(command, s))
        {
            rest = after;
        } else if let Some(after) = ROOM.iter().find_map(|name| command.strip_prefix(name)?.strip_prefix('{'))
            && let Some(end) = closing(after)
        {
            rest = &after[end + 1..];
        } else {
            return false;
        }
        rest = rest.trim_start_matches(is_gap);
    }
    rest.is_empty()
}

/// Returns `text` behind the command `name`, unless it is a longer one.
fn skip<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let rest = text.strip_prefix(name)?;
    let is_word = name.ends_with(|c: char| c.is_ascii_alphabetic());
    (!is_word || !rest.starts_with(|c: char| c.is_ascii_alphabetic())).then_some(rest)
}

fn is_gap(c: char) -> bool {
    c.is_whitespace() || matches!(c, '~' | '_' | '?')
}

/// Returns whether two boxes with `between` between them are items of one list: separated by a comma or a word, or set
/// apart by room and nothing else.
fn is_list_glue(between: &str) -> bool {
    if between.len() > FURTHEST {
        return false;
    }
    let (mut rest, mut is_separated, mut is_apart) = (between, false, false);
    while !rest.is_empty() {
        let bare = rest.trim_start();
        if let Some(separator) = SEPARATORS.iter().find_map(|word| skip_word(bare, word)) {
            (rest, is_separated) = (separator, true);
        } else if let Some(room) = GAPS.iter().find_map(|gap| skip(bare, gap)) {
            (rest, is_apart) = (room, true);
        } else if let Some(delimiter) = DELIMITERS.iter().find_map(|mark| bare.strip_prefix(mark)) {
            is_apart |= rest.len() > bare.len();
            rest = delimiter;
        } else if let Some((command, after)) = bare.split_once('}')
            && ROOM.iter().any(|name| command.strip_prefix('\\').is_some_and(|command| skip(command, name).is_some()))
        {
            (rest, is_apart) = (after, true);
        } else if bare.is_empty() {
            break;
        } else {
            return false;
        }
    }
    is_separated || is_apart && !between.contains('\n')
}

/// Returns `text` behind a separator, which may be in a text command and is no part of a longer word.
fn skip_word<'t>(text: &'t str, separator: &str) -> Option<&'t str> {
    let inside = TEXTS.iter().find_map(|command| text.strip_prefix(command)?.trim_start().strip_prefix('{'));
    let bare = inside.map_or(text, str::trim_start);
    let rest = bare.get(..separator.len()).filter(|head| head.eq_ignore_ascii_case(separator));
    let rest = rest.map(|head| &bare[head.len()..])?;
    let is_word = separator.ends_with(char::is_alphabetic) && rest.starts_with(char::is_alphabetic);
    let rest = if inside.is_some() { rest.trim_start_matches([' ', '~', ',']).strip_prefix('}')? } else { rest };
    (!is_word).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes() {
        for (text, expected) in [
            ("\\boxed{42}", Some("42")),
            ("\\boxed{\\frac{1}{2}} or so", Some("\\frac{1}{2}")),
            ("\\boxed{\\{1, 2\\}}", Some("\\{1, 2\\}")),
            ("\\boxed{\\left\\{1\\right.}", Some("\\left\\{1\\right.")),
            ("\\boxed{1} then \\boxed{2}", Some("2")),
            ("$\\boxed{1}$ and $\\boxed{2}$", Some("1, 2")),
            ("\\boxed{1}, \\boxed{2}, and \\boxed{3}", Some("1, 2, 3")),
            ("\\boxed{1} or \\boxed{2}", Some("1, 2")),
            ("\\boxed{a} \\quad \\text{ or } \\quad \\boxed{b}", Some("a, b")),
            ("\\[\\boxed{1},\\ \\boxed{2},\\ \\mathrm{and}~\\boxed{3}\\]", Some("1, 2, 3")),
            ("\\boxed{1} \\qquad \\boxed{2}", Some("1, 2")),
            ("$\\boxed{1}$ $\\boxed{2}$", Some("1, 2")),
            ("\\boxed{1}; \\boxed{2}", Some("1, 2")),
            ("\\boxed{1} \\hspace{1cm} \\boxed{2}", Some("1, 2")),
            ("\\boxed{1}\\boxed{2}", Some("2")),
            ("\\boxed{1} original \\boxed{2}", Some("2")),
            ("$\\boxed{1}$\n\n$\\boxed{2}$", Some("2")),
            ("\\boxed{1} or rather \\boxed{2}", Some("2")),
            ("\\boxed {  x } y", Some("  x ")),
            ("\\fbox{7}", Some("7")),
            ("\\boxed 42.", Some("42")),
            ("\\boxed -4/3$", Some("-4/3")),
            ("\\boxed{a\\boxed{b}c}", Some("b")),
            ("\\boxed{4} into \\boxed{\\phantom{22} \\quad}", Some("4")),
            ("\\boxed{4} = \\boxed{ }", Some("4")),
            ("\\boxed{\\begin{pmatrix}1\\\\2\\end{pmatrix}}", Some("\\begin{pmatrix}1\\\\2\\end{pmatrix}")),
        ] {
            let expected = expected.map_or(Found::Nothing, |answer| Found::Answer(answer.into()));
            assert_eq!(last(text), expected, "{text:?}");
        }
        for text in
            ["", "\\boxed not a brace", "boxed{5}", "\\boxes{5}", "\\boxed{}", "\\boxed{\\phantom{0}}", "\\boxed ."]
        {
            assert_eq!(last(text), Found::Nothing, "{text:?}");
        }
        for text in ["\\boxed", "\\boxed{", "\\boxed{1} no, \\boxed{\\frac{1}{2}", "\\boxed{1\\}", "\\boxed{x\\"] {
            assert_eq!(last(text), Found::Unfinished, "{text:?}");
        }
    }
}
