//! What a file holds: its metadata, and where its tensors are.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use stir_kernels::Format;

use super::{
    GgufError, Part,
    value::{Cursor, Value},
};

/// The header of one file.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) metadata: BTreeMap<String, Value>,
    pub(crate) tensors: Vec<TensorInfo>,
}

/// A tensor of a file.
#[derive(Debug)]
pub(crate) struct TensorInfo {
    pub(crate) name: String,
    pub(crate) format: Format,
    /// Its shape, outermost first.
    pub(crate) shape: Vec<usize>,
    /// Where its elements are in the file.
    pub(crate) data: Range<usize>,
}

pub(super) const MAGIC: &[u8] = b"GGUF";
/// The bytes that a key with its value takes at least: the length of the key, the type and one byte.
const SMALLEST_ENTRY: u64 = 8 + 4 + 1;
/// The bytes that the description of a tensor takes at least: the length of its name, one dimension, type and offset.
const SMALLEST_TENSOR: u64 = 8 + 4 + 8 + 4 + 8;
const MOST_DIMENSIONS: u32 = 4;
const ALIGNMENT: &str = "general.alignment";

impl Header {
    /// Reads the header of a whole file. Nothing is allocated that the file's own bytes do not stand for.
    ///
    /// # Errors
    /// The file breaks the format, is truncated, or holds what is not supported.
    pub(crate) fn read(file: &[u8]) -> Result<Self, GgufError> {
        let mut cursor = Cursor { bytes: file, at: 0 };
        let magic = &file[..file.len().min(MAGIC.len())];
        if magic != MAGIC {
            return Err(GgufError::Magic { found: magic.to_vec() });
        }
        cursor.at = MAGIC.len();
        match cursor.u32(|| Part::Header)? {
            2 | 3 => {}
            // Versions are small, so one with nothing in its lower half was written in the other order.
            found if found != 0 && found & 0xffff == 0 => return Err(GgufError::BigEndian { found }),
            found => return Err(GgufError::Version { found }),
        }
        let (tensors, entries) = (cursor.u64(|| Part::Header)?, cursor.u64(|| Part::Header)?);
        let check = |what, found, most| {
            if found > most { Err(GgufError::Count { what, found, most }) } else { Ok(()) }
        };
        check("metadata entries", entries, cursor.left() / SMALLEST_ENTRY)?;
        check("tensors", tensors, cursor.left() / SMALLEST_TENSOR)?;
        let mut metadata = BTreeMap::new();
        for index in 0..entries {
            let key = cursor.text(|| Part::Key(index))?;
            let value = Value::read(&mut cursor, key)?;
            if metadata.insert(key.to_owned(), value).is_some() {
                return Err(GgufError::DuplicateKey { key: key.to_owned() });
            }
        }
        let tensors = read_tensors(&mut cursor, tensors, alignment(&metadata)?)?;
        Ok(Self { metadata, tensors })
    }
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Result<u64, GgufError> {
    let Some(value) = metadata.get(ALIGNMENT) else { return Ok(32) };
    let valid = |alignment: &u64| alignment.is_power_of_two() && *alignment <= u32::MAX.into();
    value.as_u64().filter(valid).ok_or_else(|| GgufError::Alignment { found: value.to_string() })
}

fn read_tensors(cursor: &mut Cursor<'_>, count: u64, alignment: u64) -> Result<Vec<TensorInfo>, GgufError> {
    let mut names = BTreeSet::new();
    let mut tensors = Vec::new();
    // Where the next tensor begins, in the data.
    let mut next = 0u64;
    for index in 0..count {
        let name = cursor.text(|| Part::TensorName(index))?;
        if !names.insert(name) {
            return Err(GgufError::DuplicateTensor { name: name.to_owned() });
        }
        let (format, shape, size) = read_info(cursor, name)?;
        let found = cursor.u64(|| Part::TensorInfo(name.to_owned()))?;
        if found != next {
            return Err(GgufError::Offset { name: name.to_owned(), found, expected: next });
        }
        // The ends are checked below, when it is known where the data begins.
        let end = next.checked_add(size).and_then(|end| Some((end, end.checked_next_multiple_of(alignment)?)));
        let Some((end, after)) = end else {
            let (offset, length) = (next, cursor.bytes.len() as u64);
            return Err(GgufError::Truncated { part: Part::TensorData(name.to_owned()), offset, needed: size, length });
        };
        tensors.push((name, format, shape, next..end));
        next = after;
    }
    let length = cursor.bytes.len() as u64;
    let (data, mut last) = ((cursor.at as u64).next_multiple_of(alignment), cursor.at as u64);
    let mut placed = Vec::with_capacity(tensors.len());
    for (name, format, shape, range) in tensors {
        let (start, end) = (data.saturating_add(range.start), data.saturating_add(range.end));
        if end > length {
            let (part, needed) = (Part::TensorData(name.to_owned()), range.end - range.start);
            return Err(GgufError::Truncated { part, offset: start, needed, length });
        }
        placed.push(TensorInfo { name: name.to_owned(), format, shape, data: start as usize..end as usize });
        last = end;
    }
    if length - last >= alignment {
        return Err(GgufError::Trailing { found: length - last, most: alignment - 1 });
    }
    Ok(placed)
}

/// Reads the format and the shape of a tensor. Returns them with its size in bytes.
fn read_info(cursor: &mut Cursor<'_>, name: &str) -> Result<(Format, Vec<usize>, u64), GgufError> {
    let part = || Part::TensorInfo(name.to_owned());
    let dimensions = cursor.u32(part)?;
    if !(1..=MOST_DIMENSIONS).contains(&dimensions) {
        return Err(GgufError::Dimensions { name: name.to_owned(), found: dimensions });
    }
    let dims = (0..dimensions).map(|_| cursor.u64(part)).collect::<Result<Vec<_>, _>>()?;
    let id = cursor.u32(part)?;
    let format = Format::from_ggml(id).ok_or_else(|| GgufError::TensorType { name: name.to_owned(), found: id })?;
    let impossible = || GgufError::Shape { name: name.to_owned(), dims: dims.clone() };
    let elements = dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim));
    let elements = elements.filter(|&n| n != 0 && n <= i64::MAX as u64).ok_or_else(impossible)?;
    let (row, block) = (dims[0], format.block_len());
    if !row.is_multiple_of(block as u64) {
        return Err(GgufError::RowLength { name: name.to_owned(), found: row, format: format.name(), block });
    }
    let size = (elements / block as u64).checked_mul(format.block_bytes() as u64).ok_or_else(impossible)?;
    let shape = dims.iter().rev().map(|&dim| usize::try_from(dim)).collect::<Result<_, _>>();
    Ok((format, shape.map_err(|_| impossible())?, size))
}
