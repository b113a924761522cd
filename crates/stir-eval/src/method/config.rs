use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stir_basis::Library;
use stir_controller::{Controller, ControllerConfig, Variant};
use stir_core::{Engine, Sampling};

use super::{
    Deer, Method, MethodError, Question, SelfConsistency, SelfDiscover, StaticVector,
    decode::{Plain, Stir},
    deer::EarlyExit,
    discover::Discover,
    static_vector::Static,
    vote::Vote,
};
use stir_grade::Judge;

/// A way of answering and its settings, as data; the field `method` says which.
///
/// ```
/// use stir_eval::method::MethodConfig;
/// let config: MethodConfig = serde_json::from_str(r#"{"method": "stir", "k_scale": 0.75, "variant": "no_probing"}"#)?;
/// assert_eq!(config.name(), "stir");
/// let typo = serde_json::from_str::<MethodConfig>(r#"{"method": "deer", "treshold": 0.9}"#).unwrap_err();
/// assert!(typo.to_string().contains("treshold"));
/// let config: MethodConfig = serde_json::from_str(r#"{"method": "deer", "threshold": 2}"#)?;
/// assert_eq!(config.validate().unwrap_err().to_string(), "deer setting threshold is 2, must be in [0, 1]");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum MethodConfig {
    /// Decoding as the request says: greedy, unless told otherwise.
    Plain {},
    /// Decoding with every token drawn.
    Sampling {
        /// How.
        #[serde(default)]
        sampling: Sampling,
    },
    /// A vote of several samples.
    SelfConsistency(SelfConsistency),
    /// A plan in three stages, and a solution by it.
    SelfDiscover(SelfDiscover),
    /// Early exit from thinking.
    Deer(Deer),
    /// One vector, whatever the state.
    StaticVector(StaticVector),
    /// Retrieve, probe, commit, or one of its ablations.
    Stir(ControllerConfig),
}

/// How a system and a user message become the text of a prompt: the chat template of a model.
pub type Render<'a, X> = dyn Fn(Option<&str>, &str) -> Result<String, X> + 'a;

/// Who judges the answers to a question: the same for all, or one that knows its options.
pub type Judges<'a> = dyn Fn(&Question) -> Arc<dyn Judge> + 'a;

/// What methods work with.
pub struct Bench<'a, E: Engine> {
    /// The model.
    pub engine: &'a E,
    /// Finds and compares answers, for methods that take votes.
    pub judges: &'a Judges<'a>,
    /// Vectors, for methods that steer.
    pub library: Option<&'a Library>,
    /// Makes prompts, for methods that write some.
    pub render: &'a Render<'a, E::Error>,
}

impl<E: Engine> Clone for Bench<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: Engine> Copy for Bench<'_, E> {}

impl MethodConfig {
    /// The name of the method, as the field `method` has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plain {} => "plain",
            Self::Sampling { .. } => "sampling",
            Self::SelfConsistency(_) => "self_consistency",
            Self::SelfDiscover(_) => "self_discover",
            Self::Deer(_) => "deer",
            Self::StaticVector(_) => "static_vector",
            Self::Stir(_) => "stir",
        }
    }

    /// The method or the variant of the controller of that name, with default settings.
    ///
    /// ```
    /// use stir_eval::method::MethodConfig;
    /// assert_eq!(MethodConfig::named("no_probing").map(|method| method.name()), Some("stir"));
    /// assert_eq!(MethodConfig::named("guess"), None);
    /// ```
    pub fn named(name: &str) -> Option<Self> {
        let own = match name {
            "plain" => Some(Self::Plain {}),
            "sampling" => Some(Self::Sampling { sampling: Sampling::default() }),
            "self_consistency" => Some(Self::SelfConsistency(SelfConsistency::default())),
            "self_discover" => Some(Self::SelfDiscover(SelfDiscover::default())),
            "deer" => Some(Self::Deer(Deer::default())),
            _ => None,
        };
        let variant = || name.parse::<Variant>().ok();
        own.or_else(|| Some(Self::Stir(ControllerConfig { variant: variant()?, ..ControllerConfig::default() })))
    }

    /// Whether the method steers, and so depends on a library.
    pub fn needs_library(&self) -> bool {
        matches!(self, Self::StaticVector(_) | Self::Stir(_))
    }

    /// The same method where what it draws by itself (not the tokens, which are the request's) comes from `seed`.
    pub fn seeded(self, seed: u64) -> Self {
        match self {
            Self::Stir(config) => Self::Stir(ControllerConfig { seed, ..config }),
            other => other,
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`MethodError`] with the first field out of bounds, its value and the bound.
    pub fn validate(&self) -> Result<(), MethodError> {
        let method = self.name();
        match self {
            Self::Plain {} => Ok(()),
            Self::Sampling { sampling } => {
                sampling.validate().map_err(|source| MethodError::Sampling { method, source })
            }
            Self::SelfConsistency(settings) => settings.validate(),
            Self::SelfDiscover(settings) => settings.validate(),
            Self::Deer(settings) => settings.validate(),
            Self::StaticVector(settings) => settings.validate(),
            Self::Stir(settings) => settings.validate().map_err(|source| MethodError::Controller { method, source }),
        }
    }

    /// The method, ready to answer.
    ///
    /// # Errors
    /// As [`validate`](Self::validate); [`MethodError`] for a library that is missing, made for another model or
    /// without a vector, and for a text that the model's tokenizer refuses.
    pub fn build<'m, E: Engine>(&self, bench: Bench<'m, E>) -> Result<Box<dyn Method<E> + 'm>, MethodError> {
        self.validate()?;
        let Bench { engine, judges, library, render } = bench;
        let method = self.name();
        let library = || library.ok_or(MethodError::NoLibrary { method });
        Ok(match self.clone() {
            Self::Plain {} => Box::new(Plain { engine, sampling: None }),
            Self::Sampling { sampling } => Box::new(Plain { engine, sampling: Some(sampling) }),
            Self::SelfConsistency(settings) => Box::new(Vote { engine, judges, settings }),
            Self::SelfDiscover(settings) => Box::new(Discover { engine, render, settings }),
            Self::Deer(settings) => Box::new(EarlyExit::new(engine, settings)?),
            Self::StaticVector(settings) => Box::new(Static::new(engine, library()?, settings)?),
            Self::Stir(settings) => {
                let controller = Controller::new(library()?.clone(), engine.fingerprint(), settings);
                let controller = controller.map_err(|source| MethodError::Controller { method, source })?;
                Box::new(Stir { engine, controller })
            }
        })
    }
}

pub(super) fn positive(method: &'static str, field: &'static str, value: usize) -> Result<(), MethodError> {
    match value {
        0 => Err(MethodError::Setting { method, field, value: "0".into(), bound: "at least 1" }),
        _ => Ok(()),
    }
}

pub(super) fn not_negative(method: &'static str, field: &'static str, value: f64) -> Result<(), MethodError> {
    match value.is_finite() && value >= 0.0 {
        true => Ok(()),
        false => Err(MethodError::Setting { method, field, value: value.to_string(), bound: "finite and >= 0" }),
    }
}
