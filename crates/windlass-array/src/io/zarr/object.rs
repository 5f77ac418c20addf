//! Zarr's keys as objects of a store: S3, Google's, Azure's, and what HTTP serves.

use std::{future::Future, ops::Range, sync::Arc, sync::OnceLock};

use futures::TryStreamExt;
use object_store::{
    Error, ObjectStore, ObjectStoreExt, ObjectStoreScheme, parse_url_opts, path::Path,
};
use tokio::runtime::{Builder, Runtime};
use zarrs::storage::{
    Bytes, MaybeBytes, MaybeBytesIterator, OffsetBytesIterator, ReadableStorageTraits,
    StorageError, StoreKey, StorePrefix, WritableStorageTraits,
    byte_range::{ByteRange, ByteRangeIterator},
};

use super::Storage;
use crate::{error::Result, io::place::failed};

/// Threads that wait for the network (a stated guess: they do nothing else).
const THREADS: usize = 2;

/// Objects below a path.
#[derive(Debug)]
struct Objects {
    store: Arc<dyn ObjectStore>,
    root: Path,
    /// Whether it is plain HTTP, which has no objects to list or to write.
    read_only: bool,
}

/// What runs the requests of all stores.
fn runtime() -> std::result::Result<&'static Runtime, StorageError> {
    static RUNTIME: OnceLock<std::result::Result<Runtime, String>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let name = "windlass-objects";
        let mut built = Builder::new_multi_thread();
        built
            .worker_threads(THREADS)
            .thread_name(name)
            .enable_all()
            .build()
            .map_err(|e| e.to_string())
    });
    runtime.as_ref().map_err(|e| StorageError::Other(e.clone()))
}

/// Runs a request and waits for it, on a thread of whatever kind.
fn wait<T: Send + 'static>(
    request: impl Future<Output = object_store::Result<T>> + Send + 'static,
) -> std::result::Result<Option<T>, StorageError> {
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    runtime()?.spawn(async move {
        // Nobody waits any more if it cannot be sent.
        let _ = send.send(request.await);
    });
    match receive.recv() {
        Ok(Ok(value)) => Ok(Some(value)),
        Ok(Err(Error::NotFound { .. })) => Ok(None),
        Ok(Err(e)) => Err(StorageError::Other(e.to_string())),
        Err(_) => Err(StorageError::Other("the request was given up".into())),
    }
}

/// The store of a URL. Options of the caller come before those of the environment.
pub(super) fn open(
    operation: &'static str,
    url: &str,
    options: &[(String, String)],
) -> Result<Arc<Storage>> {
    let wrong = |e: &dyn std::fmt::Display| failed(operation, url, e);
    let parsed = url::Url::parse(url).map_err(|e| wrong(&e))?;
    let (scheme, _) = ObjectStoreScheme::parse(&parsed).map_err(|e| wrong(&e))?;
    let known = ["AWS_", "GOOGLE_", "AZURE_"];
    let mut all: Vec<(String, String)> = std::env::vars()
        .filter(|(name, _)| known.iter().any(|k| name.starts_with(k)))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    if parsed.scheme() == "http" {
        all.push(("allow_http".into(), "true".into()));
    }
    all.extend(options.iter().cloned());
    let (store, root) = parse_url_opts(&parsed, all).map_err(|e| wrong(&e))?;
    let read_only = scheme == ObjectStoreScheme::Http;
    Ok(Arc::new(Objects { store: store.into(), root, read_only }))
}

impl Objects {
    fn path(&self, key: &StoreKey) -> Path {
        key.as_str().split('/').fold(self.root.clone(), |path, part| path.join(part))
    }

    fn check_writable(&self) -> std::result::Result<(), StorageError> {
        if self.read_only { Err(StorageError::ReadOnly) } else { Ok(()) }
    }
}

impl ReadableStorageTraits for Objects {
    fn get(&self, key: &StoreKey) -> std::result::Result<MaybeBytes, StorageError> {
        let (store, path) = (Arc::clone(&self.store), self.path(key));
        wait(async move { store.get(&path).await?.bytes().await })
    }

    fn get_partial_many<'a>(
        &'a self,
        key: &StoreKey,
        ranges: ByteRangeIterator<'a>,
    ) -> std::result::Result<MaybeBytesIterator<'a>, StorageError> {
        let ranges: Vec<ByteRange> = ranges.collect();
        // Ends that count from an unknown end need its size.
        let bounded = |r: &ByteRange| matches!(r, ByteRange::FromStart(_, Some(_)));
        let size = match ranges.iter().all(bounded) {
            true => u64::MAX,
            false => match self.size_key(key)? {
                Some(size) => size,
                None => return Ok(None),
            },
        };
        let wanted: Vec<Range<u64>> = ranges.iter().map(|r| r.to_range(size)).collect();
        let (store, path) = (Arc::clone(&self.store), self.path(key));
        let lens: Vec<u64> = wanted.iter().map(|r| r.end - r.start).collect();
        let parts = wait(async move { store.get_ranges(&path, &wanted).await })?;
        let Some(parts) = parts else { return Ok(None) };
        let checked = parts.into_iter().zip(lens).map(|(bytes, len)| {
            if bytes.len() as u64 == len {
                return Ok(bytes);
            }
            Err(StorageError::Other(format!("it ends before {len} bytes that are needed")))
        });
        Ok(Some(Box::new(checked)))
    }

    fn size_key(&self, key: &StoreKey) -> std::result::Result<Option<u64>, StorageError> {
        let (store, path) = (Arc::clone(&self.store), self.path(key));
        Ok(wait(async move { store.head(&path).await })?.map(|m| m.size))
    }

    fn supports_get_partial(&self) -> bool {
        true
    }
}

impl WritableStorageTraits for Objects {
    fn set(&self, key: &StoreKey, value: Bytes) -> std::result::Result<(), StorageError> {
        self.check_writable()?;
        let (store, path) = (Arc::clone(&self.store), self.path(key));
        wait(async move { store.put(&path, value.into()).await }).map(drop)
    }

    fn set_partial_many(
        &self,
        _: &StoreKey,
        _: OffsetBytesIterator<'_>,
    ) -> std::result::Result<(), StorageError> {
        Err(StorageError::Unsupported("objects are written whole".into()))
    }

    fn erase(&self, key: &StoreKey) -> std::result::Result<(), StorageError> {
        self.check_writable()?;
        let (store, path) = (Arc::clone(&self.store), self.path(key));
        wait(async move { store.delete(&path).await }).map(drop)
    }

    fn erase_prefix(&self, prefix: &StorePrefix) -> std::result::Result<(), StorageError> {
        self.check_writable()?;
        let parts = prefix.as_str().split('/').filter(|p| !p.is_empty());
        let path = parts.fold(self.root.clone(), |path, part| path.join(part));
        let store = Arc::clone(&self.store);
        wait(async move {
            let all = Box::pin(store.list(Some(&path)).map_ok(|m| m.location));
            store.delete_stream(all).try_for_each(|_| async { Ok(()) }).await
        })
        .map(drop)
    }

    fn supports_set_partial(&self) -> bool {
        false
    }
}
