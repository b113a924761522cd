//! What must hold in a control, as a paired test of two ways of answering the same problems.

use std::fmt;

use stir::report::stats::mcnemar;

/// The error rate of every test: with one in a hundred, a table of all controls is seldom wrong by chance.
pub(super) const ALPHA: f64 = 0.01;

/// A way of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// Greedy decoding.
    Plain,
    /// STIR with the published settings.
    Published,
    /// The mean of the published library's vectors at every control point.
    Static,
    /// STIR with the sounder settings, its entries validated on problems of their own.
    Sound,
}

impl Way {
    pub(super) const ALL: [Self; 4] = [Self::Plain, Self::Published, Self::Static, Self::Sound];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Published => "published",
            Self::Static => "static",
            Self::Sound => "sound",
        }
    }
}

/// Something that must hold of the answers to the problems of a control.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Claim {
    /// The first way solves significantly more problems than the second.
    Better(Way, Way),
    /// The first way solves significantly fewer problems than the second.
    Worse(Way, Way),
    /// Neither way solves significantly more problems.
    Same(Way, Way),
    /// The first way does not solve significantly fewer problems than the second.
    NotWorse(Way, Way),
}

impl Claim {
    /// The two ways that are compared.
    pub(super) fn ways(self) -> [Way; 2] {
        match self {
            Self::Better(a, b) | Self::Worse(a, b) | Self::Same(a, b) | Self::NotWorse(a, b) => [a, b],
        }
    }

    /// Tests the claim on the verdicts on the two ways' answers, problem by problem.
    pub(super) fn test(self, verdicts: [&[bool]; 2]) -> Test {
        let pairs = || verdicts[0].iter().zip(verdicts[1]);
        let wins = pairs().filter(|(a, b)| **a && !**b).count();
        let losses = pairs().filter(|(a, b)| !**a && **b).count();
        let p = mcnemar(wins, losses).exact;
        let differs = p < ALPHA;
        let holds = match self {
            Self::Better(..) => differs && wins > losses,
            Self::Worse(..) => differs && losses > wins,
            Self::Same(..) => !differs,
            Self::NotWorse(..) => !(differs && losses > wins),
        };
        Test { wins, losses, p, holds }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = self.ways().map(Way::name);
        match self {
            Self::Better(..) => write!(f, "{a} better than {b}"),
            Self::Worse(..) => write!(f, "{a} worse than {b}"),
            Self::Same(..) => write!(f, "{a} no different from {b}"),
            Self::NotWorse(..) => write!(f, "{a} not worse than {b}"),
        }
    }
}

/// The outcome of a claim's test: McNemar's, exact and two-sided, at the level [`ALPHA`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Test {
    /// The problems that only the first way solves.
    pub wins: usize,
    /// The problems that only the second way solves.
    pub losses: usize,
    pub p: f64,
    pub holds: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verdicts with so many wins and losses of the first way.
    fn verdicts(wins: usize, losses: usize) -> [Vec<bool>; 2] {
        let first = [vec![true; wins], vec![false; losses], vec![true; 50]].concat();
        let second = [vec![false; wins], vec![true; losses], vec![true; 50]].concat();
        [first, second]
    }

    #[test]
    fn a_claim_holds_by_the_test_and_not_by_the_eye() {
        let (a, b) = (Way::Published, Way::Plain);
        for (wins, losses, better, worse, same, not_worse) in [
            (30, 5, true, false, false, true),
            (5, 30, false, true, false, false),
            (7, 1, false, false, true, true), // p = 0.07
            (1, 7, false, false, true, true),
            (0, 0, false, false, true, true),
        ] {
            let [first, second] = verdicts(wins, losses);
            let holds = |claim: Claim| claim.test([&first, &second]).holds;
            let found = [Claim::Better(a, b), Claim::Worse(a, b), Claim::Same(a, b), Claim::NotWorse(a, b)].map(holds);
            assert_eq!(found, [better, worse, same, not_worse], "{wins}/{losses}");
            let test = Claim::Same(a, b).test([&first, &second]);
            assert_eq!((test.wins, test.losses), (wins, losses));
        }
    }
}
