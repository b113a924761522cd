//! An answer as tokens.

use super::{
    token::{Bracket, Relation, Spaced, Token},
    units,
    vocabulary::{self, Meaning},
};
use crate::equality::why::Why;

/// The way commas between digits are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commas {
    /// Before groups of three digits, outside brackets, they set off thousands; all others separate.
    Thousands,
    /// All separate.
    Separate,
    /// They are the decimal point.
    Decimal,
}

/// Splits an answer, in LaTeX or plain, into tokens. Linear in its length.
pub(crate) fn lex(text: &str, commas: Commas) -> Result<Vec<Spaced>, Why> {
    let mut lexer = Lexer { chars: unescaped(text), at: 0, out: Vec::new(), space: false, depth: 0, tables: 0, commas };
    while lexer.at < lexer.chars.len() {
        lexer.step()?;
    }
    Ok(lexer.out)
}

/// Texts that went through one encoding too many have two backslashes for one. In tables these end rows.
fn unescaped(text: &str) -> Vec<char> {
    let chars: Vec<char> = text.chars().collect();
    if text.contains("\\begin") && !text.contains("\\\\begin") {
        return chars;
    }
    let mut out = Vec::with_capacity(chars.len());
    for (i, &c) in chars.iter().enumerate() {
        let doubled = c == '\\' && out.last() == Some(&'\\');
        let command = chars.get(i + 1).is_some_and(|&next| next.is_ascii_alphabetic() || "{}%$\\".contains(next));
        if !(doubled && command) {
            out.push(c);
        }
    }
    out
}

pub(crate) struct Lexer {
    pub(crate) chars: Vec<char>,
    pub(crate) at: usize,
    pub(crate) out: Vec<Spaced>,
    pub(crate) space: bool,
    /// Open brackets that show.
    pub(crate) depth: usize,
    /// Open tables.
    pub(crate) tables: usize,
    pub(crate) commas: Commas,
}

impl Lexer {
    pub(crate) fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    pub(crate) fn push(&mut self, token: Token) {
        match token {
            Token::Open(Bracket::Paren | Bracket::Square | Bracket::Brace) => self.depth += 1,
            Token::Close(Bracket::Paren | Bracket::Square | Bracket::Brace) => {
                self.depth = self.depth.saturating_sub(1)
            }
            _ => {}
        }
        self.out.push(Spaced { token, space: std::mem::take(&mut self.space) });
    }

    pub(crate) fn digits(&mut self) -> String {
        let start = self.at;
        while self.peek(0).is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        self.chars[start..self.at].iter().collect()
    }

    fn step(&mut self) -> Result<(), Why> {
        let Some(c) = self.peek(0) else { return Ok(()) };
        if c == '0' && self.peek(1) == Some('x') && self.peek(2).is_some_and(|c| c.is_ascii_hexdigit()) {
            return Err(Why::Syntax);
        }
        if c.is_ascii_digit() || (c == '.' && self.peek(1).is_some_and(|c| c.is_ascii_digit())) {
            self.number();
            return Ok(());
        }
        if c.is_ascii_alphabetic() {
            return self.letters();
        }
        self.at += 1;
        match c {
            '\\' => return self.command(),
            c if c.is_whitespace() => self.space = true,
            '~' => self.space = true,
            // Delimiters of formulas.
            '$' => {}
            '^' if self.degree_follows() => self.push(Token::Degree),
            '<' if self.peek(0) == Some('=') => self.double(Token::Relation(Relation::LessEqual)),
            '>' if self.peek(0) == Some('=') => self.double(Token::Relation(Relation::GreaterEqual)),
            '!' if self.peek(0) == Some('=') => self.double(Token::Relation(Relation::Unequal)),
            '=' if self.peek(0) == Some('=') => self.double(Token::Relation(Relation::Equal)),
            '*' if self.peek(0) == Some('*') => self.double(Token::Power),
            // A full stop or dots at the end.
            '.' if self.chars[self.at..].iter().all(|&c| c == '$' || c == '.' || c.is_whitespace()) => {
                self.at = self.chars.len();
            }
            _ => match vocabulary::sign(c) {
                Some(token) => self.push(token),
                None if vocabulary::superscript(c).is_some() => self.superscript(c),
                None if c.is_alphabetic() => self.push(Token::Symbol(c.to_string())),
                None => return Err(Why::Syntax),
            },
        }
        Ok(())
    }

    fn double(&mut self, token: Token) {
        self.at += 1;
        self.push(token);
    }

    /// Returns whether `\circ` follows, perhaps in braces; skips it.
    fn degree_follows(&mut self) -> bool {
        let rest = &self.chars[self.at..];
        let braced: Vec<char> = rest.iter().copied().filter(|c| !c.is_whitespace()).take(7).collect();
        let braced: String = braced.into_iter().collect();
        let marks = ["{\\circ}", "\\circ", "{o}", "°"];
        let Some(mark) = marks.iter().find(|mark| braced.starts_with(**mark)) else { return false };
        let mut left = mark.chars().count();
        while left > 0 {
            if self.peek(0).is_some_and(|c| !c.is_whitespace()) {
                left -= 1;
            }
            self.at += 1;
        }
        true
    }

    fn letters(&mut self) -> Result<(), Why> {
        let start = self.at;
        while self.peek(0).is_some_and(|c| c.is_ascii_alphabetic()) {
            self.at += 1;
        }
        let run: String = self.chars[start..self.at].iter().collect();
        let is_per_cent = run == "per" && self.chars[self.at..].iter().take(5).eq(&[' ', 'c', 'e', 'n', 't']);
        if is_per_cent && !self.peek(5).is_some_and(char::is_alphabetic) {
            self.at += 5;
            self.push(Token::Percent);
            return Ok(());
        }
        // `p.m.`
        if matches!(run.as_str(), "a" | "p" | "A" | "P") && self.peek(0) == Some('.') && self.peek(1) == Some('m') {
            self.at += if self.peek(2) == Some('.') { 3 } else { 2 };
            self.push(Token::Words(run.to_ascii_lowercase() + "m"));
            return Ok(());
        }
        let after_bracket = matches!(
            self.out.last().map(|last| &last.token),
            Some(Token::Close(Bracket::Paren | Bracket::Square | Bracket::Brace))
        );
        if run == "U" && after_bracket {
            self.push(Token::Union);
            return Ok(());
        }
        // `twenty-one` is no difference.
        let hyphen = self.peek(0) == Some('-') && self.peek(1).is_some_and(|c| c.is_ascii_alphabetic());
        if hyphen && vocabulary::is_number(&run.to_ascii_lowercase()) {
            return Err(Why::Syntax);
        }
        if self.is_cup(&run) {
            self.push(Token::Words(run));
            return Ok(());
        }
        let before = start.checked_sub(1).map(|i| self.chars[i]);
        let glued = before.is_some_and(|c| c.is_ascii_digit());
        if let Some(end) = self.compound_end(&run, glued) {
            let words = self.chars[start..end].iter().collect();
            self.at = end;
            self.push(Token::Words(words));
            return Ok(());
        }
        let may_be_unit = if glued { units::no_product(&run) } else { before == Some(' ') };
        self.words(&run, may_be_unit);
        Ok(())
    }

    /// Returns whether `word` is the unit `cup`, which it is behind a number; elsewhere it is the union.
    pub(crate) fn is_cup(&self, word: &str) -> bool {
        let last = self.out.last().map(|last| &last.token);
        word == "cup" && matches!(last, Some(Token::Number(_) | Token::Close(Bracket::Group)))
    }

    /// Returns the end of the compound unit behind a number, if one starts with `run`: `km/h`. Letters right behind a
    /// digit, and one letter over one letter, may be a quotient of names.
    fn compound_end(&self, run: &str, glued: bool) -> Option<usize> {
        let behind = matches!(self.out.last().map(|last| &last.token), Some(Token::Number(_)));
        if !behind || self.peek(0) != Some('/') {
            return None;
        }
        let below: String = self.chars[self.at + 1..].iter().take_while(|c| c.is_ascii_alphabetic()).collect();
        let unit = match glued {
            true => units::no_product(run) || units::no_product(&below),
            false => run.len() + below.len() > 2 || (run, below.as_str()) == ("m", "s"),
        };
        (unit && units::compound(&format!("{run}/{below}"))).then_some(self.at + 1 + below.len())
    }

    /// Reads a run of letters: a known name, a word, or one-letter names side by side.
    fn words(&mut self, run: &str, may_be_unit: bool) {
        match vocabulary::meaning(run, may_be_unit) {
            Meaning::Token(token) => self.push(token),
            Meaning::Word => self.push(Token::Words(run.to_owned())),
            Meaning::Letters => {
                for letter in run.chars() {
                    self.push(Token::Symbol(letter.to_string()));
                }
            }
            Meaning::Prefix(token, length) => {
                self.push(token);
                self.words(&run[length..], false);
            }
        }
    }
}
