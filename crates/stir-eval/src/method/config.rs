use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::Value;
use stir_controller::{Controller, ControllerConfig, Variant};
use stir_core::{Sampling, Text};

use super::{
    constant_vector::{Constant, ConstantVector},
    context::MethodContext,
    decode::{Plain, Stir},
    deer::{Deer, EarlyExit},
    discover::{Discover, SelfDiscover},
    error::MethodError,
    lane::Method,
    vote::{SelfConsistency, Vote},
};

/// A way of answering and its settings, as data; the field `method` says which.
///
/// ```
/// use stir_eval::method::MethodConfig;
/// let config: MethodConfig = serde_json::from_str(r#"{"method": "stir", "k_scale": 0.75, "variant": "no_probing"}"#)?;
/// assert_eq!(config.name(), "no_probing");
/// let typo = serde_json::from_str::<MethodConfig>(r#"{"method": "deer", "treshold": 0.9}"#).unwrap_err();
/// assert!(typo.to_string().contains("treshold"));
/// let config: MethodConfig = serde_json::from_str(r#"{"method": "deer", "threshold": 2}"#)?;
/// assert_eq!(config.validate().unwrap_err().to_string(), "deer setting threshold is 2, must be in [0, 1]");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "method", rename_all = "snake_case")]
#[non_exhaustive]
pub enum MethodConfig {
    /// Plain decoding, as the request says: greedy by default.
    Plain {},
    /// Decoding with every token drawn at random.
    Sampling {
        /// The way tokens are drawn.
        sampling: Sampling,
    },
    /// A vote of several samples.
    SelfConsistency(SelfConsistency),
    /// A plan in three stages, and a solution by it.
    SelfDiscover(SelfDiscover),
    /// Early exit from reasoning.
    Deer(Deer),
    /// One vector per layer, whatever the state.
    ConstantVector(ConstantVector),
    /// STIR (retrieve, probe, commit) or one of its ablations.
    Stir(ControllerConfig),
}

/// The names of the methods, as the field `method` has them. `static_vector` was one once.
const TAGS: &str = "plain, sampling, self_consistency, self_discover, deer, constant_vector or stir";

impl MethodConfig {
    /// Returns the name of the method; for `stir`, the name of its variant. Names of methods and variants are distinct.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plain {} => "plain",
            Self::Sampling { .. } => "sampling",
            Self::SelfConsistency(_) => "self_consistency",
            Self::SelfDiscover(_) => "self_discover",
            Self::Deer(_) => "deer",
            Self::ConstantVector(_) => "constant_vector",
            Self::Stir(config) => {
                Variant::ALL.iter().find(|(variant, _)| *variant == config.variant).map_or("stir", |(_, name)| name)
            }
        }
    }

    /// Returns the method, or the variant of the controller, of that [name](Self::name), with default settings.
    ///
    /// ```
    /// use stir_eval::method::MethodConfig;
    /// assert_eq!(MethodConfig::named("no_probing").map(|method| method.name()), Some("no_probing"));
    /// assert_eq!(MethodConfig::named("guess"), None);
    /// ```
    pub fn named(name: &str) -> Option<Self> {
        let own = match name {
            "plain" => Some(Self::Plain {}),
            "sampling" => Some(Self::Sampling { sampling: Sampling::default() }),
            "self_consistency" => Some(Self::SelfConsistency(SelfConsistency::default())),
            "self_discover" => Some(Self::SelfDiscover(SelfDiscover::default())),
            "deer" => Some(Self::Deer(Deer::default())),
            "constant_vector" => Some(Self::ConstantVector(ConstantVector::default())),
            _ => None,
        };
        let variant = || name.parse::<Variant>().ok();
        own.or_else(|| Some(Self::Stir(ControllerConfig { variant: variant()?, ..ControllerConfig::default() })))
    }

    /// Returns all names of methods and variants.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let own = ["plain", "sampling", "self_consistency", "self_discover", "deer", "constant_vector"];
        own.into_iter().chain(Variant::ALL.map(|(_, name)| name))
    }

    /// Returns whether the method steers, and so depends on a library.
    pub fn needs_library(&self) -> bool {
        matches!(self, Self::ConstantVector(_) | Self::Stir(_))
    }

    /// Returns the same method with `seed` for everything that it draws itself (not the tokens, whose seed is that of the
    /// request).
    #[must_use]
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
            Self::ConstantVector(settings) => settings.validate(),
            Self::Stir(settings) => {
                settings.validate().map_err(|source| MethodError::Controller { method, source: source.into() })
            }
        }
    }

    /// Returns the method, ready to answer.
    ///
    /// # Errors
    /// Fails like [`validate`](Self::validate); [`MethodError`] for a library that is missing, made for another model or
    /// without a vector, and for a text that the model's tokenizer refuses.
    pub fn build<'m, E: Text>(&self, context: MethodContext<'m, E>) -> Result<Box<dyn Method<E> + 'm>, MethodError> {
        self.validate()?;
        let MethodContext { engine, judges, library, render } = context;
        let method = self.name();
        let library = || library.ok_or(MethodError::NoLibrary { method });
        Ok(match self.clone() {
            Self::Plain {} => Box::new(Plain { engine, sampling: None }),
            Self::Sampling { sampling } => Box::new(Plain { engine, sampling: Some(sampling) }),
            Self::SelfConsistency(settings) => Box::new(Vote { engine, judges, settings }),
            Self::SelfDiscover(settings) => Box::new(Discover { engine, render, settings }),
            Self::Deer(settings) => Box::new(EarlyExit::new(engine, settings)?),
            Self::ConstantVector(settings) => Box::new(Constant::new(engine, library()?, settings)?),
            Self::Stir(settings) => {
                let controller = Controller::new(Arc::clone(library()?), engine.fingerprint(), settings);
                let controller = controller.map_err(|source| MethodError::Controller { method, source })?;
                Box::new(Stir { engine, controller })
            }
        })
    }

    /// Reads a method from its fields. The error comes with the path of the field to blame, which is empty where it is
    /// not known: in a tagged enum, serde would not know any.
    pub(crate) fn read(mut fields: Value) -> Result<Self, (String, serde_json::Error)> {
        use serde::de::Error;
        let tag = fields.as_object_mut().and_then(|fields| fields.remove("method"));
        let refused = |error: String| Err(("method".to_owned(), serde_json::Error::custom(error)));
        let Some(tag) = tag else { return refused("is missing".to_owned()) };
        match tag.as_str() {
            Some("plain") => part(fields).map(|Nothing {}| Self::Plain {}),
            Some("sampling") => part(fields).map(|Sampled { sampling }| Self::Sampling { sampling }),
            Some("self_consistency") => part(fields).map(Self::SelfConsistency),
            Some("self_discover") => part(fields).map(Self::SelfDiscover),
            Some("deer") => part(fields).map(Self::Deer),
            Some("constant_vector") => part(fields).map(Self::ConstantVector),
            Some("stir") => part(fields).map(Self::Stir),
            Some("static_vector") => refused(
                "\"static_vector\" is ambiguous: the vector that is added at every boundary or token is method = \
                 \"constant_vector\", and the ablation of STIR is method = \"stir\", variant = \"static_vector\""
                    .to_owned(),
            ),
            _ => refused(format!("is {tag}, must be {TAGS}")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sampled {
    #[serde(default)]
    sampling: Sampling,
}

fn part<T: DeserializeOwned>(fields: Value) -> Result<T, (String, serde_json::Error)> {
    serde_path_to_error::deserialize(fields).map_err(|error| {
        let path = error.path().to_string();
        (if path == "." { String::new() } else { path }, error.into_inner())
    })
}

impl<'de> Deserialize<'de> for MethodConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let read = Self::read(Value::deserialize(deserializer)?);
        read.map_err(|(path, error)| match path.is_empty() {
            true => D::Error::custom(error),
            false => D::Error::custom(format!("{path}: {error}")),
        })
    }
}
