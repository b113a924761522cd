use std::{fs, path::Path, sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt};
use object_store::{
    Error, ObjectMeta, ObjectStore, ObjectStoreExt, ObjectStoreScheme, PutMode, PutOptions, PutPayload, UpdateVersion,
    WriteMultipart, parse_url_opts, path::Path as Key,
};
use stir_files::{FileError, FileLock};
use url::Url;

use crate::{CloudError, StoreError};

/// What is uploaded in one request at most; larger files go in parts.
const CHUNK: usize = 8 << 20;

/// The most bytes of an object that is read as a whole: a specification, a claim or a list of files.
const MAX_READ: u64 = 64 << 20;

/// A folder in an object store.
///
/// ```
/// use stir_cloud::{CloudError, Place};
/// let folder = tempfile::tempdir()?;
/// assert!(Place::open(&format!("file://{}/run", folder.path().display())).is_ok());
/// assert!(matches!(Place::open("ftp://host/run"), Err(CloudError::Url { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    prefix: Key,
    /// Where the store is a file system, which has no conditional update: a folder for locks.
    locks: Option<std::path::PathBuf>,
}

impl Place {
    /// Opens the folder at an address: `s3://BUCKET/PATH`, `gs://BUCKET/PATH`, `az://CONTAINER/PATH` or `file:///PATH`.
    ///
    /// Credentials and endpoints come from the variables of the environment that begin with `AWS_`, `GOOGLE_` and `AZURE_`,
    /// and from where the machine has them (a service account, the metadata of an instance); never from the address.
    ///
    /// # Errors
    /// [`CloudError::Url`]. Whether there is such a bucket shows at the first request.
    pub fn open(address: &str) -> Result<Self, CloudError> {
        let refused = |source| CloudError::Url { url: address.to_owned(), source };
        let url = Url::parse(address).map_err(|_| refused(None))?;
        let (scheme, _) = ObjectStoreScheme::parse(&url).map_err(|_| refused(None))?;
        // What follows a `?` or `#` would be dropped, and two addresses would mean one place.
        let has_more = url.query().is_some() || url.fragment().is_some();
        if !url.username().is_empty() || url.password().is_some() || has_more {
            return Err(refused(None));
        }
        let locks = match scheme {
            ObjectStoreScheme::Local => Some(url.to_file_path().map_err(|()| refused(None))?.join("locks")),
            ObjectStoreScheme::AmazonS3 | ObjectStoreScheme::GoogleCloudStorage | ObjectStoreScheme::MicrosoftAzure => {
                None
            }
            _ => return Err(refused(None)),
        };
        // Without their prefixes, names as common as REGION or TOKEN would be taken for settings.
        let settings =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let settings =
            settings.filter(|(name, _)| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| name.starts_with(prefix)));
        let (store, prefix) = parse_url_opts(&url, settings).map_err(|error| refused(Some(StoreError(error))))?;
        Ok(Self { store: store.into(), prefix, locks })
    }

    /// Returns an empty folder in memory, for tests; clones share it.
    pub fn in_memory() -> Self {
        Self { store: Arc::new(object_store::memory::InMemory::new()), prefix: Key::default(), locks: None }
    }

    /// Returns the address of an object here, by its path.
    pub(crate) fn key(&self, path: &str) -> Key {
        path.split('/').filter(|part| !part.is_empty()).fold(self.prefix.clone(), Key::join)
    }

    /// Returns the objects below a folder, with their paths from there.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<(String, ObjectMeta)>, CloudError> {
        let prefix = self.key(folder);
        let found = self.store.list(Some(&prefix)).try_collect::<Vec<_>>().await;
        let found = found.map_err(CloudError::store("list", &prefix))?;
        let path = |meta: &ObjectMeta| {
            Some(
                meta.location.prefix_match(&prefix)?.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"),
            )
        };
        Ok(found.into_iter().filter_map(|meta| Some((path(&meta)?, meta))).collect())
    }

    /// Reads an object, with what tells its version.
    pub(crate) async fn read(&self, path: &str) -> Result<Option<(Vec<u8>, UpdateVersion)>, CloudError> {
        let key = self.key(path);
        let found = match self.store.get(&key).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(CloudError::store("read", &key))?,
        };
        if found.meta.size > MAX_READ {
            let what = "it is larger than 64 MiB, which nothing is that is read as a whole";
            return Err(CloudError::Foreign { path: key.to_string(), what });
        }
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let bytes = found.bytes().await.map_err(CloudError::store("read", &key))?;
        Ok(Some((bytes.to_vec(), version)))
    }

    /// Writes an object if there is none; returns its version, or `None` if there is one.
    ///
    /// `bytes` must be like no others: a request whose answer was lost is repeated, and then finds what it wrote.
    pub(crate) async fn create(&self, path: &str, bytes: Vec<u8>) -> Result<Option<UpdateVersion>, CloudError> {
        self.put(path, bytes, PutMode::Create).await
    }

    /// Writes an object if it still has this version; returns the new one, or `None` if it has not. As in
    /// [`create`](Self::create), `bytes` must be like no others.
    pub(crate) async fn update(
        &self,
        path: &str,
        bytes: Vec<u8>,
        version: &UpdateVersion,
    ) -> Result<Option<UpdateVersion>, CloudError> {
        let Some(locks) = &self.locks else { return self.put(path, bytes, PutMode::Update(version.clone())).await };
        let _lock = locked(locks, path).await?;
        match self.read(path).await? {
            Some((_, there)) if there == *version => self.put(path, bytes, PutMode::Overwrite).await,
            _ => Ok(None),
        }
    }

    async fn put(&self, path: &str, bytes: Vec<u8>, mode: PutMode) -> Result<Option<UpdateVersion>, CloudError> {
        let (key, options) = (self.key(path), PutOptions { mode, ..PutOptions::default() });
        match self.store.put_opts(&key, PutPayload::from(bytes.clone()), options).await {
            Ok(put) => Ok(Some(put.into())),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. }) => {
                let there = self.read(path).await?;
                Ok(there.filter(|(there, _)| *there == bytes).map(|(_, version)| version))
            }
            Err(error) => Err(CloudError::store("write", &key)(error)),
        }
    }

    /// Uploads a file to a path that no other writer uses; returns the number of its bytes and their BLAKE3.
    pub(crate) async fn upload(&self, file: &Path, path: &str) -> Result<(u64, String), CloudError> {
        use std::io::Read;
        let key = self.key(path);
        let io = |source| CloudError::File(FileError::Io { action: "read", path: file.to_owned(), source });
        // Before it is opened: a pipe would be waited for.
        if !fs::metadata(file).map_err(io)?.is_file() {
            return Err(io(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no file")));
        }
        let mut reader = fs::File::open(file).map_err(io)?;
        if reader.metadata().map_err(io)?.len() <= CHUNK as u64 {
            let mut content = Vec::new();
            reader.read_to_end(&mut content).map_err(io)?;
            let (bytes, digest) = (content.len() as u64, blake3::hash(&content).to_hex().to_string());
            self.store.put(&key, content.into()).await.map_err(CloudError::store("write", &key))?;
            return Ok((bytes, digest));
        }
        let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
        let mut parts = WriteMultipart::new_with_chunk_size(
            self.store.put_multipart(&key).await.map_err(CloudError::store("write", &key))?,
            CHUNK,
        );
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = reader.read(&mut buffer).map_err(io)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            bytes += read as u64;
            parts.wait_for_capacity(2).await.map_err(CloudError::store("write", &key))?;
            parts.write(&buffer[..read]);
        }
        parts.finish().await.map_err(CloudError::store("write", &key))?;
        Ok((bytes, hasher.finalize().to_hex().to_string()))
    }

    /// Downloads an object in one step: a reader sees the whole file or what was there before. Returns the number of its
    /// bytes. `expected` are the number that it must be and their BLAKE3.
    pub(crate) async fn download(
        &self,
        path: &str,
        file: &Path,
        expected: Option<(u64, &str)>,
    ) -> Result<u64, CloudError> {
        use std::io::Write;
        let key = self.key(path);
        let io = |source| CloudError::File(FileError::Io { action: "write", path: file.to_owned(), source });
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(io)?;
        stir_files::check_writable(file)?;
        let found = self.store.get(&key).await.map_err(CloudError::store("read", &key))?;
        let (mut stream, mut hasher, mut bytes) = (found.into_stream(), blake3::Hasher::new(), 0);
        let mut builder = tempfile::Builder::new();
        // As any other new file, not for the owner alone.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut temporary = builder.tempfile_in(folder).map_err(io)?;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(CloudError::store("read", &key))?;
            hasher.update(&chunk);
            bytes += chunk.len() as u64;
            temporary.write_all(&chunk).map_err(io)?;
        }
        if expected.is_some_and(|expected| expected != (bytes, &*hasher.finalize().to_hex())) {
            return Err(CloudError::Foreign { path: key.to_string(), what: "it is not the file that was uploaded" });
        }
        temporary.as_file().sync_all().map_err(io)?;
        temporary.persist(file).map_err(|error| io(error.error))?;
        Ok(bytes)
    }

    /// Removes an object that is of no more use; it does no harm where it stays.
    pub(crate) async fn discard(&self, path: &str) {
        if let Err(error) = self.store.delete(&self.key(path)).await {
            tracing::debug!(path, error = &error as &dyn std::error::Error, "an object stays that is of no use");
        }
    }
}

/// Waits for the lock of an object among the processes of one machine, or of a file system with locks.
async fn locked(locks: &Path, path: &str) -> Result<FileLock, CloudError> {
    fs::create_dir_all(locks).map_err(|source| FileError::Io { action: "create", path: locks.to_owned(), source })?;
    let lock = locks.join(path.replace('/', "."));
    loop {
        match FileLock::acquire(&lock) {
            Err(FileError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(2)).await,
            held => return Ok(held?),
        }
    }
}

/// Copies a file into a store or out of one: one of the two is an address ([`Place::open`]), the other a path. What is
/// there is replaced.
///
/// # Errors
/// [`CloudError::Copy`] if neither or both are addresses, and [`CloudError`] with what the store or the file system refuses.
pub async fn copy(from: &str, to: &str) -> Result<u64, CloudError> {
    let object = |address: &str| -> Result<Option<(Place, String)>, CloudError> {
        let Some((folder, name)) = address.split_once("://").and(address.rsplit_once('/')) else { return Ok(None) };
        Ok(Some((Place::open(folder)?, name.to_owned())))
    };
    match (object(from)?, object(to)?) {
        (Some((place, name)), None) => place.download(&name, Path::new(to), None).await,
        (None, Some((place, name))) => Ok(place.upload(Path::new(from), &name).await?.0),
        _ => Err(CloudError::Copy { from: from.to_owned(), to: to.to_owned() }),
    }
}
