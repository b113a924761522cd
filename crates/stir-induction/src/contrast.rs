//! The choice of rollouts to contrast.

use stir_core::{SampleRng, TokenId};
use stir_rollout::sample_stream;

use crate::{Contrast, InductionConfig, Skipped};

/// One answer to a problem: a rollout or its gold solution.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// The number of the rollout; `usize::MAX` for a gold solution.
    pub(crate) k: usize,
    pub(crate) tokens: Vec<TokenId>,
    /// The token that completes control point `m` is at `m - 1`.
    pub(crate) boundaries: Vec<usize>,
    pub(crate) correct: bool,
    /// Finite.
    pub(crate) reward: f64,
}

/// A control point worth contrasting; members by index.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Selection {
    pub(crate) m: usize,
    pub(crate) quality: f64,
    pub(crate) plus: Vec<usize>,
    pub(crate) minus: Vec<usize>,
}

/// Returns the contrasts of problem `id`, by rising `m`. `members` are in order of `k`, which breaks ties.
pub(crate) fn contrasts(
    id: &str,
    members: &[Member],
    config: &InductionConfig,
    skipped: &mut Skipped,
) -> Vec<Selection> {
    let sides = Sides::new(id, members, config.contrast);
    let mut selections = Vec::new();
    for m in 1..=config.max_control_points {
        let reaching = |side: &[usize]| -> Vec<usize> {
            side.iter().copied().filter(|&i| members[i].boundaries.len() >= m).collect()
        };
        let (mut plus, mut minus) = match &sides {
            Sides::Reward { best, worst } => (reaching(best), reaching(worst)),
            Sides::Random { shuffled } => {
                let mut front = reaching(shuffled);
                let back = front.split_off(front.len() / 2);
                (front, back)
            }
        };
        plus.truncate(config.k_pos);
        minus.truncate(config.k_neg);
        if plus.len() < config.min_correct || minus.len() < config.min_incorrect {
            skipped.too_few += usize::from(members.iter().any(|member| member.boundaries.len() >= m));
            continue;
        }
        let gain = mean_reward(members, &plus) - mean_reward(members, &minus);
        let quality = if matches!(sides, Sides::Random { .. }) { gain.max(0.0) } else { gain };
        if quality.is_finite() && (quality > 0.0 || matches!(sides, Sides::Random { .. })) {
            selections.push(Selection { m, quality, plus, minus });
        } else {
            skipped.no_gain += 1;
        }
    }
    selections
}

/// A problem's members in the order in which they are taken.
enum Sides {
    Reward { best: Vec<usize>, worst: Vec<usize> },
    Random { shuffled: Vec<usize> },
}

impl Sides {
    fn new(id: &str, members: &[Member], contrast: Contrast) -> Self {
        match contrast {
            // Forks are compared by other rules, and pooled contrasts do not come here.
            Contrast::Reward | Contrast::Forked | Contrast::Length { .. } | Contrast::Thoughts { .. } => {
                let side = |correct| (0..members.len()).filter(move |&i| members[i].correct == correct);
                let (mut best, mut worst): (Vec<_>, Vec<_>) = (side(true).collect(), side(false).collect());
                // Stable sorts: ties stay in order of k.
                best.sort_by(|&a, &b| members[b].reward.total_cmp(&members[a].reward));
                worst.sort_by(|&a, &b| members[a].reward.total_cmp(&members[b].reward));
                Self::Reward { best, worst }
            }
            Contrast::RandomSplit { seed } => {
                let mut rng = SampleRng::new(seed, sample_stream(id, 0));
                let mut shuffled: Vec<usize> = (0..members.len()).collect();
                for last in (1..shuffled.len()).rev() {
                    shuffled.swap(last, rng.below(last + 1));
                }
                Self::Random { shuffled }
            }
        }
    }
}

/// Returns whether there are right and wrong answers.
pub(crate) fn is_mixed(members: &[Member]) -> bool {
    members.iter().any(|member| member.correct) && members.iter().any(|member| !member.correct)
}

fn mean_reward(members: &[Member], side: &[usize]) -> f64 {
    side.iter().map(|&i| members[i].reward).sum::<f64>() / side.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(correct: bool, reward: f64, reaches: usize) -> Member {
        Member { k: 0, tokens: vec![], boundaries: (0..reaches).collect(), correct, reward }
    }

    fn select(members: &[Member], config: InductionConfig) -> (Vec<Selection>, Skipped) {
        let mut skipped = Skipped::default();
        (contrasts("p", members, &config, &mut skipped), skipped)
    }

    #[test]
    fn the_best_meet_the_worst_and_ties_go_by_k() {
        let members = [
            member(true, 0.5, 2),
            member(false, -0.1, 3),
            member(true, 0.9, 1),
            member(false, -0.2, 1),
            member(true, 0.5, 3),
            member(false, -0.1, 2),
            member(false, -0.1, 2),
        ];
        let (found, skipped) = select(&members, InductionConfig::default());
        let sides: Vec<_> = found.iter().map(|s| (s.m, s.plus.clone(), s.minus.clone())).collect();
        assert_eq!(sides, [(1, vec![2, 0], vec![3, 1, 5]), (2, vec![0, 4], vec![1, 5, 6]), (3, vec![4], vec![1])]);
        assert!((found[0].quality - (0.7 + 0.4 / 3.0)).abs() < 1e-12);
        assert_eq!(skipped, Skipped::default());
        let config = InductionConfig { min_correct: 2, min_incorrect: 3, max_control_points: 2, ..Default::default() };
        assert_eq!(select(&members, config.clone()).0.len(), 2);
        let (found, skipped) = select(&members, InductionConfig { max_control_points: 9, ..config });
        assert_eq!((found.len(), skipped.too_few), (2, 1));
        let (found, _) = select(&members, InductionConfig { k_pos: 1, k_neg: 1, ..Default::default() });
        assert_eq!((&found[0].plus, &found[0].minus), (&vec![2], &vec![3]));
    }

    #[test]
    fn a_contrast_without_gain_is_skipped_unless_it_is_random() {
        let members = [member(true, 0.1, 1), member(false, 0.1, 1)];
        let (found, skipped) = select(&members, InductionConfig::default());
        assert_eq!((found.len(), skipped.no_gain), (0, 1));
        let mut negative = 0;
        for seed in 0..20 {
            let members = [member(true, 1.0, 1), member(false, 0.0, 1)];
            let config = InductionConfig { contrast: Contrast::RandomSplit { seed }, ..Default::default() };
            let (found, _) = select(&members, config);
            assert_eq!(found[0].quality, if found[0].plus == [0] { 1.0 } else { 0.0 });
            negative += usize::from(found[0].plus == [1]);
        }
        assert!((1..20).contains(&negative));
    }

    #[test]
    fn a_random_split_depends_on_seed_and_problem_alone() {
        let members: Vec<_> = (0..8).map(|i| member(i < 4, i as f64, 1 + i % 3)).collect();
        let split = |seed, id: &str| {
            let config =
                InductionConfig { k_pos: 8, k_neg: 8, contrast: Contrast::RandomSplit { seed }, ..Default::default() };
            contrasts(id, &members, &config, &mut Skipped::default())
        };
        assert_eq!(split(1, "a"), split(1, "a"));
        assert!(split(1, "a") != split(2, "a") && split(1, "a") != split(1, "b"));
        for selection in split(1, "a") {
            let reaching = members.iter().filter(|m| m.boundaries.len() >= selection.m).count();
            assert_eq!((selection.plus.len(), selection.minus.len()), (reaching / 2, reaching - reaching / 2));
        }
    }
}
