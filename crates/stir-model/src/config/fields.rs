use std::{cell::RefCell, path::Path, rc::Rc};

use serde_json::{Map, Value};

use super::known;
use crate::ModelError;

/// The fields of a `config.json` that have not been read yet.
///
/// A reader takes the fields it supports; [`finish`](Self::finish) looks at what is left, so that no field is ignored
/// silently.
pub(super) struct Fields<'p> {
    path: &'p Path,
    /// The name of the object that has these fields, followed by a dot; empty at the root.
    prefix: String,
    fields: Map<String, Value>,
    /// The names of the fields that nothing reads, of all objects of the file.
    ignored: Rc<RefCell<Vec<String>>>,
}

/// Bound of every size, so that no product of two of them overflows what is computed from them before the checkpoint
/// has its say.
const LARGEST: usize = 1 << 31;

const UNQUANTIZED: &str = "no quantization; take the model that this one was quantized from, or save it dequantized as \
                           safetensors in F32, BF16 or F16";

impl<'p> Fields<'p> {
    pub(super) fn new(path: &'p Path, fields: Map<String, Value>) -> Self {
        Self { path, prefix: String::new(), fields, ignored: Rc::default() }
    }

    /// Returns no field at all, of the same file.
    pub(super) fn none(&self) -> Self {
        Self::new(self.path, Map::new())
    }

    /// Returns the names of the fields that were left when their object was finished.
    pub(super) fn ignored(&self) -> Rc<RefCell<Vec<String>>> {
        Rc::clone(&self.ignored)
    }

    /// Sets a field that is missing to `value`.
    pub(super) fn default(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.entry(name).or_insert(value.into());
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Returns the error that refuses `value` for `field`.
    pub(super) fn refuse(&self, field: &str, value: impl Into<Value>, supported: &'static str) -> ModelError {
        let field = format!("{}{field}", self.prefix);
        ModelError::Config { path: self.path.to_owned(), field, value: value.into().to_string(), supported }
    }

    /// Takes the value of a field: `None` if it is missing, and [`Value::Null`] if it is null.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name)
    }

    /// Ignores fields that do not matter in this family.
    pub(super) fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.fields.remove(*name);
        }
    }

    /// Returns the value of a field that is there and not null.
    fn given(&mut self, name: &str) -> Option<Value> {
        self.take(name).filter(|value| !value.is_null())
    }

    pub(super) fn size(&mut self, name: &str) -> Result<usize, ModelError> {
        self.optional_size(name)?.ok_or_else(|| self.refuse(name, Value::Null, "a whole number above 0"))
    }

    pub(super) fn optional_size(&mut self, name: &str) -> Result<Option<usize>, ModelError> {
        match self.whole(name)? {
            Some(size) if size == 0 || size > LARGEST => Err(self.refuse(name, size, "a whole number from 1 to 2^31")),
            size => Ok(size),
        }
    }

    /// Returns a whole number.
    pub(super) fn whole(&mut self, name: &str) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.given(name) else { return Ok(None) };
        match value.as_u64().and_then(|n| usize::try_from(n).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(self.refuse(name, value, "a whole number")),
        }
    }

    /// Returns a number above 0.
    pub(super) fn positive(&mut self, name: &str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.given(name) else { return Ok(None) };
        // Computed with in f32, where others become 0 or infinite.
        match value.as_f64().filter(|x| *x > 0.0 && (*x as f32).is_normal()) {
            Some(number) => Ok(Some(number)),
            None => Err(self.refuse(name, value, "a finite number above 0")),
        }
    }

    pub(super) fn required(&mut self, name: &str) -> Result<f64, ModelError> {
        self.positive(name)?.ok_or_else(|| self.refuse(name, Value::Null, "a finite number above 0"))
    }

    /// Works like [`optional_size`](Self::optional_size), for a field whose absence means something else than null.
    pub(super) fn size_or(&mut self, name: &str, absent: Option<usize>) -> Result<Option<usize>, ModelError> {
        if self.has(name) { self.optional_size(name) } else { Ok(absent) }
    }

    /// Works like [`size`](Self::size), for a field that has a default; null is none.
    pub(super) fn size_unless_absent(&mut self, name: &str, absent: usize) -> Result<usize, ModelError> {
        if self.has(name) { self.size(name) } else { Ok(absent) }
    }

    /// Returns whether two objects have the same fields.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.fields == other.fields
    }

    /// Works like [`positive`](Self::positive), for a field whose absence means something else than null.
    pub(super) fn positive_or(&mut self, name: &str, absent: Option<f64>) -> Result<Option<f64>, ModelError> {
        if self.has(name) { self.positive(name) } else { Ok(absent) }
    }

    /// Returns a list of `length` numbers above 0.
    pub(super) fn positives(&mut self, name: &str, length: usize) -> Result<Vec<f64>, ModelError> {
        let value = self.take(name).unwrap_or(Value::Null);
        let numbers: Option<Vec<f64>> = value.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
        match numbers.filter(|list| list.len() == length && list.iter().all(|x| x.is_finite() && *x > 0.0)) {
            Some(numbers) => Ok(numbers),
            None => Err(self.refuse(name, value, "one finite number above 0 for each rotary frequency")),
        }
    }

    pub(super) fn flag(&mut self, name: &str, absent: bool) -> Result<bool, ModelError> {
        let Some(value) = self.given(name) else { return Ok(absent) };
        value.as_bool().ok_or_else(|| self.refuse(name, value, "true or false"))
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ModelError> {
        let Some(value) = self.given(name) else { return Ok(None) };
        match value {
            Value::String(text) => Ok(Some(text)),
            value => Err(self.refuse(name, value, "a text")),
        }
    }

    /// Refuses a field that is neither absent nor null nor `only`.
    pub(super) fn only(
        &mut self,
        name: &str,
        only: impl Into<Value>,
        supported: &'static str,
    ) -> Result<(), ModelError> {
        match self.given(name) {
            Some(value) if value != only.into() => Err(self.refuse(name, value, supported)),
            _ => Ok(()),
        }
    }

    /// Returns the fields of an object; `None` if it is missing or null.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Fields<'p>>, ModelError> {
        match self.given(name) {
            None => Ok(None),
            Some(Value::Object(fields)) => {
                let (prefix, ignored) = (format!("{}{name}.", self.prefix), self.ignored());
                Ok(Some(Fields { path: self.path, prefix, fields, ignored }))
            }
            Some(value) => Err(self.refuse(name, value, "an object or null")),
        }
    }

    /// Reads from `layer_types` whether each of `n_layers` layers has a sliding window; `None` without such a field.
    pub(super) fn sliding_layers(&mut self, n_layers: usize) -> Result<Option<Vec<bool>>, ModelError> {
        let Some(value) = self.given("layer_types") else { return Ok(None) };
        let sliding = |kind: &Value| match kind.as_str() {
            Some("full_attention" | "attention") => Some(false),
            Some("sliding_attention") => Some(true),
            _ => None,
        };
        let layers: Option<Vec<bool>> = value.as_array().and_then(|list| list.iter().map(sliding).collect());
        match layers.filter(|list| list.len() == n_layers) {
            Some(layers) => Ok(Some(layers)),
            None => Err(self.refuse("layer_types", value, "full_attention or sliding_attention, once for every layer")),
        }
    }

    /// Reads from `no_rope_layers`, in spite of its name, whether each of `n_layers` layers turns queries and keys;
    /// `None` without such a field. It may be longer than the model is deep.
    pub(super) fn rotary_layers(&mut self, n_layers: usize) -> Result<Option<Vec<bool>>, ModelError> {
        let Some(value) = self.given("no_rope_layers") else { return Ok(None) };
        let turned = |value: &Value| match value.as_u64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        };
        let layers = value.as_array().filter(|list| list.len() >= n_layers);
        match layers.and_then(|list| list[..n_layers].iter().map(turned).collect()) {
            Some(layers) => Ok(Some(layers)),
            None => Err(self.refuse("no_rope_layers", value, "0 or 1 for every layer")),
        }
    }

    /// Refuses weights that are not stored as plain numbers.
    pub(super) fn unquantized(&mut self) -> Result<(), ModelError> {
        for name in ["quantization_config", "compression_config"] {
            let value = match self.given(name) {
                Some(Value::Object(fields)) if fields.is_empty() => continue,
                Some(value) => value,
                None => continue,
            };
            // The rest of it lists layers, sometimes hundreds of them.
            let method = value.get("quant_method").filter(|method| method.is_string()).cloned().unwrap_or(value);
            return Err(self.refuse(name, method, UNQUANTIZED));
        }
        Ok(())
    }

    /// Ends the reading: fields that are left are noted as ignored.
    ///
    /// # Errors
    /// For the first of them that belongs to a kind of model that the decoder does not compute.
    pub(super) fn finish(self) -> Result<(), ModelError> {
        for (name, value) in &self.fields {
            match known::is_left_out(name, value) {
                Some(false) => return Err(self.refuse(name, value.clone(), "no model that needs this field")),
                Some(true) => {}
                None if self.prefix.is_empty() && known::is_irrelevant(name) => {}
                None => self.ignored.borrow_mut().push(format!("{}{name}", self.prefix)),
            }
        }
        Ok(())
    }
}
