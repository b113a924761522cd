//! The problems of a run while their answers are read.

mod forks;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    iter::{Fuse, Peekable},
};

use stir_basis::{Pair, StateMean};
use stir_core::{Session, Text, TokenId};
use stir_files::Share;
use stir_rollout::{Fork, Rollout, RolloutError};
use tracing::{debug, warn};

use crate::{
    Contrast, Induction, InductionError, InductionReport, Progress,
    contrast::{Member, Selection, contrasts, is_mixed},
    mine::{ForkGroups, Observer},
    pool::Pool,
    problem::{Boundary, Comparison, Problem, Reading},
    read::{Reader, encoded},
    statistics::{Correction, Statistics},
    walk::{Walk, Walked},
};

/// The order in which a pair is discovered: problem, comparison, layer.
type Discovery = (usize, usize, usize);

pub(crate) struct Miner<'r, 'e, E: Text, I> {
    run: &'r Induction<'e, E>,
    rollouts: Fuse<I>,
    forks: Option<Peekable<Box<ForkGroups<'e>>>>,
    observer: Option<Box<Observer<'e>>>,
    total: Option<usize>,
    /// Answers of the last problem begun, waiting for room.
    ready: VecDeque<Walk<'r, E::Session>>,
    /// Problems with answers that are still running: no more than the batch has room for.
    pending: BTreeMap<usize, Problem>,
    pool: Pool<Discovery, (Pair, Option<Correction>)>,
    statistics: Option<Statistics>,
    /// Problems that have been read and whose states wait for those of problems before them: sums are taken in order.
    read: BTreeMap<usize, Problem>,
    report: InductionReport,
    /// The problems seen so far, where only a part of them is mined.
    share: Option<Share>,
}

impl<'r, 'e, E: Text, I> Miner<'r, 'e, E, I>
where
    I: Iterator<Item = Result<Vec<Rollout>, RolloutError>>,
{
    pub(crate) fn new(
        run: &'r Induction<'e, E>,
        rollouts: I,
        forks: Option<Box<ForkGroups<'e>>>,
        observer: Option<Box<Observer<'e>>>,
    ) -> Self {
        let found = vec![0; run.config.max_control_points];
        Self {
            run,
            total: rollouts.size_hint().1.map(|total| run.shard.map_or(total, |shard| shard.len_of(total))),
            rollouts: rollouts.fuse(),
            forks: forks.map(Iterator::peekable),
            observer,
            ready: VecDeque::new(),
            pending: BTreeMap::new(),
            pool: Pool::new(run.config.keep),
            statistics: Statistics::new(&run.config, &run.layers, run.engine.shape().hidden_size),
            read: BTreeMap::new(),
            report: InductionReport { found, complete: true, ..InductionReport::default() },
            share: run.shard.map(|shard| Share { shard, total: 0, problems: Vec::new() }),
        }
    }

    /// Returns the next answer to be encoded; begins problems until one needs some.
    pub(crate) fn next_walk(&mut self) -> Result<Option<Walk<'r, E::Session>>, InductionError<E::Error>> {
        loop {
            if let Some(walk) = self.ready.pop_front() {
                return Ok(Some(walk));
            }
            if !self.report.complete {
                return Ok(None);
            }
            let Some(group) = self.rollouts.next().transpose()? else { return Ok(None) };
            if !self.is_own(&group)? {
                continue;
            }
            let InductionReport { problems, encoded_tokens: tokens, .. } = self.report;
            let progress = Progress { problems, total: self.total, pairs: self.pool.len(), tokens };
            if self.observer.as_mut().is_some_and(|observer| observer(progress).is_break()) {
                self.report.complete = false;
            } else {
                self.begin(&group)?;
            }
        }
    }

    /// Returns whether the next problem is one of the part that is mined; passes over the forks of one that is not.
    fn is_own(&mut self, group: &[Rollout]) -> Result<bool, InductionError<E::Error>> {
        let Some(share) = &mut self.share else { return Ok(true) };
        let (id, is_own) = (group.first().map(|rollout| rollout.id.as_str()), share.shard.contains(share.total));
        share.total += 1;
        if is_own {
            share.problems.push(id.unwrap_or_default().to_owned());
        } else if let Some(id) = id {
            self.forks_of(id)?;
        }
        Ok(is_own)
    }

    /// Takes what was seen of the problems, where only a part of them is mined.
    pub(crate) fn share(&mut self) -> Option<Share> {
        self.share.take()
    }

    /// Decides what the comparisons of a problem are and prepares the answers that they need.
    fn begin(&mut self, group: &[Rollout]) -> Result<(), InductionError<E::Error>> {
        let place = self.report.problems;
        self.report.problems += 1;
        self.report.rollouts += group.len();
        let Some(Rollout { id, prompt, .. }) = group.first() else { return Ok(()) };
        let forks = self.forks_of(id)?;
        let Ok(prompt_tokens) = self.run.engine.encode_prompt(prompt) else {
            warn!(id, "skipped a problem whose prompt the tokenizer refuses");
            self.report.skipped.unencodable_prompts += 1;
            return Ok(());
        };
        let reader = Reader { engine: self.run.engine, config: &self.run.config, solutions: &self.run.solutions };
        let members = reader.members(group, prompt, prompt_tokens.len(), &mut self.report.skipped);
        if self.run.config.contrast == Contrast::Forked {
            self.begin_forked(place, group, &members, &forks, &prompt_tokens)
        } else {
            self.begin_rollouts(place, id, &members, &prompt_tokens).map_err(InductionError::Engine)
        }
    }

    /// Compares the rollouts of a problem with each other.
    fn begin_rollouts(
        &mut self,
        place: usize,
        id: &str,
        members: &[Member],
        prompt_tokens: &[TokenId],
    ) -> Result<(), E::Error> {
        let selections = contrasts(id, members, &self.run.config, &mut self.report.skipped);
        let comparisons = selections.into_iter().map(|selection| comparison(selection, members)).collect();
        let is_contrasted = self.count(id, &comparisons);
        let mut problem =
            Problem { id: id.to_owned(), comparisons: self.admit(place, comparisons), ..Problem::default() };
        let mut stops: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        if self.statistics.is_some() && (is_contrasted || is_mixed(members)) {
            problem.sides = sides(members, self.run.config.max_control_points);
            problem.all = problem.sides.concat();
        }
        let readings =
            problem.comparisons.iter().flat_map(|(_, comparison)| comparison.plus.iter().chain(&comparison.minus));
        for reading in readings.chain(&problem.all) {
            stops.entry(reading.walk).or_default().insert(reading.at);
        }
        if stops.is_empty() {
            return Ok(());
        }
        let prefix = encoded(self.run.engine, prompt_tokens)?;
        self.report.encoded_tokens += prompt_tokens.len();
        for (member, stops) in stops {
            self.walk(&mut problem, place, (member, &members[member].tokens), &prefix, 0, stops);
        }
        self.pending.insert(place, problem);
        Ok(())
    }

    /// Prepares one answer, by number and tokens, to be read at `stops`; `session` holds the first `done` of its tokens.
    fn walk(
        &mut self,
        problem: &mut Problem,
        place: usize,
        (number, tokens): (usize, &[TokenId]),
        session: &E::Session,
        done: usize,
        stops: BTreeSet<usize>,
    ) {
        let tokens = tokens[..stops.last().map_or(0, |last| last + 1)].to_vec();
        self.report.encoded_tokens += tokens.len() - done;
        self.report.encoded_rollouts += 1;
        problem.missing += 1;
        let stops = stops.into_iter().collect();
        self.ready.push_back(Walk::new(session.fork(), tokens, done, stops, &self.run.points, place, number));
    }

    /// Returns the forks of the problem that begins.
    fn forks_of(&mut self, id: &str) -> Result<Vec<Fork>, InductionError<E::Error>> {
        let Some(forks) = &mut self.forks else { return Ok(Vec::new()) };
        let is_next = |group: &Result<Vec<Fork>, RolloutError>| match group {
            Ok(forks) => forks.first().is_none_or(|fork| fork.id == id),
            Err(_) => true,
        };
        Ok(forks.next_if(is_next).transpose()?.unwrap_or_default())
    }

    /// Counts the comparisons of a problem; returns whether there are any.
    fn count(&mut self, id: &str, comparisons: &Vec<Comparison>) -> bool {
        debug!(id, comparisons = comparisons.len(), "contrasted");
        self.report.with_contrast += usize::from(!comparisons.is_empty());
        for Comparison { m, .. } in comparisons {
            match m.checked_sub(1) {
                Some(place) => self.report.found[place] += 1,
                None => self.report.found_at_prompt += 1,
            }
        }
        !comparisons.is_empty()
    }

    /// Returns the comparisons whose pairs may be kept, with their places.
    fn admit(&mut self, place: usize, comparisons: Vec<Comparison>) -> Vec<(usize, Comparison)> {
        // Layers share quality and order: if the first is outranked, so are all.
        let (pool, first, before) = (&self.pool, self.run.layers[0], comparisons.len());
        let admits = |(at, comparison): &(usize, Comparison)| pool.admits(comparison.quality, &(place, *at, first));
        let admitted: Vec<_> = comparisons.into_iter().enumerate().filter(admits).collect();
        self.report.skipped.outranked += before - admitted.len();
        admitted
    }

    /// Takes the states of one answer; the problem's pairs are made once all are there.
    pub(crate) fn take(&mut self, Walked { problem: place, member, states }: Walked) {
        let Some(pending) = self.pending.get_mut(&place) else { return };
        pending.states.extend(states.into_iter().map(|(token, state)| ((member, token), state)));
        pending.missing -= 1;
        if pending.missing > 0 {
            return;
        }
        let Some(finished) = self.pending.remove(&place) else { return };
        for (at, comparison) in &finished.comparisons {
            let sides = self.statistics.as_ref().map(|statistics| statistics.sides(comparison));
            for (slot, &layer) in self.run.layers.iter().enumerate() {
                let pair = finished.pair(comparison, slot, layer);
                let vector = pair.steering_vector();
                if pair.mu_plus.iter().chain(&pair.mu_minus).chain(&vector).all(|x| x.is_finite()) {
                    self.pool.push(pair.quality, (place, *at, layer), (pair, sides.clone()));
                } else {
                    warn!(id = pair.problem, m = pair.m, layer, "skipped a pair whose states are not finite");
                    self.report.skipped.non_finite_pairs += 1;
                }
            }
        }
        if let Some(statistics) = &mut self.statistics {
            self.read.insert(place, finished);
            let first = self.pending.keys().next().copied().unwrap_or(usize::MAX);
            while let Some(next) = self.read.first_entry().filter(|next| *next.key() < first) {
                statistics.add(&next.remove());
            }
        }
    }

    /// Returns the pairs that were kept, best first, the means to keep, and the counts.
    #[expect(clippy::type_complexity, reason = "it has one caller")]
    pub(crate) fn finish(mut self) -> Result<(Vec<Pair>, Vec<StateMean>, InductionReport), InductionError<E::Error>> {
        if let Some(forks) = self.forks.as_mut().and_then(Iterator::next).filter(|_| self.report.complete) {
            let id = forks?.first().map(|fork| fork.id.clone()).unwrap_or_default();
            return Err(InductionError::UnmatchedForks { id });
        }
        self.report.kept = self.pool.len();
        let best = self.pool.into_best();
        let Some(statistics) = self.statistics else {
            return Ok((best.map(|(pair, _)| pair).collect(), vec![], self.report));
        };
        let mut pairs: Vec<(Pair, Correction)> = best.filter_map(|(pair, sides)| Some((pair, sides?))).collect();
        let (estimates, means) = statistics.correct(&mut pairs)?;
        let report = InductionReport { estimates, ..self.report };
        Ok((pairs.into_iter().map(|(pair, _)| pair).collect(), means, report))
    }
}

/// Returns the boundaries of an answer, by control point.
fn boundaries(member: &Member) -> impl Iterator<Item = Boundary> {
    let length = member.tokens.len();
    (1..).zip(&member.boundaries).map(move |(m, &token)| Boundary { m, token, length })
}

/// Returns the readings of a problem's rollouts by control point and judgement.
fn sides(members: &[Member], max_control_points: usize) -> Vec<Vec<Reading>> {
    let at = |m: usize, correct: bool| {
        let members = members.iter().enumerate().filter(move |(_, member)| member.correct == correct);
        let readings = members.filter_map(move |(walk, member)| {
            let boundary = boundaries(member).nth(m - 1)?;
            Some(Reading { walk, at: boundary.token, boundary })
        });
        readings.collect::<Vec<_>>()
    };
    let most = members.iter().map(|member| member.boundaries.len()).max().unwrap_or_default();
    (1..=most.min(max_control_points)).flat_map(|m| [at(m, true), at(m, false)]).collect()
}

fn comparison(selection: Selection, members: &[Member]) -> Comparison {
    let Selection { m, quality, plus, minus } = selection;
    let reading = |walk: usize| {
        let Member { tokens, boundaries, .. } = &members[walk];
        let token = boundaries[m - 1];
        Reading { walk, at: token, boundary: Boundary { m, token, length: tokens.len() } }
    };
    let side = |side: Vec<usize>| side.into_iter().map(reading).collect();
    Comparison { m, quality, quality_error: None, context: None, plus: side(plus), minus: side(minus) }
}
