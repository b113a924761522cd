//! Flags of what makes a library: rollouts, forks, contrasts, selection.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use miette::{Result, bail, ensure};
use stir::{
    basis::{BasisConfig, SelectionMethod},
    core::{Delimiter, LayerSpec},
    induction::{Contrast, InductionConfig, PositiveSource, Preset},
    rollout::{ForkConfig, RolloutConfig},
};

use super::SamplingArgs;
use crate::typed::{delimiter, escaped, named};

/// Settings of how rollouts are drawn and rewarded.
#[derive(clap::Args, Debug)]
pub(crate) struct RolloutArgs {
    /// Samples per problem (K)
    #[arg(long, value_name = "N", default_value_t = RolloutConfig::default().samples)]
    pub(crate) samples: usize,
    /// Most new tokens of a sample (T_max)
    #[arg(long, value_name = "N", default_value_t = RolloutConfig::default().max_tokens)]
    pub(crate) max_tokens: usize,
    /// The share of its reward that a sample of T_max tokens loses
    #[arg(long, value_name = "X", default_value_t = RolloutConfig::default().eta)]
    pub(crate) eta: f64,
    /// Most samples decoded at the same time; the results do not depend on it
    #[arg(long, alias = "width", value_name = "N", default_value_t = RolloutConfig::default().max_batch)]
    pub(crate) max_batch: usize,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

impl RolloutArgs {
    /// Returns the settings of stage 1.
    pub(crate) fn config(&self, seed: u64) -> RolloutConfig {
        let default = RolloutConfig::default();
        RolloutConfig {
            samples: self.samples,
            max_tokens: self.max_tokens,
            eta: self.eta,
            sampling: self.sampling.over(default.sampling),
            stop: self.sampling.stop.clone(),
            seed,
            max_batch: self.max_batch,
        }
    }
}

/// Settings of how continuations from boundaries are drawn.
#[derive(clap::Args, Debug)]
pub(crate) struct ForkArgs {
    /// Continuations of a boundary (R); the second half is drawn only where the first has right and wrong ones
    #[arg(long, value_name = "N", default_value_t = ForkConfig::default().continuations)]
    continuations: usize,
    /// Most right continuations of a boundary, and most wrong ones, whose next boundaries are sampled
    #[arg(long, value_name = "N", default_value_t = ForkConfig::default().children)]
    children: usize,
    /// Last control point whose boundaries are sampled
    #[arg(long, alias = "points", value_name = "N", default_value_t = ForkConfig::default().max_control_points)]
    max_control_points: usize,
    /// Most continuations of a problem
    #[arg(long, value_name = "N", default_value_t = ForkConfig::default().per_problem)]
    per_problem: usize,
    /// Text that ends a segment; \n, \r, \t and \\ are understood
    #[arg(long, value_name = "TEXT", default_value = segment_end(), value_parser = delimiter)]
    delimiter: Delimiter,
    /// Most tokens of an answer (T_max), those before the boundary included
    #[arg(long, value_name = "N", default_value_t = ForkConfig::default().max_tokens)]
    max_tokens: usize,
    /// Most continuations decoded at the same time; the results do not depend on it
    #[arg(long, alias = "width", value_name = "N", default_value_t = ForkConfig::default().max_batch)]
    max_batch: usize,
    #[command(flatten)]
    sampling: SamplingArgs,
}

impl ForkArgs {
    /// Returns the settings of the forks.
    pub(crate) fn config(&self, seed: u64) -> ForkConfig {
        ForkConfig {
            continuations: self.continuations,
            children: self.children,
            max_control_points: self.max_control_points,
            per_problem: self.per_problem,
            delimiter: self.delimiter.clone(),
            max_tokens: self.max_tokens,
            sampling: self.sampling.over(ForkConfig::default().sampling),
            stop: self.sampling.stop.clone(),
            seed,
            max_batch: self.max_batch,
        }
    }
}

/// Settings of what is contrasted.
#[derive(clap::Args, Debug)]
pub(crate) struct InductionArgs {
    #[command(flatten)]
    boundaries: BoundaryArgs,
    /// Settings by name: published, or sound (--contrast forked --center --deconfound --shrink); flags come on top
    #[arg(long, default_value_t, value_parser = PossibleValuesParser::new(["published", "sound"])
        .try_map(|name| name.parse::<Preset>()))]
    preset: Preset,
    /// Most successes in a contrast, the best ones (K_pos)
    #[arg(long, value_name = "N", default_value_t = InductionConfig::default().k_pos)]
    k_pos: usize,
    /// Most failures in a contrast, the worst ones (K_neg)
    #[arg(long, value_name = "N", default_value_t = InductionConfig::default().k_neg)]
    k_neg: usize,
    /// Fewest successes at a control point that is used
    #[arg(long, value_name = "N", default_value_t = InductionConfig::default().min_correct)]
    min_correct: usize,
    /// Fewest failures at a control point that is used
    #[arg(long, value_name = "N", default_value_t = InductionConfig::default().min_incorrect)]
    min_incorrect: usize,
    /// Most pairs kept of the whole run (C)
    #[arg(long, value_name = "N", default_value_t = InductionConfig::default().keep)]
    keep: usize,
    /// The source of successes
    #[arg(long, default_value = "rollout", value_parser = PossibleValuesParser::new(["rollout", "gold", "rollout_or_gold"])
        .try_map(named::<PositiveSource>))]
    positives: PositiveSource,
    /// What is contrasted: the best right rollouts with the worst wrong ones; right and wrong continuations of the same
    /// boundary; as an ablation, one random half of a problem's rollouts with the other; for baselines with one vector,
    /// short right ones with long right ones (ASC), or segments that carry on with those that check or turn back (SEAL)
    /// [default: reward, with the preset sound forked]
    #[arg(long, value_parser = PossibleValuesParser::new(["reward", "forked", "random_split", "length", "thoughts"]))]
    contrast: Option<String>,
    /// Most nats by which the one vector of --contrast length or thoughts may move the distribution of the next token
    /// [default: no bound, its length is kept]
    #[arg(long, value_name = "X")]
    max_kl: Option<f64>,
    /// With --contrast thoughts, keep only boundaries from which at least this share of segments drawn anew are of the
    /// kind of the one that followed [default: keep all]
    #[arg(long, value_name = "SHARE")]
    stable: Option<f64>,
    /// Keep mean states, so that retrieval compares what tells states apart [default: false, with the preset sound true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    center: Option<bool>,
    /// Take out of the vectors what length, position and control point explain [default: false, with the preset sound
    /// true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    deconfound: Option<bool>,
    /// Draw vectors toward the mean of those of similar states, by their share of noise [default: false, with the preset
    /// sound true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    shrink: Option<bool>,
    /// T_max of the rollouts; rewards a gold solution
    #[arg(long, value_name = "N", default_value_t = InductionConfig::default().max_tokens)]
    max_tokens: usize,
    /// Eta of the rollouts; rewards a gold solution
    #[arg(long, value_name = "X", default_value_t = InductionConfig::default().eta)]
    eta: f64,
}

/// Settings of which states of rollouts are read.
#[derive(clap::Args, Debug)]
pub(crate) struct BoundaryArgs {
    /// Layers to read, separated by commas: indices (18, -1) or relative depths (0.6, 3/5)
    #[arg(long, value_name = "LAYERS", value_delimiter = ',', default_value = layers(), allow_hyphen_values = true)]
    layers: Vec<LayerSpec>,
    /// Control points per problem (M)
    #[arg(long, alias = "points", value_name = "N", default_value_t = InductionConfig::default().max_control_points)]
    max_control_points: usize,
    /// Text that ends a segment; \n, \r, \t and \\ are understood
    #[arg(long, value_name = "TEXT", default_value = segment_end(), value_parser = delimiter)]
    delimiter: Delimiter,
    /// Most rollouts encoded at the same time; the result does not depend on it
    #[arg(long, alias = "width", value_name = "N", default_value_t = InductionConfig::default().max_batch)]
    max_batch: usize,
    /// Go on even if the rollouts were sampled by another quantisation or number type of the model
    #[arg(long)]
    allow_requantised: bool,
}

impl BoundaryArgs {
    /// Returns the settings of stage 2 that say which states it reads, with the defaults of what it does with them.
    pub(crate) fn config(&self) -> InductionConfig {
        InductionConfig {
            layers: self.layers.clone(),
            max_control_points: self.max_control_points,
            delimiter: self.delimiter.clone(),
            max_batch: self.max_batch,
            allow_requantised: self.allow_requantised,
            ..InductionConfig::default()
        }
    }
}

impl InductionArgs {
    /// Refuses flags that the contrast has no use for: what was asked must not be passed over in silence.
    pub(crate) fn check(&self) -> Result<()> {
        let contrast = self.contrast.as_deref();
        let is_pooled = matches!(contrast, Some("length" | "thoughts"));
        ensure!(self.max_kl.is_none() || is_pooled, "--max-kl bounds the one vector of --contrast length or thoughts");
        let filtered = self.stable.is_none() || contrast == Some("thoughts");
        ensure!(filtered, "--stable keeps boundaries of --contrast thoughts");
        let asked = [("center", self.center), ("deconfound", self.deconfound), ("shrink", self.shrink)];
        if let Some((flag, _)) = asked.iter().find(|(_, set)| is_pooled && *set == Some(true)) {
            bail!(
                "--{flag} is for contrasts of single problems; that of --contrast length or thoughts is one mean over all"
            );
        }
        Ok(())
    }

    /// Returns the settings of stage 2.
    pub(crate) fn config(&self, seed: u64) -> InductionConfig {
        let preset = self.preset.config();
        InductionConfig {
            k_pos: self.k_pos,
            k_neg: self.k_neg,
            min_correct: self.min_correct,
            min_incorrect: self.min_incorrect,
            keep: self.keep,
            positives: self.positives,
            contrast: match self.contrast.as_deref() {
                None => preset.contrast,
                Some("forked") => Contrast::Forked,
                Some("length") => Contrast::Length { max_kl: self.max_kl },
                Some("thoughts") => Contrast::Thoughts { max_kl: self.max_kl, stable: self.stable },
                Some("random_split") => Contrast::RandomSplit { seed },
                Some(_) => Contrast::Reward,
            },
            center: self.center.unwrap_or(preset.center),
            deconfound: self.deconfound.unwrap_or(preset.deconfound),
            shrink: self.shrink.unwrap_or(preset.shrink),
            eta: self.eta,
            max_tokens: self.max_tokens,
            ..self.boundaries.config()
        }
    }
}

/// Returns the default layers as they are typed.
pub(crate) fn layers() -> String {
    let layers = InductionConfig::default().layers;
    layers.iter().map(LayerSpec::to_string).collect::<Vec<_>>().join(",")
}

/// Returns the default end of a segment as it is typed.
fn segment_end() -> String {
    escaped(InductionConfig::default().delimiter.as_str())
}

/// Settings of how a library is selected.
#[derive(clap::Args, Debug)]
pub(crate) struct BasisArgs {
    /// Most entries of the library (B); a pair counts as two
    #[arg(long, value_name = "N", default_value_t = BasisConfig::default().budget)]
    pub(crate) budget: usize,
    /// Weight of diversity against quality; for dpp
    #[arg(long, value_name = "X", default_value_t = BasisConfig::default().lambda)]
    lambda: f64,
    /// Number that is added to the kernel's diagonal; for dpp
    #[arg(long, value_name = "X", default_value_t = BasisConfig::default().epsilon)]
    epsilon: f64,
    /// Entries of highest quality that every control point gets first
    #[arg(long, alias = "per-point", value_name = "N", default_value_t = BasisConfig::default().min_per_control_point)]
    pub(crate) min_per_control_point: usize,
    /// Let the entries of the quota count in the diversity of the rest (the published selection does not)
    #[arg(long)]
    condition_on_quota: bool,
    /// The way the rest is chosen
    #[arg(long, default_value_t = BasisConfig::default().method,
        value_parser = PossibleValuesParser::new(["dpp", "top", "random", "kmeans", "dbscan"])
            .try_map(|name| name.parse::<SelectionMethod>()))]
    method: SelectionMethod,
}

impl BasisArgs {
    /// Returns the settings of stage 3.
    pub(crate) fn config(&self, seed: u64) -> BasisConfig {
        BasisConfig {
            budget: self.budget,
            lambda: self.lambda,
            epsilon: self.epsilon,
            min_per_control_point: self.min_per_control_point,
            condition_on_quota: self.condition_on_quota,
            method: match self.method {
                SelectionMethod::Random { .. } => SelectionMethod::Random { seed },
                SelectionMethod::KMeans { .. } => SelectionMethod::KMeans { seed },
                method => method,
            },
        }
    }
}
