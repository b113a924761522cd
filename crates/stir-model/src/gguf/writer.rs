//! Writing files of texts, numbers and vectors of f32.

use stir_kernels::Format;

/// What a file is to hold, in the order in which it was added.
#[derive(Debug, Default)]
pub(super) struct File {
    entries: u64,
    metadata: Vec<u8>,
    tensors: u64,
    descriptions: Vec<u8>,
    data: Vec<u8>,
}

const VERSION: u32 = 3;
/// The alignment of tensors in files that do not name another one.
const ALIGNMENT: usize = 32;

/// A value of the metadata.
pub(super) trait Value {
    const KIND: u32;
    fn write(&self, bytes: &mut Vec<u8>);
}

pub(super) struct Text<'a>(pub(super) &'a str);
pub(super) struct U32(pub(super) u32);

impl Value for Text<'_> {
    const KIND: u32 = 8;

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend((self.0.len() as u64).to_le_bytes());
        bytes.extend(self.0.as_bytes());
    }
}

impl Value for U32 {
    const KIND: u32 = 4;

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.0.to_le_bytes());
    }
}

impl File {
    pub(super) fn set<V: Value>(&mut self, key: &str, value: V) {
        Text(key).write(&mut self.metadata);
        self.metadata.extend(V::KIND.to_le_bytes());
        value.write(&mut self.metadata);
        self.entries += 1;
    }

    /// Adds a tensor of one dimension.
    pub(super) fn add(&mut self, name: &str, vector: &[f32]) {
        const DIMENSIONS: u32 = 1;
        Text(name).write(&mut self.descriptions);
        self.descriptions.extend(DIMENSIONS.to_le_bytes());
        self.descriptions.extend((vector.len() as u64).to_le_bytes());
        self.descriptions.extend(Format::F32.ggml().to_le_bytes());
        self.descriptions.extend((self.data.len() as u64).to_le_bytes());
        self.data.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
        pad(&mut self.data);
        self.tensors += 1;
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        let mut bytes = super::header::MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.tensors.to_le_bytes());
        bytes.extend(self.entries.to_le_bytes());
        bytes.extend(self.metadata);
        bytes.extend(self.descriptions);
        pad(&mut bytes);
        bytes.extend(self.data);
        bytes
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
}
