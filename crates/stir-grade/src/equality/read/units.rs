//! Units that answers carry.

/// Units with their dimension and their size in it. Areas and volumes are powers of lengths.
const UNITS: [(&[&str], &str, (i64, i64)); 32] = [
    (&["mm", "millimeter", "millimetre"], "length", (1, 1000)),
    (&["cm", "centimeter", "centimetre"], "length", (1, 100)),
    (&["dm", "decimeter", "decimetre"], "length", (1, 10)),
    (&["m", "meter", "metre"], "length", (1, 1)),
    (&["km", "kilometer", "kilometre"], "length", (1000, 1)),
    (&["in", "inch", "inches"], "length", (254, 10_000)),
    (&["ft", "foot", "feet"], "length", (3048, 10_000)),
    (&["yd", "yard"], "length", (9144, 10_000)),
    (&["mi", "mile"], "length", (1_609_344, 1000)),
    (&["mg", "milligram"], "mass", (1, 1_000_000)),
    (&["g", "gram"], "mass", (1, 1000)),
    (&["kg", "kilogram"], "mass", (1, 1)),
    (&["lb", "lbs", "pound"], "mass", (45_359_237, 100_000_000)),
    (&["oz", "ounce"], "mass", (45_359_237, 1_600_000_000)),
    (&["ms", "millisecond"], "time", (1, 1000)),
    (&["s", "sec", "second"], "time", (1, 1)),
    (&["min", "mins", "minute"], "time", (60, 1)),
    (&["h", "hr", "hrs", "hour"], "time", (3600, 1)),
    (&["day"], "time", (86_400, 1)),
    (&["week"], "time", (604_800, 1)),
    (&["year", "yr", "yrs"], "year", (1, 1)),
    (&["month"], "year", (1, 12)),
    (&["ml", "milliliter", "millilitre"], "volume", (1, 1000)),
    (&["liter", "litre"], "volume", (1, 1)),
    (&["cent"], "money", (1, 100)),
    (&["dollar"], "money", (1, 1)),
    (&["mph"], "length/time", (1_609_344, 3_600_000)),
    (&["kph", "kmh"], "length/time", (1000, 3600)),
    (&["unit"], "", (1, 1)),
    (&["gallon"], "gallon", (1, 1)),
    (&["cup"], "gallon", (1, 16)),
    (&["radian", "rad"], "", (1, 1)),
];

/// A unit: a dimension (or the words themselves), its power and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) dimension: String,
    pub(crate) power: u32,
    /// Numerator and denominator of the size, to the first power.
    pub(crate) size: (i64, i64),
}

fn find(word: &str) -> Option<(&'static str, (i64, i64))> {
    let lower = word.to_ascii_lowercase();
    let row = |name: &str| UNITS.iter().find(|(names, ..)| names.contains(&name));
    // `ms` is no plural of `m`.
    let plural = || lower.strip_suffix('s').filter(|singular| singular.len() > 1).and_then(row);
    row(&lower).or_else(plural).map(|row| (row.1, row.2))
}

/// Returns whether letters are a known unit.
pub(crate) fn named(word: &str) -> bool {
    find(word).is_some()
}

/// Returns whether letters behind a number and a space are a unit and not a product of names: more than one letter
/// that mean nothing else.
pub(crate) fn known(word: &str) -> bool {
    word.len() > 1 && named(word)
}

/// Returns whether letters right behind a digit are no product of names, if they are a unit: these units of two
/// letters.
pub(crate) fn no_product(word: &str) -> bool {
    word.len() > 2 || ["cm", "mm", "km", "kg"].contains(&word)
}

/// Returns whether letters are one known unit over another: `km/h`.
pub(crate) fn compound(text: &str) -> bool {
    text.split_once('/').is_some_and(|(a, b)| find(a.trim()).is_some() && find(b.trim()).is_some())
}

/// Returns whether a dimension is one of a known unit.
pub(crate) fn dimension(name: &str) -> bool {
    UNITS.iter().any(|row| row.1 == name)
}

/// Returns the unit that words name, with its power: `square meters` and `m` with a power of 2 are the same.
pub(crate) fn unit(words: &str, power: u32) -> Unit {
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let words = words.replace('.', "");
    let (power, name) = match words.split_once(' ') {
        Some(("square" | "sq", rest)) => (2, rest),
        Some(("cubic" | "cu", rest)) => (3, rest),
        _ => (power, words.as_str()),
    };
    if let Some(unit) = quotient(name).filter(|_| power == 1) {
        return unit;
    }
    match find(name) {
        Some((dimension, size)) => Unit { dimension: dimension.to_owned(), power, size },
        None => {
            let singular = name.strip_suffix('s').unwrap_or(name);
            Unit { dimension: singular.to_owned(), power, size: (1, 1) }
        }
    }
}

/// Reads one known unit over another: `miles/hour`, `miles per hour`. A power belongs to the second, so this has none.
fn quotient(name: &str) -> Option<Unit> {
    let (above, below) = name.split_once('/').or_else(|| name.split_once(" per "))?;
    let ((above, size), (below, part)) = (find(above.trim())?, find(below.trim())?);
    let dimension = format!("{above}/{below}");
    Some(Unit { dimension, power: 1, size: (size.0 * part.1, size.1 * part.0) })
}

/// Returns a word like `million` at the start of the words behind a number, and the words after it.
pub(crate) fn multiplier(words: &str) -> (Option<i64>, &str) {
    let (first, rest) = words.split_once(' ').unwrap_or((words, ""));
    let times = match first.to_ascii_lowercase().trim_end_matches('s') {
        "dozen" => 12,
        "hundred" => 100,
        "thousand" => 1000,
        "million" => 1_000_000,
        "billion" => 1_000_000_000,
        "trillion" => 1_000_000_000_000,
        _ => return (None, words),
    };
    (Some(times), rest)
}

/// Returns whether words behind a number change it in a way that is not worked out here: `5 squared`, `5 less than`.
pub(crate) fn operation(words: &str) -> bool {
    const OPERATIONS: [&str; 51] = [
        "squared",
        "cubed",
        "factorial",
        "minus",
        "plus",
        "times",
        "over",
        "root",
        "less",
        "more",
        "fewer",
        "negative",
        "not",
        "half",
        "hundredths",
        "tenths",
        "thousandths",
        "below",
        "above",
        "pairs",
        "third",
        "thirds",
        "quarter",
        "quarters",
        "fourth",
        "fourths",
        "fifth",
        "fifths",
        "sixth",
        "sixths",
        "seventh",
        "sevenths",
        "eighth",
        "eighths",
        "ninth",
        "ninths",
        "tenth",
        "halves",
        "millionths",
        "billionths",
        "wrong",
        "incorrect",
        "false",
        "doubled",
        "tripled",
        "multiplied",
        "divided",
        "reciprocal",
        "inverse",
        "power",
        "halved",
    ];
    words.split(|c: char| !c.is_alphabetic()).any(|word| OPERATIONS.contains(&word.to_ascii_lowercase().as_str()))
}
