use std::{fmt, str::FromStr};

#[cfg(feature = "decoder")]
use burn::tensor::Device;

use crate::DeviceError;

/// Which device computes: `flex` (the CPU), `cuda`, `wgpu`, `vulkan` or `metal`, with `:N` for the `N`-th.
///
/// A name is known whether or not its backend is compiled in; [`open`](Self::open) says what is missing.
///
/// ```
/// use stir_model::DeviceSpec;
/// let cpu: DeviceSpec = "flex".parse()?;
/// cpu.open()?;
/// assert_eq!("cuda:1".parse::<DeviceSpec>()?.to_string(), "cuda:1");
/// assert!("tpu".parse::<DeviceSpec>().is_err());
/// # Ok::<(), stir_model::DeviceError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceSpec {
    kind: Kind,
    index: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Flex,
    Cuda,
    Wgpu,
    Vulkan,
    Metal,
}

const KINDS: [(&str, Kind); 5] = [
    ("flex", Kind::Flex),
    ("cuda", Kind::Cuda),
    ("wgpu", Kind::Wgpu),
    ("vulkan", Kind::Vulkan),
    ("metal", Kind::Metal),
];

impl Kind {
    fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

impl DeviceSpec {
    /// The CPU.
    pub const FLEX: Self = Self { kind: Kind::Flex, index: 0 };

    /// A handle of the device.
    ///
    /// # Errors
    /// [`DeviceError::NotCompiled`] when the backend was left out, [`DeviceError::Absent`] when this machine has no
    /// such device.
    #[cfg(feature = "decoder")]
    pub fn open(self) -> Result<Device, DeviceError> {
        // burn panics on a device that is absent; listing them first does not.
        #[allow(unused_mut, reason = "written only by the backends compiled in")]
        let mut found: Option<Vec<Device>> = None;
        match self.kind {
            #[cfg(feature = "flex")]
            Kind::Flex => found = Some(vec![Device::flex()]),
            #[cfg(feature = "cuda")]
            Kind::Cuda => found = Some(Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec()),
            #[cfg(feature = "wgpu")]
            Kind::Wgpu => found = Some(Device::enumerate(burn::tensor::DeviceType::Wgpu).into_vec()),
            #[cfg(feature = "vulkan")]
            Kind::Vulkan => found = Some(Device::enumerate(burn::tensor::DeviceType::Vulkan).into_vec()),
            #[cfg(feature = "metal")]
            Kind::Metal => found = Some(Device::enumerate(burn::tensor::DeviceType::Metal).into_vec()),
            #[allow(unreachable_patterns, reason = "reachable for every backend left out")]
            _ => {}
        }
        let found = found.ok_or(DeviceError::NotCompiled { name: self.kind.name() })?;
        let count = found.len();
        found.into_iter().nth(self.index).ok_or_else(|| DeviceError::Absent { name: self.to_string(), found: count })
    }
}

impl Default for DeviceSpec {
    fn default() -> Self {
        Self::FLEX
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
        let (_, kind) = KINDS.iter().find(|(known, _)| *known == name).ok_or_else(unknown)?;
        Ok(Self { kind: *kind, index: index.parse().map_err(|_| unknown())? })
    }
}

/// The type that weights, keys and values are kept in, whatever the files hold.
///
/// On the CPU all computing is in f32: a 16-bit type halves the memory and, as one sequence decodes as fast as its
/// weights are read, nearly halves the time of a token. On other devices products are computed in the type itself;
/// norms, the softmax of attention, soft caps and what is read from the stream are in f32 there too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ComputeType {
    /// 32-bit floating point.
    #[default]
    F32,
    /// bfloat16.
    Bf16,
    /// 16-bit floating point; refuses weights beyond its range.
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
