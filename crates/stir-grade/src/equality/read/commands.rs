//! LaTeX commands as tokens.

use super::{
    lex::Lexer,
    token::{Bracket, Token},
    units,
    vocabulary::{self, Meaning},
};
use crate::equality::why::Why;

impl Lexer {
    pub(crate) fn command(&mut self) -> Result<(), Why> {
        let start = self.at;
        while self.peek(0).is_some_and(|c| c.is_ascii_alphabetic()) {
            self.at += 1;
        }
        let name: String = self.chars[start..self.at].iter().collect();
        if name.is_empty() {
            return self.control();
        }
        match name.as_str() {
            "left" | "right" => {
                // `\left.` shows nothing.
                if self.peek(0) == Some('.') {
                    self.at += 1;
                }
            }
            "text" | "mbox" | "textbf" | "textit" | "textrm" | "textsf" | "textnormal" | "hbox" | "mathrm" | "rm"
            | "operatorname" => self.text(),
            "boxed" | "fbox" => self.boxed(),
            "begin" => {
                self.environment()?;
                self.tables += 1;
                self.push(Token::Begin);
            }
            "end" => {
                self.environment()?;
                self.tables = self.tables.saturating_sub(1);
                self.push(Token::End);
            }
            "quad" | "qquad" => self.space = true,
            // `\quadx` is what is left where white space was lost.
            name if name.starts_with("quad") => {
                self.at = start + "quad".len();
                self.space = true;
            }
            // A segment, named by its ends.
            "overline" if self.capitals_follow() => {}
            "mathbb" | "mathcal" => {
                let name = self.braces()?;
                let set = match name.as_str() {
                    "R" => "ℝ",
                    "N" => "ℕ",
                    "Z" => "ℤ",
                    "Q" => "ℚ",
                    "C" => "ℂ",
                    _ => return Err(Why::Syntax),
                };
                self.push(Token::Symbol(set.to_owned()));
            }
            name if vocabulary::skipped(name) => {}
            name => match vocabulary::command(name) {
                Some(token) => self.push(token),
                None => return Err(Why::Syntax),
            },
        }
        Ok(())
    }

    fn capitals_follow(&self) -> bool {
        let rest = self.chars[self.at..].iter().skip_while(|c| c.is_whitespace() || **c == '{');
        let name: Vec<&char> = rest.take_while(|c| c.is_ascii_alphabetic()).collect();
        name.len() == 2 && name.iter().all(|c| c.is_ascii_uppercase())
    }

    /// Reads a backslash before a sign.
    fn control(&mut self) -> Result<(), Why> {
        let Some(c) = self.peek(0) else { return Ok(()) };
        self.at += 1;
        match c {
            '{' => self.push(Token::Open(Bracket::Brace)),
            '}' => self.push(Token::Close(Bracket::Brace)),
            '%' => self.push(Token::Percent),
            '$' => self.push(Token::Money("dollars")),
            '|' => self.push(Token::Bar),
            '\\' if self.tables > 0 => self.push(Token::RowBreak),
            ',' | ';' | ':' | '!' | '\\' => self.space = true,
            c if c.is_whitespace() => self.space = true,
            '(' | ')' | '[' | ']' => {}
            '&' => self.push(Token::And),
            _ => return Err(Why::Syntax),
        }
        Ok(())
    }

    /// Reads `\text{...}`: words are kept as they are, anything else is read as if it were not in a text.
    fn text(&mut self) {
        let rest = &self.chars[self.at..];
        let Some(open) = rest.iter().position(|c| !c.is_whitespace()).filter(|&i| rest[i] == '{') else { return };
        let content: String = rest[open + 1..].iter().take_while(|&&c| c != '{' && c != '}').collect();
        let length = content.chars().count();
        let closed = rest.get(open + 1 + length) == Some(&'}');
        let worded = content.chars().all(|c| c.is_alphabetic() || c.is_whitespace() || "'.-,".contains(c));
        let letters = content.chars().filter(|c| c.is_alphabetic()).count();
        let behind =
            matches!(self.out.last().map(|last| &last.token), Some(Token::Number(_) | Token::Close(Bracket::Group)));
        let name = content.trim();
        if closed && behind {
            let end = self.at + open + 2 + length;
            let (below, end) = self.per(end).map_or((String::new(), end), |(below, end)| (format!("/{below}"), end));
            let unit = format!("{name}{below}");
            if units::compound(&unit)
                || self.is_cup(&unit)
                || (below.is_empty() && name.len() == 1 && units::named(name))
            {
                self.at = end;
                return self.push(Token::Words(unit));
            }
        }
        if !closed || !worded || letters == 0 {
            return;
        }
        self.at += open + 2 + length;
        let words = content.trim_matches(|c: char| !c.is_alphabetic());
        if content.trim_start().starts_with(',') {
            self.push(Token::Comma);
        }
        let token = match vocabulary::meaning(words, true) {
            Meaning::Token(token) => token,
            _ if letters == 1 => Token::Symbol(words.to_owned()),
            _ => Token::Words(words.to_owned()),
        };
        self.push(token);
    }

    /// Returns the text after a slash at `from`, as in `\text{m}/\text{s}`, and where it ends.
    fn per(&self, from: usize) -> Option<(String, usize)> {
        let mut at = from + self.chars.get(from..)?.iter().take_while(|c| c.is_whitespace()).count();
        let starts = |at: usize, mark: &str| self.chars[at..].iter().copied().take(mark.len()).eq(mark.chars());
        let mark = ["/\\text{", "/\\mathrm{", "/\\mbox{"].into_iter().find(|mark| starts(at, mark))?;
        at += mark.len();
        let word: String = self.chars[at..].iter().take_while(|&&c| c.is_ascii_alphabetic()).collect();
        let end = at + word.len();
        (self.chars.get(end) == Some(&'}')).then_some((word, end + 1))
    }

    /// Boxes next to each other, or with words between, are the parts of one answer.
    fn boxed(&mut self) {
        let joined = !matches!(
            self.out.last().map(|last| &last.token),
            None | Some(
                Token::Comma
                    | Token::Semicolon
                    | Token::And
                    | Token::Or
                    | Token::Relation(_)
                    | Token::Open(_)
                    | Token::Times
                    | Token::Plus
                    | Token::Minus
                    | Token::Colon
                    | Token::Money(_)
            )
        );
        if joined {
            self.push(Token::Comma);
        }
    }

    /// The name after `\begin` or `\end`, and what says how columns are set.
    fn environment(&mut self) -> Result<(), Why> {
        let name = self.braces()?;
        let table = ["matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "array"];
        if !table.contains(&name.trim_end_matches('*')) {
            return Err(Why::Syntax);
        }
        if name == "array" && self.peek(0) == Some('{') {
            self.braces()?;
        }
        Ok(())
    }

    fn braces(&mut self) -> Result<String, Why> {
        let rest = &self.chars[self.at..];
        let end = rest.iter().position(|&c| c == '}').filter(|_| rest.first() == Some(&'{')).ok_or(Why::Syntax)?;
        self.at += end + 1;
        Ok(rest[1..end].iter().collect())
    }
}
