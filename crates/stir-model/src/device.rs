use std::{fmt, str::FromStr};

#[cfg(feature = "decoder")]
use burn::tensor::Device;

use serde::{Deserialize, Serialize};

/// The name of a device to compute on: `cpu`, `cuda`, `wgpu`, `vulkan` or `metal`, with `:N` for the `N`-th of its
/// kind.
///
/// `flex`, the name of burn's CPU backend, is accepted for `cpu`. A name is valid whether or not its backend is
/// compiled in, so that it can be checked before anything is loaded; [`open`](Self::open) says what is missing.
///
/// ```
/// use stir_model::DeviceSpec;
/// assert_eq!("cpu".parse::<DeviceSpec>()?, DeviceSpec::CPU);
/// assert_eq!("cuda:1".parse::<DeviceSpec>()?.to_string(), "cuda:1");
/// assert!("tpu".parse::<DeviceSpec>().is_err());
/// # Ok::<(), stir_model::DeviceError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceSpec {
    kind: Kind,
    index: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Cpu,
    Cuda,
    Wgpu,
    Vulkan,
    Metal,
}

/// Another name of the CPU.
const FLEX: &str = "flex";

const KINDS: [(&str, Kind); 5] =
    [("cpu", Kind::Cpu), ("cuda", Kind::Cuda), ("wgpu", Kind::Wgpu), ("vulkan", Kind::Vulkan), ("metal", Kind::Metal)];

impl Kind {
    fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// Returns the devices of this kind, or `None` if the backend was left out. burn panics on a device that is absent;
    /// listing them first does not.
    #[cfg(feature = "decoder")]
    fn devices(self) -> Option<Vec<Device>> {
        match self {
            #[cfg(feature = "flex")]
            Self::Cpu => Some(vec![Device::flex()]),
            #[cfg(feature = "cuda")]
            Self::Cuda => Some(Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Some(Device::enumerate(burn::tensor::DeviceType::Wgpu).into_vec()),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Some(Device::enumerate(burn::tensor::DeviceType::Vulkan).into_vec()),
            #[cfg(feature = "metal")]
            Self::Metal => Some(Device::enumerate(burn::tensor::DeviceType::Metal).into_vec()),
            #[allow(unreachable_patterns, reason = "reachable for every backend left out")]
            _ => None,
        }
    }

    /// Returns the cargo feature that compiles the backend.
    #[cfg(feature = "decoder")]
    fn feature(self) -> &'static str {
        if self == Self::Cpu { FLEX } else { self.name() }
    }
}

impl DeviceSpec {
    /// The CPU.
    pub const CPU: Self = Self { kind: Kind::Cpu, index: 0 };

    /// Opens the device.
    ///
    /// # Errors
    /// [`DeviceError::NotCompiled`] when the backend was left out, [`DeviceError::Absent`] when this machine has no
    /// such device.
    #[cfg(feature = "decoder")]
    pub fn open(self) -> Result<Device, DeviceError> {
        let found = self.kind.devices();
        let found = found.ok_or(DeviceError::NotCompiled { name: self.kind.name(), feature: self.kind.feature() })?;
        let count = found.len();
        found.into_iter().nth(self.index).ok_or_else(|| DeviceError::Absent { name: self.to_string(), found: count })
    }
}

/// Returns the name of a device with its number, `cpu` or `cuda:0`; empty for one of no kind that is known here.
#[cfg(feature = "decoder")]
pub(crate) fn name_of(device: &Device) -> String {
    let name = |&(name, kind): &(&str, Kind)| {
        let index = kind.devices()?.iter().position(|one| one == device)?;
        Some(if kind == Kind::Cpu { name.to_owned() } else { format!("{name}:{index}") })
    };
    KINDS.iter().find_map(name).unwrap_or_default()
}

impl Default for DeviceSpec {
    fn default() -> Self {
        Self::CPU
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            0 => f.write_str(self.kind.name()),
            index => write!(f, "{}:{index}", self.kind.name()),
        }
    }
}

impl FromStr for DeviceSpec {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown { name: text.to_owned() };
        let (name, index) = text.split_once(':').unwrap_or((text, "0"));
        let name = if name == FLEX { Kind::Cpu.name() } else { name };
        let (_, kind) = KINDS.iter().find(|(known, _)| *known == name).ok_or_else(unknown)?;
        Ok(Self { kind: *kind, index: index.parse().map_err(|_| unknown())? })
    }
}

/// The type that weights, keys and values are kept in, whatever the files hold: `f32`, `bf16` or `f16`.
///
/// On the CPU everything is computed in f32: a 16-bit type halves the memory and, since one sequence decodes as fast as
/// its weights are read, nearly halves the time of a token. On other devices products are computed in the type itself;
/// norms, the softmax of attention, soft caps and what is read from the stream are in f32 there too.
///
/// ```
/// use stir_model::ComputeType;
/// assert_eq!("bf16".parse::<ComputeType>()?, ComputeType::Bf16);
/// assert!("int8".parse::<ComputeType>().is_err());
/// # Ok::<(), stir_model::DeviceError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum ComputeType {
    /// The 32-bit floating point type.
    #[default]
    F32,
    /// The 16-bit type bfloat16.
    Bf16,
    /// The 16-bit floating point type; refuses weights beyond its range.
    F16,
}

impl FromStr for ComputeType {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "f16" => Ok(Self::F16),
            _ => Err(DeviceError::UnknownType { name: text.to_owned() }),
        }
    }
}

impl fmt::Display for ComputeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

/// The conversions through which serde reads and writes a type as its name.
macro_rules! named {
    ($($type:ty)+) => {$(
        impl TryFrom<String> for $type {
            type Error = DeviceError;

            fn try_from(text: String) -> Result<Self, DeviceError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )+};
}
named!(DeviceSpec ComputeType);

/// An error of naming, opening or using a device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A name that no device has.
    #[error("{name:?} is not a device: expected cpu, cuda, wgpu, vulkan or metal, with :N for the N-th of its kind")]
    Unknown {
        /// The name.
        name: String,
    },
    /// A name that no number type has.
    #[error("{name:?} is not a type to compute in: expected f32, bf16 or f16")]
    UnknownType {
        /// The name.
        name: String,
    },
    /// A device whose backend was left out at compile time.
    #[error("the device {name} needs the cargo feature {feature:?}")]
    NotCompiled {
        /// The kind of device.
        name: &'static str,
        /// The cargo feature that compiles its backend.
        feature: &'static str,
    },
    /// A device that this machine does not have.
    #[error("there is no device {name}: this machine has {found} of its kind")]
    Absent {
        /// The device asked for.
        name: String,
        /// The number of devices of that kind.
        found: usize,
    },
    /// A result could not be read back.
    #[cfg(feature = "decoder")]
    #[error("a result could not be read back from the device")]
    Read(#[source] ReadError),
}

/// The reason why a result could not be read back from a device.
#[cfg(feature = "decoder")]
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReadError(pub(crate) burn::tensor::TensorReadError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_through_serde_and_unknown_ones_are_refused() {
        for (text, printed) in [("cpu", "cpu"), ("flex", "cpu"), ("cuda:1", "cuda:1"), ("metal:0", "metal")] {
            let device: DeviceSpec = serde_json::from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(device).unwrap(), printed);
        }
        let error = serde_json::from_value::<DeviceSpec>("cudaa".into()).unwrap_err();
        assert!(error.to_string().starts_with("\"cudaa\" is not a device"), "{error}");
        for compute in [ComputeType::F32, ComputeType::Bf16, ComputeType::F16] {
            let text = serde_json::to_value(compute).unwrap();
            assert_eq!(text, compute.to_string());
            assert_eq!(serde_json::from_value::<ComputeType>(text).unwrap(), compute);
        }
        assert!(serde_json::from_value::<ComputeType>("f64".into()).is_err());
    }
}
