//! Metadata values, and reading them from bytes.

use std::{fmt, ops::Range};

use super::{GgufError, Part};

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Flag(bool),
    Text(String),
    List(List),
}

/// A list of the metadata. Its elements stay in the file: a vocabulary is read once, by the tokenizer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct List {
    kind: Kind,
    pub(crate) count: usize,
    /// Where the elements are in the file.
    pub(crate) bytes: Range<usize>,
}

/// The types of values that are no lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Flag,
    Text,
    U64,
    I64,
    F64,
}

const LIST: u32 = 9;

impl Kind {
    fn of(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Flag,
            8 => Self::Text,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return None,
        })
    }

    /// Returns the bytes of a value; of a text, those of its length.
    fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Flag => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::Text | Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Returns the number in `bytes`, which are as many as a value takes.
    fn number(self, bytes: &[u8]) -> Value {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let bits = u64::from_le_bytes(wide);
        // The sign is the first bit of as many as the type has.
        let unused = 64 - 8 * bytes.len() as u32;
        match self {
            Self::U8 | Self::U16 | Self::U32 | Self::U64 | Self::Text => Value::Unsigned(bits),
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => Value::Signed((bits << unused).cast_signed() >> unused),
            Self::F32 => Value::Float(f32::from_bits(bits as u32).into()),
            Self::F64 => Value::Float(f64::from_bits(bits)),
            Self::Flag => Value::Flag(bits != 0),
        }
    }
}

impl Value {
    /// Reads the value of `key`, its type first.
    pub(super) fn read(cursor: &mut Cursor<'_>, key: &str) -> Result<Self, GgufError> {
        let part = || Part::Value(key.to_owned());
        let unknown = |found| GgufError::ValueType { key: key.to_owned(), found };
        let id = cursor.u32(part)?;
        if id != LIST {
            let kind = Kind::of(id).ok_or_else(|| unknown(id))?;
            if kind == Kind::Text {
                return Ok(Self::Text(cursor.text(part)?.to_owned()));
            }
            let bytes = cursor.take(kind.size() as u64, part)?;
            if kind == Kind::Flag {
                check_flags(bytes, key)?;
            }
            return Ok(kind.number(bytes));
        }
        let id = cursor.u32(part)?;
        if id == LIST {
            return Err(GgufError::NestedArray { key: key.to_owned() });
        }
        let kind = Kind::of(id).ok_or_else(|| unknown(id))?;
        let count = cursor.u64(part)?;
        let (start, size) = (cursor.at, count.saturating_mul(kind.size() as u64));
        if kind == Kind::Text {
            cursor.check(size, part)?;
            for _ in 0..count {
                cursor.text(part)?;
            }
        } else {
            let bytes = cursor.take(size, part)?;
            if kind == Kind::Flag {
                check_flags(bytes, key)?;
            }
        }
        // What has been read fits into memory.
        Ok(Self::List(List { kind, count: count as usize, bytes: start..cursor.at }))
    }

    pub(crate) fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::Unsigned(number) => Some(number),
            Self::Signed(number) => number.try_into().ok(),
            _ => None,
        }
    }

    pub(crate) fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Unsigned(number) => Some(number as f64),
            Self::Signed(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn as_flag(&self) -> Option<bool> {
        if let Self::Flag(flag) = self { Some(*flag) } else { None }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) fn as_list(&self) -> Option<&List> {
        if let Self::List(list) = self { Some(list) } else { None }
    }
}

impl fmt::Display for Value {
    /// Writes the value as JSON does; of a long text the beginning, of a list its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 60;
        match self {
            Self::Unsigned(number) => number.fmt(f),
            Self::Signed(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Text(text) if text.chars().nth(LONGEST).is_some() => {
                write!(f, "{:?}..", text.chars().take(LONGEST).collect::<String>())
            }
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(list) => write!(f, "a list of {}", list.count),
        }
    }
}

impl List {
    /// Returns the elements of a list of texts; `None` for another list. `file` is what the list was read from.
    pub(crate) fn texts<'a>(&self, file: &'a [u8]) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
        let mut cursor = Cursor { bytes: file, at: self.bytes.start };
        let count = self.count;
        // They have been read before.
        let text = move |_| cursor.text(|| Part::Header).unwrap_or_default();
        (self.kind == Kind::Text).then(|| (0..count).map(text))
    }

    /// Returns the elements of a list of numbers or flags; `None` for another list.
    pub(crate) fn numbers<'a>(&self, file: &'a [u8]) -> Option<impl Iterator<Item = Value> + use<'a>> {
        let kind = self.kind;
        let bytes = file.get(self.bytes.clone())?;
        (kind != Kind::Text).then(|| bytes.chunks_exact(kind.size()).map(move |bytes| kind.number(bytes)))
    }
}

fn check_flags(bytes: &[u8], key: &str) -> Result<(), GgufError> {
    match bytes.iter().find(|&&byte| byte > 1) {
        Some(&found) => Err(GgufError::Flag { key: key.to_owned(), found }),
        None => Ok(()),
    }
}

/// A place in the bytes of a file.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    /// Checks that there are `count` more bytes.
    pub(super) fn check(&self, count: u64, part: impl FnOnce() -> Part) -> Result<(), GgufError> {
        let (offset, length) = (self.at as u64, self.bytes.len() as u64);
        if count <= self.left() {
            return Ok(());
        }
        Err(GgufError::Truncated { part: part(), offset, needed: count, length })
    }

    pub(super) fn take(&mut self, count: u64, part: impl FnOnce() -> Part) -> Result<&'a [u8], GgufError> {
        self.check(count, part)?;
        let start = self.at;
        self.at += count as usize;
        Ok(&self.bytes[start..self.at])
    }

    fn array<const N: usize>(&mut self, part: impl FnOnce() -> Part) -> Result<[u8; N], GgufError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, part)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self, part: impl FnOnce() -> Part) -> Result<u32, GgufError> {
        self.array(part).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, part: impl FnOnce() -> Part) -> Result<u64, GgufError> {
        self.array(part).map(u64::from_le_bytes)
    }

    pub(super) fn text(&mut self, part: impl Fn() -> Part) -> Result<&'a str, GgufError> {
        let length = self.u64(&part)?;
        let offset = self.at as u64;
        let bytes = self.take(length, &part)?;
        std::str::from_utf8(bytes).map_err(|_| GgufError::Utf8 { part: part(), offset })
    }
}
