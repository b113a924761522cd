//! The file or files of a model.

use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::{GgufError, header::Header, value::Value};
use crate::{ModelError, checkpoint::Shard};

/// The files of a model, memory-mapped. The first has the metadata.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) parts: Vec<PartFile>,
}

/// One file.
#[derive(Debug)]
pub(crate) struct PartFile {
    pub(crate) path: PathBuf,
    pub(crate) map: Mmap,
    pub(crate) header: Header,
}

const NUMBER: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

impl Files {
    /// Opens a model of one file, or of several by the first one, `..-00001-of-0000N.gguf`.
    ///
    /// # Errors
    /// A file cannot be read or breaks the format, or a part is missing or another one than its name says.
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let broken = |source| ModelError::Gguf { path: path.to_owned(), source };
        let first = PartFile::open(path)?;
        let number = |key| first.header.metadata.get(key).and_then(Value::as_u64);
        let (index, count) = (number(NUMBER).unwrap_or(0), number(COUNT).unwrap_or(1));
        if count <= 1 {
            return Ok(Self { parts: vec![first] });
        }
        let stem = path.file_name().and_then(|name| name.to_str()).and_then(|name| stem(name, count));
        let Some(stem) = stem.filter(|_| index == 0) else {
            return Err(broken(GgufError::SplitName { number: index.saturating_add(1), count }));
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        // The number is in the file's name, five digits long.
        let count = count as usize;
        let others = (2..=count).map(|number| folder.join(format!("{stem}-{number:05}-of-{count:05}.gguf")));
        let (mut missing, mut earliest) = (0, None);
        for path in others.clone().filter(|path| !path.exists()) {
            missing += 1;
            earliest.get_or_insert(path);
        }
        if let Some(first) = earliest {
            return Err(broken(GgufError::MissingParts { first, missing }));
        }
        let others = others.map(|path| PartFile::open(&path));
        let parts = std::iter::once(Ok(first)).chain(others).collect::<Result<Vec<_>, _>>()?;
        for (part, number) in parts.iter().zip(1..) {
            part.check(number, count)?;
        }
        let found = parts.iter().map(|part| part.header.tensors.len()).sum();
        match parts.first().and_then(|part| part.header.metadata.get(TENSORS)) {
            Some(value) if value.as_u64() != Some(found as u64) => {
                Err(broken(GgufError::SplitTensors { announced: value.to_string(), found }))
            }
            _ => Ok(Self { parts }),
        }
    }
}

impl PartFile {
    pub(super) fn open(path: &Path) -> Result<Self, ModelError> {
        let Shard { path, map } = Shard::open(path)?;
        let header = Header::read(&map).map_err(|source| ModelError::Gguf { path: path.clone(), source })?;
        Ok(Self { path, map, header })
    }

    /// Checks that the file says of itself that it is part `number` of `count`.
    fn check(&self, number: usize, count: usize) -> Result<(), ModelError> {
        for (key, expected) in [(NUMBER, number - 1), (COUNT, count)] {
            let value = self.header.metadata.get(key);
            if value.and_then(Value::as_u64) != Some(expected as u64) {
                let found = value.map_or_else(|| "missing".to_owned(), Value::to_string);
                let source = GgufError::Split { key, found, number, count };
                return Err(ModelError::Gguf { path: self.path.clone(), source });
            }
        }
        Ok(())
    }
}

/// Returns what comes before `-00001-of-0000N.gguf` in the name of the first of `count` parts.
fn stem(name: &str, count: u64) -> Option<&str> {
    let count = Some(count).filter(|count| *count < 100_000)?;
    name.strip_suffix(".gguf")?.strip_suffix(&format!("{count:05}"))?.strip_suffix("-00001-of-")
}
