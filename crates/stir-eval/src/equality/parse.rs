use super::{
    algebra::Func,
    budget::{MAX_DEPTH, MAX_NODES},
    lex::{Bracket, Number, Relation, Spaced, Token},
    why::Why,
};

/// A node of a [`Tree`], by its place there.
pub(super) type Id = usize;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Number(Number),
    Symbol(String),
    Infinity,
    Empty,
    Words(String),
    /// Digits and the base they are in.
    Based(String, u32),
    Neg(Id),
    Add(Id, Id),
    Sub(Id, Id),
    Mul(Id, Id),
    Div(Id, Id),
    Pow(Id, Id),
    /// `\pm` before a term, and whether it is `\mp`.
    Both(Option<Id>, Id, bool),
    /// Degree and radicand.
    Root(Option<Id>, Id),
    Call(Func, Id),
    /// Base and argument.
    Log(Id, Id),
    Apply(String, Vec<Id>),
    Binomial(Id, Id),
    Percent(Id),
    Degree(Id),
    Money(Id),
    /// A value, the words of its unit, and their power.
    Quantity(Id, String, u32),
    Ratio(Vec<Id>),
    List(Vec<Id>),
    Sequence(Bracket, Bracket, Vec<Id>),
    Table(Vec<Vec<Id>>),
    Relations(Vec<Id>, Vec<Relation>),
    Union(Vec<Id>),
    Intersection(Id, Id),
    Without(Id, Id),
}

/// An answer as a tree. Children stand before their parents, so walking and dropping need no recursion.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Id,
}

/// How tightly operators bind.
mod power {
    pub(super) const CHOOSE: u8 = 1;
    pub(super) const UNION: u8 = 2;
    pub(super) const INTERSECTION: u8 = 4;
    pub(super) const SUM: u8 = 10;
    pub(super) const PRODUCT: u8 = 20;
    pub(super) const ARGUMENT: u8 = 22;
    pub(super) const SIGN: u8 = 24;
    pub(super) const POWER: u8 = 40;
    pub(super) const POSTFIX: u8 = 50;
}

/// Names that are functions where a bracket follows.
const FUNCTION_NAMES: [&str; 4] = ["f", "g", "F", "G"];

/// Reads an answer.
///
/// # Errors
///
/// [`Why::Syntax`] where it is no formula, and the limits of `budget.rs`.
pub(super) fn parse(tokens: Vec<Spaced>) -> Result<Tree, Why> {
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

struct Parser {
    tokens: Vec<Spaced>,
    at: usize,
    tree: Tree,
    depth: usize,
    /// Open bars of absolute values: inside, a bar after a term closes.
    bars: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|spaced| &spaced.token)
    }

    fn eat(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, token: &Token) -> Result<(), Why> {
        if self.eat(token) { Ok(()) } else { Err(Why::Syntax) }
    }

    fn push(&mut self, node: Node) -> Result<Id, Why> {
        if self.tree.nodes.len() >= MAX_NODES {
            return Err(Why::TooManyParts);
        }
        self.tree.nodes.push(node);
        Ok(self.tree.nodes.len() - 1)
    }

    /// Elements up to a closing bracket (left unread) or the end: one stands for itself, more are a list. Semicolons
    /// separate tuples.
    fn items(&mut self, open: Option<Bracket>) -> Result<Id, Why> {
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

    fn list(&mut self, items: Vec<Id>) -> Result<Id, Why> {
        match items[..] {
            [one] => Ok(one),
            _ => self.push(Node::List(items)),
        }
    }

    fn relation(&mut self) -> Result<Id, Why> {
        let mut sides = vec![self.operand()?];
        let mut relations = Vec::new();
        while let Some(&Token::Relation(relation)) = self.peek() {
            self.at += 1;
            relations.push(relation);
            sides.push(self.operand()?);
        }
        if relations.is_empty() { Ok(sides[0]) } else { self.push(Node::Relations(sides, relations)) }
    }

    /// A ratio or expression, and a unit after it; or words.
    fn operand(&mut self) -> Result<Id, Why> {
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
    fn unit(&mut self) -> Result<Option<(String, u32)>, Why> {
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

    /// An expression whose operators bind more tightly than `least`.
    fn expression(&mut self, least: u8) -> Result<Id, Why> {
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

    /// What stands after `left`, joined with it; `None` where that ends the expression.
    fn infix(&mut self, left: Id, least: u8) -> Result<Option<Id>, Why> {
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
            Token::Money => power::POSTFIX,
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
            Token::Minus => Node::Sub(left, self.expression(binds)?),
            Token::PlusMinus => Node::Both(Some(left), self.expression(binds)?, false),
            Token::MinusPlus => Node::Both(Some(left), self.expression(binds)?, true),
            Token::Divide => Node::Div(left, self.expression(binds)?),
            Token::Power => Node::Pow(left, self.expression(binds - 1)?),
            Token::Factorial if self.peek() == Some(&Token::Factorial) => return Err(Why::Syntax),
            Token::Factorial => Node::Call(Func::Factorial, left),
            Token::Percent => Node::Percent(left),
            Token::Degree => Node::Degree(left),
            Token::Money => Node::Money(left),
            Token::Prime => return Err(Why::Syntax),
            // A factor without a sign binds as one with it.
            _ => Node::Mul(left, self.expression(binds)?),
        };
        self.push(node).map(Some)
    }

    fn union(&mut self, first: Id) -> Result<Id, Why> {
        let mut parts = vec![first, self.expression(power::UNION)?];
        while self.eat(&Token::Union) {
            parts.push(self.expression(power::UNION)?);
        }
        self.push(Node::Union(parts))
    }

    /// Whether a token starts a factor that stands beside the one before it without a sign.
    fn starts_factor(&self, token: &Token, least: u8) -> bool {
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

    fn prefix(&mut self) -> Result<Id, Why> {
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
            Token::Money => {
                let amount = self.expression(power::SIGN)?;
                self.push(Node::Money(amount))
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

    fn number(&mut self, number: Number) -> Result<Id, Why> {
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

    /// The fraction of a mixed number: `\frac` of literal integers, or `1/2` after a space.
    fn fraction_after_whole(&mut self) -> Result<Option<Id>, Why> {
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

    /// The digits of the two arguments of a fraction at `at`, where both are literal integers.
    fn literal_fraction(&self, at: usize) -> Option<(String, String)> {
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

    fn literal(&mut self, digits: String) -> Result<Id, Why> {
        self.push(Node::Number(Number { digits, decimals: 0, repeating: 0, exponent: 0 }))
    }

    fn symbol(&mut self, mut name: String) -> Result<Id, Why> {
        while self.eat(&Token::Prime) {
            name.push('\'');
        }
        if self.eat(&Token::Under) {
            name.push('_');
            name.push_str(&self.subscript()?);
        }
        let bare = name.split(['_', '\'']).next().unwrap_or(&name);
        if FUNCTION_NAMES.contains(&bare) && self.eat(&Token::Open(Bracket::Paren)) {
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

    /// What a subscript says, letter by letter.
    fn subscript(&mut self) -> Result<String, Why> {
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

    /// An argument of a command: a group, a bracket or one term; of a fraction, one digit.
    fn argument(&mut self, one_digit: bool) -> Result<Id, Why> {
        if let (true, Some(Token::Number(number))) = (one_digit, self.tokens.get_mut(self.at).map(|s| &mut s.token))
            && number.digits.len() > 1
            && number.decimals == 0
        {
            let digit = number.digits.remove(0);
            return self.literal(digit.to_string());
        }
        self.expression(power::POSTFIX)
    }

    fn function(&mut self, func: Func) -> Result<Id, Why> {
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

    fn is_minus_one(&self, id: Id) -> bool {
        let one = |id: Id| matches!(&self.tree.nodes[id], Node::Number(n) if n.digits == "1" && n.decimals == 0);
        matches!(&self.tree.nodes[id], &Node::Neg(of) if one(of))
    }

    /// A bracket, or factors up to the next sign or function.
    fn function_argument(&mut self) -> Result<Id, Why> {
        if matches!(self.peek(), Some(Token::Open(Bracket::Paren | Bracket::Group))) {
            return self.prefix();
        }
        self.expression(power::ARGUMENT - 1)
    }

    fn log(&mut self) -> Result<Id, Why> {
        if !self.eat(&Token::Under) {
            return self.function(Func::Log);
        }
        let base = self.argument(true)?;
        let arg = self.function_argument()?;
        self.push(Node::Log(base, arg))
    }

    fn bracket(&mut self, open: Bracket) -> Result<Id, Why> {
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

    fn absolute(&mut self) -> Result<Id, Why> {
        self.bars += 1;
        let inside = self.expression(0)?;
        self.bars -= 1;
        self.expect(&Token::Bar)?;
        self.push(Node::Call(Func::Abs, inside))
    }

    fn table(&mut self) -> Result<Id, Why> {
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
