//! The terms that an expression can start with: numbers, names, functions, brackets, tables.

use super::{
    parse::{Parser, power},
    token::{Bracket, Number, Relation, Spaced, Token},
    tree::{Id, Node},
};
use crate::equality::{algebra::Func, why::Why};

/// Names that are functions where a bracket follows.
const FUNCTION_NAMES: [&str; 4] = ["f", "g", "F", "G"];

impl Parser {
    pub(crate) fn prefix(&mut self) -> Result<Id, Why> {
        let token = self.peek().cloned().ok_or(Why::Syntax)?;
        self.at += 1;
        match token {
            Token::Number(number) => self.number(number),
            Token::Symbol(name) => self.symbol(name),
            Token::Infinity => self.push(Node::Infinity),
            Token::Empty => self.push(Node::Empty),
            Token::Minus => {
                let of = self.expression(power::SIGN)?;
                self.push(Node::Neg(of))
            }
            Token::Plus => self.expression(power::SIGN),
            Token::PlusMinus | Token::MinusPlus => {
                let of = self.expression(power::PRODUCT - 1)?;
                self.push(Node::Both(None, of, token == Token::MinusPlus))
            }
            Token::Money(currency) => {
                let amount = self.expression(power::SIGN)?;
                self.push(Node::Money(amount, currency))
            }
            Token::Frac => {
                let (above, below) = (self.argument(true)?, self.argument(true)?);
                self.push(Node::Div(above, below))
            }
            Token::Binom => {
                let (above, below) = (self.argument(true)?, self.argument(true)?);
                self.push(Node::Binomial(above, below))
            }
            Token::Sqrt => {
                let degree =
                    if self.peek() == Some(&Token::Open(Bracket::Square)) { Some(self.prefix()?) } else { None };
                let of = self.argument(false)?;
                self.push(Node::Root(degree, of))
            }
            Token::Cbrt => {
                let three = Number { digits: "3".to_owned(), decimals: 0, repeating: 0, exponent: 0 };
                let degree = self.push(Node::Number(three))?;
                let of = self.argument(false)?;
                self.push(Node::Root(Some(degree), of))
            }
            Token::Function(func) => self.function(func),
            Token::Log => self.log(),
            Token::Open(bracket) => self.bracket(bracket),
            Token::Bar => self.absolute(),
            Token::Begin => self.table(),
            _ => Err(Why::Syntax),
        }
    }

    pub(crate) fn number(&mut self, number: Number) -> Result<Id, Why> {
        if self.eat(&Token::Under) {
            let base = self.subscript()?.parse().map_err(|_| Why::Syntax)?;
            if number.decimals > 0 || number.exponent != 0 {
                return Err(Why::Syntax);
            }
            return self.push(Node::Based(number.digits, base));
        }
        let whole = number.decimals == 0 && number.exponent == 0;
        let value = self.push(Node::Number(number))?;
        if whole && let Some(fraction) = self.fraction_after_whole()? {
            return self.push(Node::Add(value, fraction));
        }
        Ok(value)
    }

    /// Returns the fraction of a mixed number: `\frac` of literal integers, or `1/2` after a space.
    pub(crate) fn fraction_after_whole(&mut self) -> Result<Option<Id>, Why> {
        let integer = |token: Option<&Spaced>| match token.map(|spaced| &spaced.token) {
            Some(Token::Number(Number { decimals: 0, exponent: 0, digits, .. })) => Some(digits.clone()),
            _ => None,
        };
        let smaller = |a: &str, b: &str| {
            let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
            !a.is_empty() && (a.len(), a) < (b.len(), b)
        };
        let next = self.tokens.get(self.at);
        if let (Some(above), Some(Token::Divide), Some(below)) = (
            integer(next).filter(|_| next.is_some_and(|spaced| spaced.space)),
            self.tokens.get(self.at + 1).map(|spaced| &spaced.token),
            integer(self.tokens.get(self.at + 2)),
        ) && smaller(&above, &below)
        {
            self.at += 1;
            let (above, below) = (self.literal(above)?, self.literal(below)?);
            self.at += 2;
            return self.push(Node::Div(above, below)).map(Some);
        }
        let literals = (self.peek() == Some(&Token::Frac)).then(|| self.literal_fraction(self.at + 1)).flatten();
        if !literals.is_some_and(|(above, below)| smaller(&above, &below)) {
            return Ok(None);
        }
        self.at += 1;
        let (above, below) = (self.argument(true)?, self.argument(true)?);
        self.push(Node::Div(above, below)).map(Some)
    }

    /// Returns the digits of the two arguments of a fraction at `at`, where both are literal integers.
    pub(crate) fn literal_fraction(&self, at: usize) -> Option<(String, String)> {
        let number = |at: usize| match self.tokens.get(at).map(|spaced| &spaced.token) {
            Some(Token::Number(Number { digits, decimals: 0, exponent: 0, .. })) => Some(digits.as_str()),
            _ => None,
        };
        let is = |at: usize, token: Token| self.tokens.get(at).is_some_and(|spaced| spaced.token == token);
        let grouped = |at: usize| {
            let group = is(at, Token::Open(Bracket::Group)) && is(at + 2, Token::Close(Bracket::Group));
            number(at + 1).filter(|_| group)
        };
        let first = |digits: &str| digits.get(..1).map(str::to_owned);
        let second = |at: usize| grouped(at).map(str::to_owned).or_else(|| number(at).and_then(first));
        if let Some(above) = grouped(at) {
            return Some((above.to_owned(), second(at + 3)?));
        }
        let above = number(at)?;
        let below = if above.len() > 1 { above.get(1..2).map(str::to_owned) } else { second(at + 1) };
        Some((first(above)?, below?))
    }

    pub(crate) fn literal(&mut self, digits: String) -> Result<Id, Why> {
        self.push(Node::Number(Number { digits, decimals: 0, repeating: 0, exponent: 0 }))
    }

    pub(crate) fn symbol(&mut self, mut name: String) -> Result<Id, Why> {
        while self.eat(&Token::Prime) {
            name.push('\'');
        }
        if self.eat(&Token::Under) {
            name.push('_');
            name.push_str(&self.subscript()?);
        }
        let bare = name.split(['_', '\'']).next().unwrap_or(&name);
        let function = FUNCTION_NAMES.contains(&bare) || self.is_defined_here();
        if function && self.eat(&Token::Open(Bracket::Paren)) {
            let arguments = self.items(Some(Bracket::Paren))?;
            self.expect(&Token::Close(Bracket::Paren))?;
            let arguments = match &self.tree.nodes[arguments] {
                Node::List(items) => items.clone(),
                _ => vec![arguments],
            };
            return self.push(Node::Apply(name, arguments));
        }
        self.push(Node::Symbol(name))
    }

    /// Returns whether `(x) =` follows, so that the letter before it is a function whatever its name.
    fn is_defined_here(&self) -> bool {
        let ahead = |i: usize| self.tokens.get(self.at + i).map(|spaced| &spaced.token);
        ahead(0) == Some(&Token::Open(Bracket::Paren))
            && matches!(ahead(1), Some(Token::Symbol(_)))
            && ahead(2) == Some(&Token::Close(Bracket::Paren))
            && ahead(3) == Some(&Token::Relation(Relation::Equal))
    }

    /// Reads a subscript, letter by letter.
    pub(crate) fn subscript(&mut self) -> Result<String, Why> {
        let mut out = String::new();
        let grouped = self.eat(&Token::Open(Bracket::Group));
        loop {
            match self.peek() {
                Some(Token::Close(Bracket::Group)) if grouped => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(Token::Number(number)) => out.push_str(&number.digits),
                Some(Token::Symbol(text) | Token::Words(text)) => out.push_str(text),
                Some(Token::Comma) if grouped => out.push(','),
                Some(Token::Plus) if grouped => out.push('+'),
                Some(Token::Minus) if grouped => out.push('-'),
                _ => return Err(Why::Syntax),
            }
            self.at += 1;
            if !grouped {
                return Ok(out);
            }
        }
    }

    /// Reads an argument of a command: a group, a bracket or one term; of a fraction, one digit.
    pub(crate) fn argument(&mut self, one_digit: bool) -> Result<Id, Why> {
        if let (true, Some(Token::Number(number))) = (one_digit, self.tokens.get_mut(self.at).map(|s| &mut s.token))
            && number.digits.len() > 1
            && number.decimals == 0
        {
            let digit = number.digits.remove(0);
            return self.literal(digit.to_string());
        }
        self.expression(power::POSTFIX)
    }

    pub(crate) fn function(&mut self, func: Func) -> Result<Id, Why> {
        let exponent = if self.eat(&Token::Power) { Some(self.expression(power::POWER)?) } else { None };
        let inverse = exponent.is_some_and(|id| self.is_minus_one(id));
        let inverted = match func {
            Func::Sin => Some(Func::Asin),
            Func::Cos => Some(Func::Acos),
            Func::Tan => Some(Func::Atan),
            _ => None,
        };
        let arg = self.function_argument()?;
        match (exponent, inverted) {
            (None, _) => self.push(Node::Call(func, arg)),
            (Some(_), Some(inverted)) if inverse => self.push(Node::Call(inverted, arg)),
            (Some(_), _) if inverse => Err(Why::Syntax),
            (Some(exponent), _) => {
                let call = self.push(Node::Call(func, arg))?;
                self.push(Node::Pow(call, exponent))
            }
        }
    }

    pub(crate) fn is_minus_one(&self, id: Id) -> bool {
        let one = |id: Id| matches!(&self.tree.nodes[id], Node::Number(n) if n.digits == "1" && n.decimals == 0);
        matches!(&self.tree.nodes[id], &Node::Neg(of) if one(of))
    }

    /// Reads a bracket, or factors up to the next sign or function.
    pub(crate) fn function_argument(&mut self) -> Result<Id, Why> {
        if matches!(self.peek(), Some(Token::Open(Bracket::Paren | Bracket::Group))) {
            return self.prefix();
        }
        self.expression(power::ARGUMENT - 1)
    }

    pub(crate) fn log(&mut self) -> Result<Id, Why> {
        if !self.eat(&Token::Under) {
            return self.function(Func::Log);
        }
        let base = self.argument(true)?;
        let arg = self.function_argument()?;
        self.push(Node::Log(base, arg))
    }

    pub(crate) fn bracket(&mut self, open: Bracket) -> Result<Id, Why> {
        if matches!(self.peek(), Some(Token::Close(Bracket::Brace))) && open == Bracket::Brace {
            self.at += 1;
            return self.push(Node::Empty);
        }
        // Bars of absolute values do not cross brackets.
        let bars = std::mem::take(&mut self.bars);
        let inside = self.items(Some(open))?;
        self.bars = bars;
        let Some(Token::Close(close)) = self.peek().cloned() else { return Err(Why::Syntax) };
        self.at += 1;
        match (open, close) {
            (Bracket::Group, Bracket::Group) => return Ok(inside),
            (Bracket::Floor, Bracket::Floor) => return self.push(Node::Call(Func::Floor, inside)),
            (Bracket::Ceil, Bracket::Ceil) => return self.push(Node::Call(Func::Ceil, inside)),
            (Bracket::Brace, Bracket::Brace) | (Bracket::Paren | Bracket::Square, Bracket::Paren | Bracket::Square) => {
            }
            _ => return Err(Why::Syntax),
        }
        match &self.tree.nodes[inside] {
            Node::List(items) => {
                let items = items.clone();
                self.push(Node::Sequence(open, close, items))
            }
            _ if open == Bracket::Brace => self.push(Node::Sequence(open, close, vec![inside])),
            _ if open == close => Ok(inside),
            _ => Err(Why::Syntax),
        }
    }

    pub(crate) fn absolute(&mut self) -> Result<Id, Why> {
        self.bars += 1;
        let inside = self.expression(0)?;
        self.bars -= 1;
        self.expect(&Token::Bar)?;
        self.push(Node::Call(Func::Abs, inside))
    }

    pub(crate) fn table(&mut self) -> Result<Id, Why> {
        let (mut rows, mut row) = (Vec::new(), Vec::new());
        loop {
            match self.peek() {
                Some(Token::RowBreak) => rows.push(std::mem::take(&mut row)),
                Some(Token::Ampersand) => {}
                Some(Token::End) => {
                    self.at += 1;
                    break;
                }
                _ => {
                    row.push(self.relation()?);
                    continue;
                }
            }
            self.at += 1;
        }
        rows.push(row);
        rows.retain(|row: &Vec<Id>| !row.is_empty());
        if rows.is_empty() || rows.iter().any(|row| row.len() != rows[0].len()) {
            return Err(Why::Syntax);
        }
        self.push(Node::Table(rows))
    }
}
