//! Flags of the settings of the library. A flag has the name of its field, and its default is that of the field.

use clap::{
    Command,
    builder::{PossibleValuesParser, TypedValueParser},
};
use miette::{Result, ensure};
use stir::{
    basis::{BasisConfig, SelectionMethod},
    controller::{ControllerConfig, Placement, Probe, Scope, Strength, Variant},
    core::{Delimiter, LayerSpec, Request, Sampling},
    eval::{
        experiment::AnswerSettings,
        method::{ConstantVector, Deer, SelfConsistency, StaticAt},
    },
    induction::{Contrast, InductionConfig, PositiveSource, Preset},
    rollout::{ForkConfig, RolloutConfig},
};

use crate::typed::{delimiter, escaped, named, unescaped};

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
        let bounded = self.max_kl.is_none() || matches!(contrast, Some("length" | "thoughts"));
        ensure!(bounded, "--max-kl bounds the one vector of --contrast length or thoughts");
        let filtered = self.stable.is_none() || contrast == Some("thoughts");
        ensure!(filtered, "--stable keeps boundaries of --contrast thoughts");
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

/// Settings of how answers are steered.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Steering")]
pub(crate) struct ControllerArgs {
    /// Segments that may be steered (M)
    #[arg(long, alias = "points", value_name = "N", default_value_t = ControllerConfig::default().max_control_points)]
    pub(crate) max_control_points: usize,
    /// Entries retrieved at a control point (k)
    #[arg(long, value_name = "N", default_value_t = ControllerConfig::default().retrieve)]
    retrieve: usize,
    /// Retrieved vectors that are probed at a control point (L)
    #[arg(long, value_name = "N", default_value_t = ControllerConfig::default().candidates)]
    candidates: usize,
    /// Most tokens of a probe
    #[arg(long, value_name = "N", default_value_t = ControllerConfig::default().probe_tokens)]
    probe_tokens: usize,
    /// Weight of the advantage
    #[arg(long, value_name = "X", default_value_t = ControllerConfig::default().beta)]
    beta: f64,
    /// Weight of a probe's gain
    #[arg(long, value_name = "X", default_value_t = ControllerConfig::default().rho)]
    rho: f64,
    /// Lowest score that may win
    #[arg(long, alias = "tau", value_name = "X", default_value_t = ControllerConfig::default().tau_null,
        allow_negative_numbers = true)]
    tau_null: f64,
    /// Strength of an impulse per unit of score
    #[arg(long, value_name = "X", default_value_t = ControllerConfig::default().k_scale)]
    pub(crate) k_scale: f64,
    /// Fewest entries at a control point where the controller acts
    #[arg(long, value_name = "N", default_value_t = ControllerConfig::default().min_entries)]
    min_entries: usize,
    /// Lowest similarity of the nearest entry with which the controller acts
    #[arg(long, value_name = "X", default_value_t = ControllerConfig::default().min_similarity,
        allow_negative_numbers = true)]
    min_similarity: f64,
    /// First control point where the controller acts [default: no bound]
    #[arg(long, value_name = "M")]
    min_m: Option<usize>,
    /// Last control point where the controller acts [default: no bound]
    #[arg(long, value_name = "M")]
    max_m: Option<usize>,
    /// The lifetime of an impulse
    #[arg(long, default_value = "segment",
        value_parser = PossibleValuesParser::new(["segment", "persistent"]).try_map(named::<Scope>))]
    scope: Scope,
    /// The strength of an impulse: score (k_scale times the score), clipped:X (never longer than the share X of the
    /// residual stream's length) or relative:X (always that share)
    #[arg(long, value_name = "STRENGTH", default_value_t = ControllerConfig::default().strength)]
    strength: Strength,
    /// What a probe measures: the mean log-probability of its tokens, or, by the library's value head, how likely the
    /// answer will be right
    #[arg(long, default_value = "log_prob",
        value_parser = PossibleValuesParser::new(["log_prob", "value"]).try_map(named::<Probe>))]
    probe: Probe,
    /// Least gain of a candidate that may win [default: no bound]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    min_gain: Option<f64>,
    /// The tokens that bear an impulse: boundary, or segment (all of it), or segment:X (times X from token to token)
    #[arg(long, value_name = "PLACEMENT", default_value_t = ControllerConfig::default().placement)]
    placement: Placement,
    /// Act at the end of the prompt too, which is control point 0
    #[arg(long)]
    at_prompt: bool,
    /// Steer even if the library was mined on another quantisation or number type of the model; results say so
    #[arg(long)]
    allow_requantised: bool,
    /// The settings of a preset, in the place of all flags.
    #[arg(skip)]
    pub(crate) preset: Option<ControllerConfig>,
}

impl ControllerArgs {
    /// Returns the settings of stage 4.
    pub(crate) fn config(&self, variant: Variant, seed: u64) -> ControllerConfig {
        if let Some(preset) = &self.preset {
            return ControllerConfig { variant, seed, ..preset.clone() };
        }
        ControllerConfig {
            max_control_points: self.max_control_points,
            retrieve: self.retrieve,
            candidates: self.candidates,
            probe_tokens: self.probe_tokens,
            beta: self.beta,
            rho: self.rho,
            tau_null: self.tau_null,
            k_scale: self.k_scale,
            min_entries: self.min_entries,
            min_similarity: self.min_similarity,
            min_m: self.min_m,
            max_m: self.max_m,
            scope: self.scope,
            variant,
            seed,
            allow_requantised: self.allow_requantised,
            strength: self.strength,
            probe: self.probe,
            min_gain: self.min_gain,
            placement: self.placement,
            at_prompt: self.at_prompt,
        }
    }
}

/// Settings of how tokens are drawn and where an answer ends. The defaults are those of the command.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArgs {
    /// Divisor of the logits; 0 for greedy decoding
    #[arg(long, value_name = "X")]
    temperature: Option<f32>,
    /// Mass of the nucleus; 1 for all tokens
    #[arg(long, value_name = "X")]
    top_p: Option<f32>,
    /// Number of the likeliest tokens that may be drawn; 0 for all
    #[arg(long, value_name = "N")]
    top_k: Option<usize>,
    /// Least probability of a token that may be drawn, as a share of the likeliest one's
    #[arg(long, value_name = "X")]
    min_p: Option<f32>,
    /// Divisor of the logits of tokens that were there before; 1 for none
    #[arg(long, value_name = "X")]
    repetition_penalty: Option<f32>,
    /// Text or special token that ends an answer, as is or with \n, \r, \t, \\; may be given several times
    #[arg(long, value_name = "TEXT", value_parser = unescaped, allow_hyphen_values = true)]
    pub(crate) stop: Vec<String>,
}

impl SamplingArgs {
    /// Returns the flags that say `sampling` and `stop`.
    fn of(sampling: Sampling, stop: Vec<String>) -> Self {
        Self {
            temperature: Some(sampling.temperature),
            top_p: Some(sampling.top_p),
            top_k: Some(sampling.top_k),
            min_p: Some(sampling.min_p),
            repetition_penalty: Some(sampling.repetition_penalty),
            stop,
        }
    }

    /// Returns `base` with what the flags say in its place.
    pub(crate) fn over(&self, base: Sampling) -> Sampling {
        Sampling {
            temperature: self.temperature.unwrap_or(base.temperature),
            top_p: self.top_p.unwrap_or(base.top_p),
            top_k: self.top_k.unwrap_or(base.top_k),
            min_p: self.min_p.unwrap_or(base.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(base.repetition_penalty),
        }
    }

    /// Gives the flags of `command` the values of `sampling` where they are not named.
    pub(crate) fn defaults(command: Command, sampling: Sampling) -> Command {
        let Sampling { temperature, top_p, top_k, min_p, repetition_penalty } = sampling;
        let values = [
            ("temperature", temperature.to_string()),
            ("top_p", top_p.to_string()),
            ("top_k", top_k.to_string()),
            ("min_p", min_p.to_string()),
            ("repetition_penalty", repetition_penalty.to_string()),
        ];
        values.into_iter().fold(command, |command, (name, value)| command.mut_arg(name, |arg| arg.default_value(value)))
    }

    /// Says in the help of `command` where the values come from that are not named.
    pub(crate) fn described(command: Command, origin: &str) -> Command {
        ["temperature", "top_p", "top_k", "min_p", "repetition_penalty"].into_iter().fold(command, |command, name| {
            command.mut_arg(name, |arg| {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                arg.help(format!("{help} [default: {origin}]"))
            })
        })
    }
}

/// Settings of how answers are generated and steered.
#[derive(clap::Args, Debug)]
pub(crate) struct AnswerArgs {
    /// Most new tokens of an answer; probes do not count
    #[arg(long, value_name = "N", default_value_t = AnswerSettings::default().max_tokens)]
    pub(crate) max_tokens: usize,
    /// The largest number of answers generated at the same time; no answer depends on it
    #[arg(long, alias = "width", value_name = "N", default_value_t = MAX_BATCH)]
    pub(crate) max_batch: usize,
    #[command(flatten)]
    pub(crate) steering: ControllerArgs,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

impl AnswerArgs {
    /// Checks what no other setting checks.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(self.max_batch > 0, "max_batch is 0, must be >= 1");
        Ok(())
    }

    /// Takes what a preset says of answers in the place of the flags.
    pub(crate) fn take(&mut self, preset: &AnswerSettings) {
        self.max_tokens = preset.max_tokens;
        self.sampling = SamplingArgs::of(preset.sampling, preset.stop.clone());
    }

    /// Returns what all answers share.
    pub(crate) fn request(&self, seed: u64) -> Request {
        let (sampling, stop) = (self.sampling.over(Sampling::GREEDY), self.sampling.stop.clone());
        Request { max_tokens: self.max_tokens, sampling, stop, seed, ..Request::default() }
    }
}

/// The number of answers generated at the same time, as in an experiment that does not say.
const MAX_BATCH: usize = 16;

/// The settings of the method `self_consistency`.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Baselines")]
pub(crate) struct SelfConsistencyArgs {
    /// Samples of an answer by self_consistency
    #[arg(long, alias = "votes", value_name = "N", default_value_t = SelfConsistency::default().samples)]
    self_consistency_samples: usize,
}

impl SelfConsistencyArgs {
    /// Returns `own` with what the flags say in its place.
    pub(crate) fn over(&self, own: SelfConsistency) -> SelfConsistency {
        SelfConsistency { samples: self.self_consistency_samples, ..own }
    }
}

/// The settings of the method `constant_vector`.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Baselines")]
pub(crate) struct ConstantVectorArgs {
    /// The place where constant_vector adds its vector: every boundary of segments or at every token
    #[arg(long, default_value = "boundary",
        value_parser = PossibleValuesParser::new(["boundary", "token"]).try_map(named::<StaticAt>))]
    constant_vector_at: StaticAt,
    /// Factor of that vector [default: that of --k-scale]
    #[arg(long, value_name = "X")]
    constant_vector_scale: Option<f64>,
    /// Add that vector only where the cosine of the angle between it and the stream is below this [default: everywhere]
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    constant_vector_gate_below: Option<f64>,
    /// The settings of a preset, in the place of all flags.
    #[arg(skip)]
    pub(crate) preset: Option<ConstantVector>,
}

impl ConstantVectorArgs {
    /// Returns `at` (that of the flags where it is `None`) with the scale of the flags, which is `k_scale` by default, and
    /// what else `steering` says.
    pub(crate) fn config(&self, at: Option<StaticAt>, steering: &ControllerArgs) -> ConstantVector {
        if let Some(preset) = &self.preset {
            return ConstantVector { at: at.unwrap_or(preset.at), ..preset.clone() };
        }
        ConstantVector {
            at: at.unwrap_or(self.constant_vector_at),
            scale: self.constant_vector_scale.unwrap_or(steering.k_scale),
            gate_below: self.constant_vector_gate_below,
            allow_requantised: steering.allow_requantised,
        }
    }
}

/// The settings of the method `deer`.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Baselines")]
pub(crate) struct DeerArgs {
    /// Text after which deer tries an answer, as is or with \n, \r, \t, \\
    #[arg(long, value_name = "TEXT", default_value = escaped(&Deer::default().transition), value_parser = unescaped,
        allow_hyphen_values = true)]
    deer_transition: String,
    /// Keep that text in the answer before a trial
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = Deer::default().keep_transition)]
    deer_keep_transition: bool,
    /// Text that deer asks for an answer with [default: that of the task]
    #[arg(long, value_name = "TEXT", value_parser = unescaped, allow_hyphen_values = true)]
    deer_elicit: Option<String>,
    /// Text that ends a trial of deer [default: that of the task]
    #[arg(long, value_name = "TEXT", value_parser = unescaped, allow_hyphen_values = true)]
    deer_close: Option<String>,
    /// Most tokens of a trial
    #[arg(long, alias = "deer-tokens", value_name = "N", default_value_t = Deer::default().trial_tokens)]
    deer_trial_tokens: usize,
    /// Most trials of an answer
    #[arg(long, alias = "deer-trials", value_name = "N", default_value_t = Deer::default().max_trials)]
    deer_max_trials: usize,
    /// Mean probability of a trial's tokens from which on thinking ends
    #[arg(long, value_name = "P", default_value_t = Deer::default().threshold)]
    deer_threshold: f64,
}

impl DeerArgs {
    /// Returns `own` with what the flags say in its place; a task elicits its answers with `elicit` and `close`.
    pub(crate) fn over(&self, own: Deer, [elicit, close]: &[String; 2]) -> Deer {
        Deer {
            transition: self.deer_transition.clone(),
            keep_transition: self.deer_keep_transition,
            elicit: self.deer_elicit.as_ref().unwrap_or(elicit).clone(),
            close: self.deer_close.as_ref().unwrap_or(close).clone(),
            trial_tokens: self.deer_trial_tokens,
            max_trials: self.deer_max_trials,
            threshold: self.deer_threshold,
            ..own
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};
    use serde::Serialize;

    fn parse<A: Args>(flags: &[&str]) -> A {
        let matches = A::augment_args(Command::new("test")).try_get_matches_from([&["test"], flags].concat());
        A::from_arg_matches(&matches.unwrap()).unwrap()
    }

    /// Checks that every field of `config` is a flag of `A` except those in `elsewhere`.
    fn named_alike<A: Args>(config: impl Serialize, elsewhere: &[&str]) {
        let command = A::augment_args(Command::new("test"));
        let flags: Vec<_> = command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned).collect();
        for field in serde_json::to_value(config).unwrap().as_object().unwrap().keys() {
            let flag = field.replace('_', "-");
            assert!(elsewhere.contains(&field.as_str()) || flags.contains(&flag), "{field}: {flags:?}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        assert_eq!(parse::<RolloutArgs>(&[]).config(0), RolloutConfig::default());
        assert_eq!(parse::<ForkArgs>(&[]).config(0), ForkConfig::default());
        assert_eq!(parse::<InductionArgs>(&[]).config(0), InductionConfig::default());
        assert_eq!(parse::<BasisArgs>(&[]).config(0), BasisConfig::default());
        assert_eq!(parse::<ControllerArgs>(&[]).config(Variant::Stir, 0), ControllerConfig::default());
        let constant = parse::<ConstantVectorArgs>(&[]).config(None, &parse(&[]));
        assert_eq!(constant, ConstantVector::default());
        assert_eq!(parse::<SelfConsistencyArgs>(&[]).over(SelfConsistency::default()), SelfConsistency::default());
        let own = Deer::default();
        let elicit = [own.elicit.clone(), own.close.clone()];
        assert_eq!(parse::<DeerArgs>(&[]).over(own.clone(), &elicit), own);
        for base in [Sampling::GREEDY, Sampling::default(), Request::default().sampling] {
            assert_eq!(parse::<SamplingArgs>(&[]).over(base), base);
            assert_eq!(SamplingArgs::of(base, Vec::new()).over(Sampling::default()), base);
            let command = SamplingArgs::augment_args(Command::new("test"));
            let matches = SamplingArgs::defaults(command, base).get_matches_from(["test"]);
            assert_eq!(SamplingArgs::from_arg_matches(&matches).unwrap().over(Sampling::default()), base);
        }
    }

    #[test]
    fn a_flag_has_the_name_of_its_field() {
        named_alike::<RolloutArgs>(RolloutConfig::default(), &["seed", "sampling"]);
        named_alike::<ForkArgs>(ForkConfig::default(), &["seed", "sampling"]);
        named_alike::<SamplingArgs>(Sampling::default(), &[]);
        let induction = InductionConfig { allow_requantised: true, ..InductionConfig::sound() };
        named_alike::<InductionArgs>(induction, &[]);
        named_alike::<BasisArgs>(BasisConfig::default(), &[]);
        // What is left out where it is the default.
        let controller = ControllerConfig {
            allow_requantised: true,
            strength: Strength::Relative(0.3),
            probe: Probe::Value,
            min_gain: Some(0.0),
            placement: Placement::Segment { decay: 1.0 },
            at_prompt: true,
            ..ControllerConfig::default()
        };
        named_alike::<ControllerArgs>(controller, &["variant", "seed"]);
        let own = ConstantVector { gate_below: Some(0.0), ..ConstantVector::default() };
        let own = serde_json::to_value(own).unwrap();
        let prefixed =
            own.as_object().unwrap().iter().map(|(field, value)| (format!("constant_vector_{field}"), value));
        named_alike::<ConstantVectorArgs>(prefixed.collect::<std::collections::BTreeMap<_, _>>(), &[]);
        let own = serde_json::to_value(Deer::default()).unwrap();
        let prefixed = own.as_object().unwrap().iter().map(|(field, value)| (format!("deer_{field}"), value));
        named_alike::<DeerArgs>(
            prefixed.collect::<std::collections::BTreeMap<_, _>>(),
            &["deer_mean", "deer_confidence"],
        );
    }

    #[test]
    fn flags_come_on_top_of_a_preset() {
        let of = |flags: &[&str]| parse::<InductionArgs>(flags).config(4);
        assert_eq!(of(&["--preset", "sound"]), InductionConfig::sound());
        let changed = InductionConfig { contrast: Contrast::Reward, shrink: false, ..InductionConfig::sound() };
        assert_eq!(of(&["--preset", "sound", "--contrast", "reward", "--shrink", "false"]), changed);
        let one = InductionConfig { center: true, ..InductionConfig::default() };
        assert_eq!(of(&["--center", "--keep", "128"]), one);
        assert_eq!(of(&["--contrast", "random_split"]).contrast, Contrast::RandomSplit { seed: 4 });
    }

    #[test]
    fn what_is_not_published_has_a_text_form() {
        let flags = "--strength relative:0.3 --probe value --min-gain -0.1 --placement segment:0.5 --at-prompt";
        let flags: Vec<&str> = flags.split(' ').collect();
        let found = parse::<ControllerArgs>(&flags).config(Variant::Stir, 0);
        let expected = ControllerConfig {
            strength: Strength::Relative(0.3),
            probe: Probe::Value,
            min_gain: Some(-0.1),
            placement: Placement::Segment { decay: 0.5 },
            at_prompt: true,
            ..ControllerConfig::default()
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn earlier_names_are_still_understood() {
        let induction = parse::<InductionArgs>(&["--points", "3", "--width", "5"]).config(0);
        assert_eq!((induction.max_control_points, induction.max_batch), (3, 5));
        assert_eq!(parse::<BasisArgs>(&["--per-point", "2"]).config(0).min_per_control_point, 2);
        let flags = ["--points", "3", "--tau", "-0.5"];
        let steering = parse::<ControllerArgs>(&flags).config(Variant::Stir, 0);
        assert_eq!((steering.max_control_points, steering.tau_null), (3, -0.5));
        let deer = ["--deer-tokens", "3", "--deer-trials", "4"];
        let deer = parse::<DeerArgs>(&deer).over(Deer::default(), &["a".into(), "b".into()]);
        assert_eq!((deer.trial_tokens, deer.max_trials, deer.elicit.as_str()), (3, 4, "a"));
    }
}
