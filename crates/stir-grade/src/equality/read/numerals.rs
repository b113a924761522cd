//! Numbers as they are written.

use super::{
    lex::{Commas, Lexer},
    token::{Number, Token},
    vocabulary,
};

impl Lexer {
    pub(crate) fn superscript(&mut self, first: char) {
        let mut digits = String::from(vocabulary::superscript(first).unwrap_or('0'));
        while let Some(digit) = self.peek(0).and_then(vocabulary::superscript) {
            digits.push(digit);
            self.at += 1;
        }
        self.push(Token::Power);
        self.push(Token::Number(Number { digits, decimals: 0, repeating: 0, exponent: 0 }));
    }

    pub(crate) fn number(&mut self) {
        let mut digits = self.digits();
        let first = digits.clone();
        while let Some(skip) = self.separator(&first) {
            self.at += skip;
            digits.push_str(&self.digits());
        }
        let mut decimals = 0;
        let point = self.peek(0) == Some('.') || (self.commas == Commas::Decimal && self.peek(0) == Some(','));
        if point && (self.peek(1).is_some_and(|c| c.is_ascii_digit()) || self.repeats(1).is_some()) {
            self.at += 1;
            let fraction = self.digits();
            decimals = fraction.len();
            digits.push_str(&fraction);
        }
        let mut repeating = 0;
        if let Some((skip, period)) = self.repeats(0) {
            self.at += skip;
            repeating = period.len();
            decimals += repeating;
            digits.push_str(&period);
        }
        let exponent = self.exponent();
        self.push(Token::Number(Number { digits, decimals, repeating, exponent }));
    }

    /// Reads `\overline{36}` after a decimal point: the length of that and the period.
    fn repeats(&self, ahead: usize) -> Option<(usize, String)> {
        let rest = self.chars.get(self.at + ahead..)?;
        let mark = "\\overline{";
        if !rest.iter().copied().take(mark.len()).eq(mark.chars()) {
            return None;
        }
        let period: String = rest[mark.len()..].iter().take_while(|c| c.is_ascii_digit()).collect();
        let closed = rest.get(mark.len() + period.len()) == Some(&'}');
        (closed && !period.is_empty()).then(|| (mark.len() + period.len() + 1, period))
    }

    /// Reads `e-5` right after digits.
    fn exponent(&mut self) -> i32 {
        if !matches!(self.peek(0), Some('e' | 'E')) {
            return 0;
        }
        let sign = usize::from(matches!(self.peek(1), Some('+' | '-')));
        let start = self.at + 1 + sign;
        let digits: String =
            self.chars[start.min(self.chars.len())..].iter().take_while(|c| c.is_ascii_digit()).collect();
        let Ok(value) = digits.parse::<i32>() else { return 0 };
        let negative = self.peek(1) == Some('-');
        self.at = start + digits.len();
        if negative { -value } else { value }
    }

    /// Returns the length of a separator of thousands here, before exactly three digits. LaTeX has marks that say so;
    /// others do where `first`, the digits before the first of them, can be thousands.
    fn separator(&self, first: &str) -> Option<usize> {
        let rest = &self.chars[self.at..];
        let starts = |mark: &str| rest.iter().copied().take(mark.chars().count()).eq(mark.chars());
        let explicit = explicit_separator(rest);
        let outside = self.depth == 0 && self.tables == 0;
        let implicit = || {
            let marks = ["\\,", "\\ ", " ", "~", "\u{a0}", "\u{2009}", "\u{202f}", ","];
            let marks = if self.commas == Commas::Thousands { &marks[..] } else { &marks[..marks.len() - 1] };
            marks.iter().find(|mark| starts(mark)).map(|mark| mark.chars().count())
        };
        let argument = matches!(
            self.out.last().map(|last| &last.token),
            Some(Token::Under | Token::Power | Token::Frac | Token::Binom)
        );
        let thousands = outside && !argument && (1..=3).contains(&first.len()) && !first.starts_with('0');
        let skip = explicit.or_else(|| thousands.then(implicit).flatten())?;
        let group = rest[skip..].iter().take_while(|c| c.is_ascii_digit()).take(4).count();
        (group == 3).then_some(skip)
    }
}

/// Returns the length of a comma that is set to separate thousands, in braces or with a thin negative space next to it;
/// the blanks of the source around that are none.
fn explicit_separator(chars: &[char]) -> Option<usize> {
    let (mut at, mut commas, mut is_set) = (0, 0, false);
    while let Some(mark) = ["{,}", ",{}", "\\!", ",", " ", "\n"].iter().find(|mark| {
        let len = mark.len();
        chars.len() >= at + len && chars[at..at + len].iter().copied().eq(mark.chars())
    }) {
        at += mark.len();
        commas += usize::from(mark.contains(','));
        is_set |= mark.len() > 1;
    }
    (is_set && commas == 1).then_some(at)
}
