//! A decision and the rule that made it.

use super::{options::Options, why::Why};
use crate::Verdict;

/// The rule that decided; its name is the `rule` of a [`Grade`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    Identical,
    Choice,
    Text,
    Number,
    Rounded,
    Expression,
    Percent,
    Degrees,
    Unit,
    Base,
    Modulus,
    Ratio,
    Tuple,
    List,
    Set,
    Interval,
    Matrix,
    Assignment,
    Equation,
    Inequality,
    Forms,
    Unread,
    Limits,
}

impl Rule {
    /// Returns the name of the rule, as `docs/grading.md` lists it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Identical => "identical",
            Self::Choice => "choice",
            Self::Text => "text",
            Self::Number => "number",
            Self::Rounded => "rounded",
            Self::Expression => "expression",
            Self::Percent => "percent",
            Self::Degrees => "degrees",
            Self::Unit => "unit",
            Self::Base => "base",
            Self::Modulus => "modulus",
            Self::Ratio => "ratio",
            Self::Tuple => "tuple",
            Self::List => "list",
            Self::Set => "set",
            Self::Interval => "interval",
            Self::Matrix => "matrix",
            Self::Assignment => "assignment",
            Self::Equation => "equation",
            Self::Inequality => "inequality",
            Self::Forms => "forms",
            Self::Unread => "unread",
            Self::Limits => "limits",
        }
    }
}

/// The verdict of a rule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    pub(crate) rule: Rule,
    pub(crate) why: Option<Why>,
}

impl Decision {
    pub(crate) fn equal(rule: Rule) -> Self {
        Self { verdict: Verdict::Equal, rule, why: None }
    }

    pub(crate) fn different(rule: Rule) -> Self {
        Self { verdict: Verdict::Different, rule, why: None }
    }

    pub(crate) fn unclear(rule: Rule, why: Why) -> Self {
        Self { verdict: Verdict::Unclear, rule, why: Some(why) }
    }

    /// Returns the same decision, where one of the answers leaves out what the other says.
    pub(crate) fn left_out(self, options: &Options) -> Self {
        match self.verdict {
            Verdict::Equal if options.complete => Self::unclear(self.rule, Why::LeftOut),
            _ => self,
        }
    }

    /// Returns the same decision, made by the rule around the one that made it.
    pub(crate) fn by(mut self, rule: Rule) -> Self {
        self.rule = rule;
        self
    }
}
