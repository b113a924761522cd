use std::{fmt, path::PathBuf};

/// The reason why a file is not GGUF, or not GGUF that is read here.
///
/// Every number in a file is checked against the length of the file before anything is made of it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The file begins with something else than `GGUF`.
    #[error("it begins with {found:02x?}, a GGUF file with {:02x?}", b"GGUF")]
    Magic {
        /// The first bytes, at most four.
        found: Vec<u8>,
    },
    /// The file was written for machines with another order of bytes.
    #[error("its numbers are big-endian (version {found:#010x}), supported: little-endian")]
    BigEndian {
        /// The version as it reads here.
        found: u32,
    },
    /// A version of the format that is not read.
    #[error("it has version {found} of the format, supported: 2 and 3")]
    Version {
        /// The version.
        found: u32,
    },
    /// The file ends before something that it announces.
    #[error("{part} takes {needed} bytes from byte {offset} on, the file has {length} in all")]
    Truncated {
        /// What does not fit.
        part: Part,
        /// Where it begins.
        offset: u64,
        /// The bytes that it takes at least.
        needed: u64,
        /// The length of the file.
        length: u64,
    },
    /// More entries than the file has room for.
    #[error("it announces {found} {what}, its length allows at most {most}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// The number in the file.
        found: u64,
        /// The largest number that fits.
        most: u64,
    },
    /// A text that is not UTF-8.
    #[error("{part} is not UTF-8: the text begins at byte {offset}")]
    Utf8 {
        /// What is no text.
        part: Part,
        /// Where it begins.
        offset: u64,
    },
    /// A type of metadata values that is not known.
    #[error("the value of {key} has the type {found}, supported: 0 to 12")]
    ValueType {
        /// The key.
        key: String,
        /// The type's number.
        found: u32,
    },
    /// A list of lists, which no key of a language model is.
    #[error("the value of {key} is a list of lists, supported: lists of numbers, flags or texts")]
    NestedArray {
        /// The key.
        key: String,
    },
    /// A flag that is neither false nor true.
    #[error("the value of {key} holds a flag of {found}, supported: 0 and 1")]
    Flag {
        /// The key.
        key: String,
        /// The byte.
        found: u8,
    },
    /// A key that occurs twice.
    #[error("the key {key} occurs twice")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// An alignment of the tensors that is no alignment.
    #[error("general.alignment is {found}, supported: a power of two below 2^32")]
    Alignment {
        /// The value.
        found: String,
    },
    /// A tensor that occurs twice.
    #[error("the tensor {name} occurs twice")]
    DuplicateTensor {
        /// The tensor.
        name: String,
    },
    /// A tensor with too many dimensions or none.
    #[error("the tensor {name} has {found} dimensions, supported: 1 to 4")]
    Dimensions {
        /// The tensor.
        name: String,
        /// Their number.
        found: u32,
    },
    /// A tensor without elements, or with more than can be counted.
    #[error("the tensor {name} has the dimensions {dims:?}, supported: numbers above 0 with a product below 2^63")]
    Shape {
        /// The tensor.
        name: String,
        /// The dimensions, innermost first.
        dims: Vec<u64>,
    },
    /// A tensor in a format that is not read.
    #[error("the tensor {name} is stored as {} (type {found}), supported: {}", type_name(*found), supported())]
    TensorType {
        /// The tensor.
        name: String,
        /// The number that ggml gives the format.
        found: u32,
    },
    /// Rows that are no whole number of blocks.
    #[error("the tensor {name} has rows of {found} elements, {format} requires a multiple of {block}")]
    RowLength {
        /// The tensor.
        name: String,
        /// The number of elements in a row.
        found: u64,
        /// The format.
        format: &'static str,
        /// The number of elements in a block.
        block: usize,
    },
    /// A tensor that overlaps the one before, leaves a gap, or is not aligned.
    #[error("the tensor {name} begins at byte {found} of the data, after the tensors before it comes byte {expected}")]
    Offset {
        /// The tensor.
        name: String,
        /// Where it begins, by the file.
        found: u64,
        /// Where it must begin.
        expected: u64,
    },
    /// Bytes that belong to no tensor.
    #[error("{found} bytes follow the last tensor, padding has at most {most}")]
    Trailing {
        /// Their number.
        found: u64,
        /// The largest number that padding takes.
        most: u64,
    },
    /// A part of a model whose number or count is another than its name says.
    #[error("{key} is {found}, the file is part {number} of {count}")]
    Split {
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
        /// The part's number, by the name of the file, from 1.
        number: usize,
        /// The number of parts.
        count: usize,
    },
    /// The file is a part of a model, but its name does not tell where the others are.
    #[error(
        "it is part {number} of {count}: the name of each must end in -0000N-of-{count:05}.gguf, and the first one is opened"
    )]
    SplitName {
        /// The part's number, from 1.
        number: u64,
        /// The number of parts.
        count: u64,
    },
    /// Control vectors without any vector.
    #[error("there is no direction, control vectors have at least one")]
    NoDirections,
    /// A tensor in a file of control vectors that is none.
    #[error("the tensor {name} is no control vector, supported: direction.1, direction.2 and so on")]
    NoDirection {
        /// The tensor.
        name: String,
    },
    /// A control vector for the first layer.
    #[error("there is a direction for layer 0, where llama.cpp does not steer, supported: layers from 1 on")]
    FirstLayer,
    /// A control vector that is no vector, or not as wide as the others.
    #[error("the tensor {name} has the shape {found:?}, expected: [{width}]")]
    DirectionShape {
        /// The tensor.
        name: String,
        /// Its shape, outermost first.
        found: Vec<usize>,
        /// The width of the first one.
        width: usize,
    },
    /// A control vector with NaN or infinity.
    #[error("the tensor {name} holds {value} at element {index}, supported: finite numbers")]
    NotFinite {
        /// The tensor.
        name: String,
        /// The index of the first such element.
        index: usize,
        /// Its value.
        value: f32,
    },
    /// Parts of the model that are not there.
    #[error("{missing} of its parts are missing, the first is {}", first.display())]
    MissingParts {
        /// The first of them.
        first: PathBuf,
        /// Their number.
        missing: usize,
    },
    /// Parts that do not hold as many tensors as the first announces.
    #[error("split.tensors.count is {announced}, its parts hold {found} tensors")]
    SplitTensors {
        /// The number that the first part announces.
        announced: String,
        /// The number of tensors in all parts.
        found: usize,
    },
}

/// A part of a GGUF file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Version and counts.
    Header,
    /// A key, by its place in the list.
    Key(u64),
    /// The value of a key.
    Value(String),
    /// The name of a tensor, by its place in the list.
    TensorName(u64),
    /// The description of a tensor.
    TensorInfo(String),
    /// The elements of a tensor.
    TensorData(String),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("the header"),
            Self::Key(index) => write!(f, "metadata key number {index}"),
            Self::Value(key) => write!(f, "the value of {key}"),
            Self::TensorName(index) => write!(f, "the name of tensor number {index}"),
            Self::TensorInfo(name) => write!(f, "the description of the tensor {name}"),
            Self::TensorData(name) => write!(f, "the tensor {name}"),
        }
    }
}

/// Returns the name of a format that ggml numbers `id`, supported or not.
fn type_name(id: u32) -> &'static str {
    match id {
        4 => "Q4_2",
        5 => "Q4_3",
        9 => "Q8_1",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        31 => "Q4_0_4_4",
        32 => "Q4_0_4_8",
        33 => "Q4_0_8_8",
        34 => "TQ1_0",
        35 => "TQ2_0",
        36 => "IQ4_NL_4_4",
        39 => "MXFP4",
        40 => "NVFP4",
        _ => "an unknown format",
    }
}

fn supported() -> String {
    stir_kernels::Format::ALL.map(stir_kernels::Format::name).join(", ")
}
