//! The meaning of names, signs and commands.

use super::{
    token::{Bracket, Number, Relation, Token},
    units,
};
use crate::equality::algebra::Func;

/// The meaning of a run of letters.
#[derive(Debug, PartialEq)]
pub(crate) enum Meaning {
    Token(Token),
    Word,
    /// One name each.
    Letters,
    /// A token of so many letters and then more.
    Prefix(Token, usize),
}

/// Names of functions, longer ones before those they begin with.
const FUNCTIONS: [(&str, Func); 30] = [
    ("arcsin", Func::Asin),
    ("arccos", Func::Acos),
    ("arctan", Func::Atan),
    ("asin", Func::Asin),
    ("acos", Func::Acos),
    ("atan", Func::Atan),
    ("sinh", Func::Sinh),
    ("cosh", Func::Cosh),
    ("tanh", Func::Tanh),
    ("sin", Func::Sin),
    ("cos", Func::Cos),
    ("tan", Func::Tan),
    ("tg", Func::Tan),
    ("cot", Func::Cot),
    ("ctg", Func::Cot),
    ("sec", Func::Sec),
    ("csc", Func::Csc),
    ("cosec", Func::Csc),
    ("ln", Func::Ln),
    ("lg", Func::Log),
    ("exp", Func::Exp),
    ("abs", Func::Abs),
    ("floor", Func::Floor),
    ("ceil", Func::Ceil),
    ("Arcsin", Func::Asin),
    ("Arccos", Func::Acos),
    ("Arctan", Func::Atan),
    ("Sin", Func::Sin),
    ("Cos", Func::Cos),
    ("Tan", Func::Tan),
];

/// Short words that are not products of letters.
const WORDS: [&str; 46] = [
    "no", "on", "yes", "not", "all", "any", "odd", "is", "are", "the", "of", "for", "if", "to", "at", "by", "am", "pm",
    "sq", "red", "men", "day", "mon", "tue", "wed", "thu", "fri", "sat", "sun", "jan", "feb", "mar", "apr", "may",
    "jun", "jul", "aug", "sep", "oct", "nov", "dec", "tea", "east", "west", "true", "set",
];

pub(crate) const NUMBERS: [&str; 21] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
];

pub(crate) fn is_number(lower: &str) -> bool {
    NUMBERS.contains(&lower)
}

/// Returns the meaning of a run of letters; `may_be_unit` if it is where units are.
pub(crate) fn meaning(run: &str, may_be_unit: bool) -> Meaning {
    let lower = run.to_ascii_lowercase();
    if let Some(token) = name(run).or_else(|| english(&lower)) {
        return Meaning::Token(token);
    }
    if WORDS.contains(&lower.as_str()) || (may_be_unit && units::known(run)) || run.contains(' ') {
        return Meaning::Word;
    }
    let prefix =
        FUNCTIONS.iter().find(|(name, _)| name.len() > 2 && run.starts_with(name) && run.len() <= name.len() + 2);
    if let Some(&(name, func)) = prefix {
        return Meaning::Prefix(Token::Function(func), name.len());
    }
    if run.len() <= 3 { Meaning::Letters } else { Meaning::Word }
}

/// Returns a name with a meaning in formulas, with or without a backslash.
fn name(run: &str) -> Option<Token> {
    if let Some(&(_, func)) = FUNCTIONS.iter().find(|(name, _)| *name == run) {
        return Some(Token::Function(func));
    }
    Some(match run {
        "log" => Token::Log,
        "sqrt" => Token::Sqrt,
        "cbrt" => Token::Cbrt,
        "pi" | "Pi" => Token::Symbol("\u{3c0}".to_owned()),
        "infty" | "infinity" | "inf" | "Infinity" | "oo" => Token::Infinity,
        "cup" | "union" | "bigcup" => Token::Union,
        "cap" => Token::Intersection,
        "binom" | "dbinom" | "tbinom" => Token::Binom,
        _ => return None,
    })
}

fn english(lower: &str) -> Option<Token> {
    if let Some(value) = NUMBERS.iter().position(|word| *word == lower) {
        return Some(Token::Number(Number { digits: value.to_string(), decimals: 0, repeating: 0, exponent: 0 }));
    }
    Some(match lower {
        "and" => Token::And,
        "or" => Token::Or,
        "percent" | "percents" | "per cent" | "pct" => Token::Percent,
        "degrees" | "degree" | "deg" => Token::Degree,
        "dollars" | "dollar" | "usd" => Token::Words("dollars".to_owned()),
        _ => return None,
    })
}

/// Commands that change how things look and not what they say.
pub(crate) fn skipped(name: &str) -> bool {
    matches!(
        name,
        "big"
            | "Big"
            | "bigg"
            | "Bigg"
            | "bigl"
            | "bigr"
            | "Bigl"
            | "Bigr"
            | "biggl"
            | "biggr"
            | "Biggl"
            | "Biggr"
            | "displaystyle"
            | "textstyle"
            | "scriptstyle"
            | "limits"
            | "mathbf"
            | "mathit"
            | "mathsf"
            | "mathnormal"
            | "boldsymbol"
            | "bf"
            | "it"
            | "ensuremath"
            | "overrightarrow"
            | "vec"
            | "middle"
            | "nolimits"
            | "hfill"
            | "mathop"
            | "bm"
            | "math"
            | "large"
            | "Large"
            | "small"
            | "thinspace"
            | "angle"
            | "triangle"
    )
}

/// Commands, without the backslash.
pub(crate) fn command(name_: &str) -> Option<Token> {
    if let Some(token) = name(name_) {
        return Some(token);
    }
    Some(match name_ {
        "frac" | "dfrac" | "tfrac" | "cfrac" => Token::Frac,
        "choose" => Token::Choose,
        "pm" => Token::PlusMinus,
        "mp" => Token::MinusPlus,
        "cdot" | "times" | "ast" | "cdotp" => Token::Times,
        "div" => Token::Divide,
        "circ" | "degree" => Token::Degree,
        "le" | "leq" | "leqslant" | "leqq" => Token::Relation(Relation::LessEqual),
        "ge" | "geq" | "geqslant" | "geqq" => Token::Relation(Relation::GreaterEqual),
        "lt" => Token::Relation(Relation::Less),
        "gt" => Token::Relation(Relation::Greater),
        "ne" | "neq" => Token::Relation(Relation::Unequal),
        "in" => Token::Relation(Relation::In),
        "approx" | "simeq" | "doteq" => Token::Relation(Relation::Approx),
        "setminus" | "backslash" | "smallsetminus" => Token::Without,
        "emptyset" | "varnothing" => Token::Empty,
        "lbrace" => Token::Open(Bracket::Brace),
        "rbrace" => Token::Close(Bracket::Brace),
        "lbrack" => Token::Open(Bracket::Square),
        "rbrack" => Token::Close(Bracket::Square),
        "langle" => Token::Open(Bracket::Paren),
        "rangle" => Token::Close(Bracket::Paren),
        "lfloor" => Token::Open(Bracket::Floor),
        "rfloor" => Token::Close(Bracket::Floor),
        "lceil" => Token::Open(Bracket::Ceil),
        "rceil" => Token::Close(Bracket::Ceil),
        "lvert" | "rvert" | "vert" | "mid" => Token::Bar,
        "colon" => Token::Colon,
        "prime" => Token::Prime,
        "land" | "wedge" => Token::And,
        "lor" | "vee" => Token::Or,
        "Reals" | "reals" | "R" => Token::Symbol("\u{211d}".to_owned()),
        _ => Token::Symbol(greek(name_)?.to_string()),
    })
}

fn greek(name: &str) -> Option<char> {
    const NAMES: [(&str, char); 34] = [
        ("alpha", 'α'),
        ("beta", 'β'),
        ("gamma", 'γ'),
        ("delta", 'δ'),
        ("epsilon", 'ε'),
        ("varepsilon", 'ε'),
        ("zeta", 'ζ'),
        ("eta", 'η'),
        ("theta", 'θ'),
        ("vartheta", 'θ'),
        ("iota", 'ι'),
        ("kappa", 'κ'),
        ("lambda", 'λ'),
        ("mu", 'μ'),
        ("nu", 'ν'),
        ("xi", 'ξ'),
        ("rho", 'ρ'),
        ("sigma", 'σ'),
        ("tau", 'τ'),
        ("upsilon", 'υ'),
        ("phi", 'φ'),
        ("varphi", 'φ'),
        ("chi", 'χ'),
        ("psi", 'ψ'),
        ("omega", 'ω'),
        ("Gamma", 'Γ'),
        ("Delta", 'Δ'),
        ("Theta", 'Θ'),
        ("Lambda", 'Λ'),
        ("Sigma", 'Σ'),
        ("Phi", 'Φ'),
        ("Psi", 'Ψ'),
        ("Omega", 'Ω'),
        ("ell", 'ℓ'),
    ];
    NAMES.iter().find(|(known, _)| *known == name).map(|&(_, c)| c)
}

/// Signs that are tokens by themselves.
pub(crate) fn sign(c: char) -> Option<Token> {
    Some(match c {
        '+' => Token::Plus,
        '-' | '\u{2212}' | '\u{2013}' | '\u{2010}' | '\u{2011}' => Token::Minus,
        '\u{b1}' => Token::PlusMinus,
        '\u{2213}' => Token::MinusPlus,
        '*' | '\u{d7}' | '\u{b7}' | '\u{22c5}' | '\u{2219}' => Token::Times,
        '/' | '\u{f7}' | '\u{2215}' | '\u{2044}' => Token::Divide,
        '^' => Token::Power,
        '_' => Token::Under,
        '!' => Token::Factorial,
        '%' => Token::Percent,
        '\u{b0}' | '\u{ba}' => Token::Degree,
        '\'' | '\u{2032}' => Token::Prime,
        '\u{a2}' => Token::Words("cents".to_owned()),
        '\u{20ac}' => Token::Money("euros"),
        // Pounds by themselves are a mass.
        '\u{a3}' => Token::Money("pounds sterling"),
        '\u{a5}' => Token::Money("yen"),
        '(' => Token::Open(Bracket::Paren),
        ')' => Token::Close(Bracket::Paren),
        '[' => Token::Open(Bracket::Square),
        ']' => Token::Close(Bracket::Square),
        '{' => Token::Open(Bracket::Group),
        '}' => Token::Close(Bracket::Group),
        '|' => Token::Bar,
        ',' | '\u{ff0c}' => Token::Comma,
        ';' => Token::Semicolon,
        ':' => Token::Colon,
        '=' => Token::Relation(Relation::Equal),
        '<' => Token::Relation(Relation::Less),
        '>' => Token::Relation(Relation::Greater),
        '\u{2264}' => Token::Relation(Relation::LessEqual),
        '\u{2265}' => Token::Relation(Relation::GreaterEqual),
        '\u{2260}' => Token::Relation(Relation::Unequal),
        '\u{2208}' => Token::Relation(Relation::In),
        '\u{2248}' => Token::Relation(Relation::Approx),
        '\u{222a}' => Token::Union,
        '\u{2229}' => Token::Intersection,
        '\u{2205}' => Token::Empty,
        '\u{221e}' => Token::Infinity,
        '\u{221a}' => Token::Sqrt,
        '&' => Token::Ampersand,
        _ => return None,
    })
}

pub(crate) fn superscript(c: char) -> Option<char> {
    let digits = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let value = digits.iter().position(|&digit| digit == c)?;
    char::from_digit(value as u32, 10)
}

/// Returns whether words name the set of all real numbers.
pub(crate) fn reals(words: &str) -> bool {
    let lower = words.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    let words = words.strip_prefix(&["the", "set", "of"]).or(words.strip_prefix(&["set", "of"])).unwrap_or(&words);
    matches!(words, ["all", "reals"] | ["all", "real", "numbers"])
}

/// Returns whether words name the empty set. That there is no value among the real numbers says less.
pub(crate) fn nothing(words: &str) -> bool {
    let lower = words.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    matches!(words[..], ["no", "solution" | "solutions"] | ["empty", "set"] | ["the", "empty", "set"])
}
