//! Flags of how answers are generated and steered.

use clap::{
    Command,
    builder::{PossibleValuesParser, TypedValueParser},
};
use miette::{Result, ensure};
use stir::{
    controller::{ControllerConfig, Placement, Probe, Scope, Strength, Variant},
    core::{Request, Sampling},
    eval::experiment::AnswerSettings,
};

use crate::typed::{named, unescaped};

/// Settings of how answers are steered.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Steering")]
pub(crate) struct ControllerArgs {
    /// Control points of an answer (M): its segments 2 to M may be steered, with --at-prompt the first too
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
    pub(super) allow_requantised: bool,
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
    pub(super) fn of(sampling: Sampling, stop: Vec<String>) -> Self {
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
