//! Operators, lists and relations of a tree.

use super::{
    token::{Bracket, Number, Spaced, Token},
    tree::{Id, Node, Tree},
};
use crate::equality::{
    algebra::Func,
    limits::{MAX_DEPTH, MAX_NODES},
    why::Why,
};

/// The binding powers of operators.
pub(crate) mod power {
    pub(crate) const CHOOSE: u8 = 1;
    pub(crate) const UNION: u8 = 2;
    pub(crate) const INTERSECTION: u8 = 4;
    pub(crate) const SUM: u8 = 10;
    pub(crate) const PRODUCT: u8 = 20;
    pub(crate) const ARGUMENT: u8 = 22;
    pub(crate) const SIGN: u8 = 24;
    pub(crate) const POWER: u8 = 40;
    pub(crate) const POSTFIX: u8 = 50;
}

/// Reads an answer.
///
/// # Errors
///
/// [`Why::Syntax`] where it is no formula, and the limits of `budget.rs`.
pub(crate) fn parse(tokens: Vec<Spaced>) -> Result<Tree, Why> {
    if tokens.is_empty() {
        return Err(Why::Syntax);
    }
    let mut parser = Parser { tokens, at: 0, tree: Tree::default(), depth: 0, bars: 0 };
    parser.tree.root = parser.items(None)?;
    if parser.at < parser.tokens.len() {
        return Err(Why::Syntax);
    }
    Ok(parser.tree)
}

pub(crate) struct Parser {
    pub(crate) tokens: Vec<Spaced>,
    pub(crate) at: usize,
    pub(crate) tree: Tree,
    pub(crate) depth: usize,
    /// Open bars of absolute values: inside, a bar after a term closes.
    pub(crate) bars: usize,
}

impl Parser {
    pub(crate) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|spaced| &spaced.token)
    }

    pub(crate) fn eat(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect(&mut self, token: &Token) -> Result<(), Why> {
        if self.eat(token) { Ok(()) } else { Err(Why::Syntax) }
    }

    pub(crate) fn push(&mut self, node: Node) -> Result<Id, Why> {
        if self.tree.nodes.len() >= MAX_NODES {
            return Err(Why::TooManyParts);
        }
        self.tree.nodes.push(node);
        Ok(self.tree.nodes.len() - 1)
    }

    /// Elements up to a closing bracket (left unread) or the end: one is itself, more are a list. Semicolons
    /// separate tuples.
    pub(crate) fn items(&mut self, open: Option<Bracket>) -> Result<Id, Why> {
        let (mut groups, mut group) = (Vec::new(), vec![self.relation()?]);
        let (mut semicolons, mut conjunction) = (false, false);
        loop {
            let (mut separated, mut semicolon) = (false, false);
            while let Some(Token::Comma | Token::And | Token::Or | Token::Semicolon) = self.peek() {
                semicolon |= self.peek() == Some(&Token::Semicolon);
                conjunction |= self.peek() == Some(&Token::And);
                separated = true;
                self.at += 1;
            }
            semicolons |= semicolon;
            if semicolon {
                groups.push(std::mem::take(&mut group));
            }
            let closed = matches!(self.peek(), None | Some(Token::Close(_)));
            if !separated || closed {
                break;
            }
            group.push(self.relation()?);
        }
        // `x > 1 and x < 3` is no list of solutions.
        let condition = |id: &Id| match &self.tree.nodes[*id] {
            Node::Relations(_, relations) => relations.iter().any(|relation| relation.orders()),
            _ => false,
        };
        if conjunction && group.iter().any(condition) {
            return Err(Why::Conjunction);
        }
        if !semicolons {
            return self.list(group);
        }
        if !group.is_empty() {
            groups.push(group);
        }
        // `1; 2; 3` is a list like any other, and in brackets semicolons are commas.
        if open.is_some() || groups.iter().all(|group| group.len() == 1) {
            return self.list(groups.concat());
        }
        let tuple = |group| Node::Sequence(Bracket::Paren, Bracket::Paren, group);
        let tuples = groups.into_iter().map(|group| self.push(tuple(group))).collect::<Result<_, _>>()?;
        self.list(tuples)
    }

    pub(crate) fn list(&mut self, items: Vec<Id>) -> Result<Id, Why> {
        match items[..] {
            [one] => Ok(one),
            _ => self.push(Node::List(items)),
        }
    }

    pub(crate) fn relation(&mut self) -> Result<Id, Why> {
        let mut sides = vec![self.operand()?];
        let mut relations = Vec::new();
        while let Some(&Token::Relation(relation)) = self.peek() {
            self.at += 1;
            relations.push(relation);
            sides.push(self.operand()?);
        }
        if relations.is_empty() { Ok(sides[0]) } else { self.push(Node::Relations(sides, relations)) }
    }

    /// Reads a ratio or expression, and a unit after it; or words.
    pub(crate) fn operand(&mut self) -> Result<Id, Why> {
        match self.unit()? {
            Some((words, 1)) => return self.push(Node::Words(words)),
            Some(_) => return Err(Why::Syntax),
            None => {}
        }
        let mut parts = vec![self.expression(0)?];
        while self.eat(&Token::Colon) {
            parts.push(self.expression(0)?);
        }
        let value = if parts.len() == 1 { parts[0] } else { self.push(Node::Ratio(parts))? };
        match self.unit()? {
            Some((words, power)) => self.push(Node::Quantity(value, words, power)),
            None => Ok(value),
        }
    }

    /// Words side by side and the power they are raised to.
    pub(crate) fn unit(&mut self) -> Result<Option<(String, u32)>, Why> {
        let mut words = String::new();
        while let Some(Token::Words(more)) = self.peek() {
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(more);
            self.at += 1;
        }
        if words.is_empty() {
            return Ok(None);
        }
        if !self.eat(&Token::Power) {
            return Ok(Some((words, 1)));
        }
        let grouped = self.eat(&Token::Open(Bracket::Group));
        let power = match self.peek() {
            Some(Token::Number(Number { digits, decimals: 0, .. })) => digits.parse().map_err(|_| Why::Syntax)?,
            _ => return Err(Why::Syntax),
        };
        self.at += 1;
        if grouped {
            self.expect(&Token::Close(Bracket::Group))?;
        }
        Ok(Some((words, power)))
    }

    /// Reads an expression whose operators bind more tightly than `least`.
    pub(crate) fn expression(&mut self, least: u8) -> Result<Id, Why> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Why::TooDeep);
        }
        let mut left = self.prefix()?;
        while let Some(next) = self.infix(left, least)? {
            left = next;
        }
        self.depth -= 1;
        Ok(left)
    }

    /// Reads what follows `left` and joins the two; `None` if that ends the expression.
    pub(crate) fn infix(&mut self, left: Id, least: u8) -> Result<Option<Id>, Why> {
        let Some(token) = self.peek().cloned() else { return Ok(None) };
        let binds = match token {
            Token::Choose => power::CHOOSE,
            Token::Union | Token::Without => power::UNION,
            Token::Intersection => power::INTERSECTION,
            Token::Plus | Token::Minus | Token::PlusMinus | Token::MinusPlus => power::SUM,
            Token::Times | Token::Divide => power::PRODUCT,
            Token::Power => power::POWER,
            Token::Factorial | Token::Percent | Token::Degree | Token::Prime => power::POSTFIX,
            // Money written behind the amount.
            Token::Money(_) => power::POSTFIX,
            _ if self.starts_factor(&token, least) => power::PRODUCT + if least == power::ARGUMENT - 1 { 2 } else { 0 },
            _ => return Ok(None),
        };
        if binds <= least {
            return Ok(None);
        }
        if binds != power::PRODUCT && binds != power::ARGUMENT || matches!(token, Token::Times | Token::Divide) {
            self.at += 1;
        }
        let node = match token {
            Token::Choose => Node::Binomial(left, self.expression(binds)?),
            Token::Union => return self.union(left).map(Some),
            Token::Without => Node::Without(left, self.expression(binds)?),
            Token::Intersection => Node::Intersection(left, self.expression(binds)?),
            Token::Plus => Node::Add(left, self.expression(binds)?),
            // `2024-05-06`
            Token::Minus if self.date_follows() => return Err(Why::Syntax),
            Token::Minus => Node::Sub(left, self.expression(binds)?),
            Token::PlusMinus => Node::Both(Some(left), self.expression(binds)?, false),
            Token::MinusPlus => Node::Both(Some(left), self.expression(binds)?, true),
            Token::Divide => Node::Div(left, self.expression(binds)?),
            Token::Power => Node::Pow(left, self.expression(binds - 1)?),
            Token::Factorial if self.peek() == Some(&Token::Factorial) => return Err(Why::Syntax),
            Token::Factorial => Node::Call(Func::Factorial, left),
            Token::Percent => Node::Percent(left),
            Token::Degree => Node::Degree(left),
            Token::Money(currency) => Node::Money(left, currency),
            Token::Prime => return Err(Why::Syntax),
            // A factor without a sign binds as one with it.
            _ => Node::Mul(left, self.expression(binds)?),
        };
        self.push(node).map(Some)
    }

    fn date_follows(&self) -> bool {
        matches!(self.peek(), Some(Token::Number(number)) if number.decimals == 0 && number.digits.len() == 2
            && number.digits.starts_with('0'))
    }

    pub(crate) fn union(&mut self, first: Id) -> Result<Id, Why> {
        let mut parts = vec![first, self.expression(power::UNION)?];
        while self.eat(&Token::Union) {
            parts.push(self.expression(power::UNION)?);
        }
        self.push(Node::Union(parts))
    }

    /// Returns whether a token starts a factor that follows the one before it without a sign.
    pub(crate) fn starts_factor(&self, token: &Token, least: u8) -> bool {
        let before = self.at.checked_sub(1).and_then(|i| self.tokens.get(i)).map(|spaced| &spaced.token);
        match token {
            Token::Number(_) => !matches!(before, Some(Token::Number(_))),
            // The argument of a function ends where the next function starts.
            Token::Function(_) | Token::Log => least != power::ARGUMENT - 1,
            Token::Symbol(_)
            | Token::Frac
            | Token::Sqrt
            | Token::Cbrt
            | Token::Binom
            | Token::Infinity
            | Token::Begin => true,
            Token::Open(Bracket::Brace) => false,
            Token::Open(_) => true,
            Token::Bar => self.bars == 0,
            _ => false,
        }
    }
}
