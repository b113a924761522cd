//! Values by their keys, checked: what is missing, of another type or out of bounds is an error that names the key.

use std::path::Path;

use super::{
    files::PartFile,
    value::{List, Value},
};
use crate::ModelError;

/// The metadata of a model. Keys that nothing asks for are ignored: files hold many that concern other programs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Metadata<'a> {
    pub(super) path: &'a Path,
    /// The bytes of the file, in which the elements of lists are.
    pub(super) file: &'a [u8],
    values: &'a std::collections::BTreeMap<String, Value>,
}

/// Bound of every size, so that no product of two of them overflows.
const LARGEST: u64 = 1 << 31;

impl<'a> Metadata<'a> {
    pub(super) fn of(part: &'a PartFile) -> Self {
        Self { path: &part.path, file: &part.map, values: &part.header.metadata }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.values.get(key)
    }

    /// Returns the error that refuses the value of `key`.
    pub(super) fn refuse(&self, key: &str, supported: &'static str) -> ModelError {
        let value = self.get(key).map_or_else(|| "missing".to_owned(), Value::to_string);
        ModelError::Config { path: self.path.to_owned(), field: key.to_owned(), value, supported }
    }

    /// Returns the value of `key` as `read` sees it; `None` without such a key.
    fn read<T>(
        &self,
        key: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
        supported: &'static str,
    ) -> Result<Option<T>, ModelError> {
        self.get(key).map(|value| read(value).ok_or_else(|| self.refuse(key, supported))).transpose()
    }

    pub(super) fn size(&self, key: &str) -> Result<Option<usize>, ModelError> {
        let size = |value: &Value| value.as_u64().filter(|size| (1..=LARGEST).contains(size));
        Ok(self.read(key, size, "a whole number from 1 to 2^31")?.map(|size| size as usize))
    }

    pub(super) fn required_size(&self, key: &str) -> Result<usize, ModelError> {
        self.size(key)?.ok_or_else(|| self.refuse(key, "a whole number from 1 to 2^31"))
    }

    /// Returns a size of which 0 means that there is none.
    pub(super) fn size_or_none(&self, key: &str) -> Result<Option<usize>, ModelError> {
        let size = |value: &Value| value.as_u64().filter(|size| *size <= LARGEST);
        let size = self.read(key, size, "a whole number from 0 to 2^31")?;
        Ok(size.filter(|size| *size > 0).map(|size| size as usize))
    }

    /// Returns a number above 0.
    pub(super) fn positive(&self, key: &str) -> Result<Option<f64>, ModelError> {
        let number = |value: &Value| value.as_f64().filter(|x| x.is_finite() && *x > 0.0);
        self.read(key, number, "a finite number above 0")
    }

    /// Returns a number above 0, of which 0 means that there is none.
    pub(super) fn positive_or_none(&self, key: &str) -> Result<Option<f64>, ModelError> {
        let number = |value: &Value| value.as_f64().filter(|x| x.is_finite() && *x >= 0.0);
        Ok(self.read(key, number, "a finite number, at least 0")?.filter(|x| *x > 0.0))
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, ModelError> {
        self.read(key, Value::as_flag, "true or false")
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, ModelError> {
        self.read(key, Value::as_text, "a text")
    }

    pub(super) fn list(&self, key: &str) -> Result<Option<&'a List>, ModelError> {
        self.read(key, Value::as_list, "a list")
    }

    /// Returns a list of texts.
    pub(super) fn texts(&self, key: &str) -> Result<Option<impl Iterator<Item = &'a str> + use<'a>>, ModelError> {
        let texts = |value: &'a Value| value.as_list()?.texts(self.file);
        self.read(key, texts, "a list of texts")
    }

    /// Returns a list of numbers or flags.
    pub(super) fn numbers(&self, key: &str) -> Result<Option<impl Iterator<Item = Value> + use<'a>>, ModelError> {
        let numbers = |value: &'a Value| value.as_list()?.numbers(self.file);
        self.read(key, numbers, "a list of numbers")
    }

    /// Refuses a value that would change what the model computes, unless it has no effect.
    pub(super) fn neutral(&self, key: &str, neutral: &[f64], supported: &'static str) -> Result<(), ModelError> {
        let number = |value: &Value| value.as_f64().or(value.as_flag().map(|flag| f64::from(u8::from(flag))));
        match self.get(key) {
            Some(value) if !number(value).is_some_and(|x| neutral.contains(&x)) => Err(self.refuse(key, supported)),
            _ => Ok(()),
        }
    }
}
