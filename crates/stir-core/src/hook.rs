use std::{fmt, str::FromStr};

/// A named place in the residual stream where a forward pass can be read or written.
///
/// Names are those of TransformerLens: `blocks.N.hook_resid_pre` is the input of decoder layer `N` (0-based),
/// `blocks.N.hook_resid_post` its output, before the final norm. The short forms `resid_pre.N` and `resid_post.N` are
/// accepted, too.
///
/// ```
/// use stir_core::HookPoint;
/// let point: HookPoint = "blocks.3.hook_resid_post".parse()?;
/// assert_eq!(point, HookPoint::ResidPost(3));
/// assert_eq!("resid_post.3".parse(), Ok(point));
/// assert_eq!(point.to_string(), "blocks.3.hook_resid_post");
/// assert!("blocks.3.hook_mlp_out".parse::<HookPoint>().is_err());
/// # Ok::<(), stir_core::ParseHookPointError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HookPoint {
    /// The residual stream entering decoder layer `N`.
    ResidPre(usize),
    /// The residual stream leaving decoder layer `N`.
    ResidPost(usize),
}

impl HookPoint {
    /// Returns the decoder layer that the point belongs to, 0-based.
    pub fn layer(self) -> usize {
        match self {
            Self::ResidPre(layer) | Self::ResidPost(layer) => layer,
        }
    }
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ResidPre(layer) => write!(f, "blocks.{layer}.hook_resid_pre"),
            Self::ResidPost(layer) => write!(f, "blocks.{layer}.hook_resid_post"),
        }
    }
}

impl FromStr for HookPoint {
    type Err = ParseHookPointError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let unknown = || ParseHookPointError { name: name.to_owned() };
        let (kind, layer) = if let Some(rest) = name.strip_prefix("blocks.") {
            let (layer, kind) = rest.split_once('.').ok_or_else(unknown)?;
            (kind.strip_prefix("hook_").ok_or_else(unknown)?, layer)
        } else {
            name.split_once('.').ok_or_else(unknown)?
        };
        let layer = layer.parse().map_err(|_| unknown())?;
        match kind {
            "resid_pre" => Ok(Self::ResidPre(layer)),
            "resid_post" => Ok(Self::ResidPost(layer)),
            _ => Err(unknown()),
        }
    }
}

/// The error of an unknown hook point name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown hook point {name:?}: expected blocks.N.hook_resid_pre or blocks.N.hook_resid_post")]
pub struct ParseHookPointError {
    /// The name that was given.
    pub name: String,
}
