//! Numbers with a modulus behind them.

use crate::Verdict;
use crate::equality::{
    decision::{Decision, Rule},
    read::spelling::spelling,
    why::Why,
};

/// Returns an answer without the modulus behind it, and that: `27 \pmod{100}`, `27 (mod 100)`.
pub(crate) fn modulus(text: &str) -> (&str, Option<&str>) {
    split_modulus(text).map_or((text, None), |(number, modulus)| (number, Some(modulus)))
}

fn split_modulus(text: &str) -> Option<(&str, &str)> {
    let (number, modulus) = match text.rfind("\\pmod") {
        Some(at) => (&text[..at], &text[at + "\\pmod".len()..]),
        None => {
            let (number, inside) = match text.strip_suffix(")}") {
                // `27\text{ (mod 100)}`
                Some(rest) => {
                    let (number, inside) = rest.rsplit_once("\\text{")?;
                    (number, inside.trim_start().strip_prefix('(')?)
                }
                None => text.strip_suffix(')')?.rsplit_once('(')?,
            };
            let inside = inside.trim_start();
            let marks = ["\\text{mod}", "\\mathrm{mod}", "\\text{mod }", "\\bmod", "\\mod", "mod"];
            let after = marks.iter().find_map(|mark| inside.strip_prefix(mark))?;
            (number, after)
        }
    };
    let modulus = modulus.trim_start_matches(['\\', ' ', ',', ';']).trim_end();
    let modulus = modulus.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(modulus).trim();
    let number = number.trim_end_matches(['\\', ' ', ',', ';', '~']).trim_end_matches("\\quad").trim();
    (!number.is_empty() && modulus.starts_with(|c: char| c.is_ascii_digit())).then_some((number, modulus))
}

/// Returns the verdict on the numbers, `numbers`, as a modulus on one side or on both changes it.
pub(crate) fn congruent(gold: (&str, Option<&str>), pred: (&str, Option<&str>), numbers: Decision) -> Decision {
    let same = |a: &str, b: &str| spelling(a) == spelling(b);
    let modulus = match (gold.1, pred.1) {
        (Some(a), Some(b)) if same(a, b) => a,
        (Some(a), None) | (None, Some(a)) => a,
        _ => return Decision::unclear(Rule::Modulus, Why::NotShown),
    };
    if numbers.verdict == Verdict::Equal {
        return numbers.by(Rule::Modulus);
    }
    let integer = |text: &str| text.parse::<i64>().ok().map(i128::from);
    let remainder = || (integer(gold.0)? - integer(pred.0)?).checked_rem(integer(modulus)?);
    match remainder() {
        Some(0) if gold.1.is_some() && pred.1.is_some() => Decision::equal(Rule::Modulus),
        None | Some(0) => Decision::unclear(Rule::Modulus, Why::NotShown),
        Some(_) => Decision::different(Rule::Modulus),
    }
}
