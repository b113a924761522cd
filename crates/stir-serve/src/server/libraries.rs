use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use serde_json::{Value, json};
use stir_basis::Library;
use stir_core::Fingerprint;

use crate::{ServeConfig, ServeError};

/// The libraries that requests can name. They are replaced and removed while answers run: an answer keeps the one that
/// it began with.
#[derive(Debug)]
pub(crate) struct Libraries {
    by_name: RwLock<BTreeMap<String, Arc<Library>>>,
    limit: usize,
    allow_requantised: bool,
}

impl Libraries {
    pub(crate) fn new(config: &ServeConfig) -> Self {
        let allow_requantised = config.controller.allow_requantised;
        Self { by_name: RwLock::default(), limit: config.max_libraries, allow_requantised }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Library>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Adds a library of the model, or puts it in the place of the one of its name; returns whether there was one.
    pub(crate) fn put(&self, name: &str, library: Arc<Library>, model: &Fingerprint) -> Result<bool, ServeError> {
        check_name(name)?;
        library.check(model, self.allow_requantised).map_err(ServeError::Library)?;
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        if !by_name.contains_key(name) && by_name.len() >= self.limit {
            return Err(ServeError::TooManyLibraries { limit: self.limit });
        }
        Ok(by_name.insert(name.to_owned(), library).is_some())
    }

    /// Returns whether there was one.
    pub(crate) fn remove(&self, name: &str) -> bool {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).remove(name).is_some()
    }

    pub(crate) fn list(&self) -> Value {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let data: Vec<Value> = by_name.iter().map(|(name, library)| describe(name, library)).collect();
        json!({ "object": "list", "data": data })
    }
}

/// Checks the name of a library.
pub(crate) fn check_name(name: &str) -> Result<(), ServeError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        true => Ok(()),
        // No more of a long one than tells which it is.
        false => Err(ServeError::LibraryName { name: name.chars().take(80).collect() }),
    }
}

pub(crate) fn describe(name: &str, library: &Library) -> Value {
    json!({
        "id": name,
        "object": "library",
        "entries": library.entries().len(),
        "vectors": library.entries().iter().filter(|entry| entry.vector().is_some()).count(),
        "layers": library.layers(),
        "delimiter": library.delimiter().as_str(),
        "value_heads": library.heads().len(),
        "validated": library.validated(),
        "fingerprint": library.fingerprint(),
    })
}
