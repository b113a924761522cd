//! The spelling of an answer, before it is split into tokens.

use super::lex::Commas;

/// Returns an answer without white space, formula delimiters and full stops around it, and without a box or text
/// command that holds all of it.
pub(crate) fn bare(text: &str) -> &str {
    let mut text = text;
    // Each turn takes something off, and real answers need few.
    for _ in 0..8 {
        let before = text;
        text = text.trim().trim_end_matches(['.', ';', ',']).trim();
        for (open, close) in [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`")] {
            let inner = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
            text = inner.filter(|inner| !inner.contains(open)).unwrap_or(text);
        }
        for command in ["\\boxed{", "\\text{", "\\textbf{", "\\mathrm{", "\\mbox{", "\\fbox{", "\\mathbf{", "\\textrm{"]
        {
            let inner = text.strip_prefix(command).and_then(|rest| rest.strip_suffix('}'));
            text = inner.filter(|inner| balanced(inner)).unwrap_or(text);
        }
        if text == before {
            break;
        }
    }
    text
}

/// Returns whether no brace of a text closes one before it.
fn balanced(text: &str) -> bool {
    let mut depth = 0usize;
    let mut escaped = false;
    for byte in text.bytes() {
        match byte {
            b'{' if !escaped => depth += 1,
            b'}' if !escaped => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
    }
    depth == 0
}

/// Returns a spelling that is the same for answers that differ in nothing but white space and typesetting.
pub(crate) fn spelling(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut space = false;
    while let Some(c) = rest.chars().next() {
        let skipped = ["\\left", "\\right", "\\!", "\\,", "\\;", "\\displaystyle", "$"].into_iter().find(|mark| {
            let after = rest.strip_prefix(mark).and_then(|after| after.chars().next());
            rest.starts_with(mark) && !(mark.len() > 2 && after.is_some_and(|c| c.is_alphabetic()))
        });
        if let Some(mark) = skipped {
            rest = &rest[mark.len()..];
            space |= mark.len() < 3;
            continue;
        }
        if let Some(after) = rest.strip_prefix("\\dfrac").or_else(|| rest.strip_prefix("\\tfrac")) {
            out.push_str("\\frac");
            (rest, space) = (after, false);
            continue;
        }
        rest = &rest[c.len_utf8()..];
        if c.is_whitespace() {
            space = true;
            continue;
        }
        // A space between letters or digits may separate; all others are for the eye.
        if space && c.is_alphanumeric() && out.ends_with(|last: char| last.is_alphanumeric()) {
            out.push(' ');
        }
        space = false;
        out.push(c);
    }
    out
}

/// Returns other ways to read the commas of two answers, where there are any.
pub(crate) fn other_commas(gold: &str, pred: &str) -> Vec<(Commas, Commas)> {
    let between_digits = |text: &str| {
        let bytes = text.as_bytes();
        bytes.windows(3).any(|w| w[1] == b',' && w[0].is_ascii_digit() && w[2].is_ascii_digit())
    };
    if !between_digits(gold) && !between_digits(pred) {
        return Vec::new();
    }
    let mut out = Vec::new();
    if gold.contains(',') && pred.contains(',') {
        out.push((Commas::Separate, Commas::Separate));
    }
    if decimal_comma(gold) && pred.contains('.') && !pred.contains(',') {
        out.push((Commas::Decimal, Commas::Thousands));
    }
    if decimal_comma(pred) && gold.contains('.') && !gold.contains(',') {
        out.push((Commas::Thousands, Commas::Decimal));
    }
    out
}

/// Returns whether a text has one comma, with digits before and at least two, but not three, after it: `1,22` is a list
/// or a decimal, `1,2` a list, `1,222` a thousand and more.
fn decimal_comma(text: &str) -> bool {
    let Some((before, after)) = text.split_once(',') else { return false };
    let last = before.bytes().last().is_some_and(|b| b.is_ascii_digit());
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    last && digits >= 2 && digits != 3 && !after.contains(',')
}
