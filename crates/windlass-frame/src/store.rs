//! Object stores, made from a URL and the environment when a query first needs one, each
//! counting the bytes it reads.

use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::{
    error::{DataFusionError, Result as EngineResult},
    execution::object_store::ObjectStoreRegistry,
};
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder, http::HttpBuilder,
    local::LocalFileSystem, path::Path,
};
use parking_lot::Mutex;
use url::Url;

use crate::error::FrameError;

/// The stores of a session, by scheme and host.
#[derive(Debug)]
pub(crate) struct Stores {
    open: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
    bytes_read: Arc<AtomicU64>,
}

impl Stores {
    pub(crate) fn new(bytes_read: Arc<AtomicU64>) -> Self {
        Self { open: Mutex::default(), bytes_read }
    }

    fn counted(&self, inner: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        Arc::new(CountingStore { inner, bytes_read: Arc::clone(&self.bytes_read) })
    }
}

fn key(url: &Url) -> String {
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    format!("{}://{host}", url.scheme())
}

/// The store of a URL; credentials, region and endpoint come from the environment
/// variables that the cloud's own tools read.
fn open(url: &Url) -> Result<Arc<dyn ObjectStore>, FrameError> {
    let root = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
    let failed = |e: object_store::Error| FrameError::Unreadable {
        path: url.to_string(),
        reason: e.to_string(),
    };
    Ok(match url.scheme() {
        "file" => Arc::new(LocalFileSystem::new()),
        "s3" | "s3a" => {
            Arc::new(AmazonS3Builder::from_env().with_url(root).build().map_err(failed)?)
        }
        "gs" | "gcs" => {
            Arc::new(GoogleCloudStorageBuilder::from_env().with_url(root).build().map_err(failed)?)
        }
        "az" | "adl" | "azure" | "abfs" | "abfss" => {
            Arc::new(MicrosoftAzureBuilder::from_env().with_url(root).build().map_err(failed)?)
        }
        "http" | "https" => {
            let origin = &url[..url::Position::BeforePath];
            Arc::new(HttpBuilder::new().with_url(origin).build().map_err(failed)?)
        }
        scheme => {
            return Err(FrameError::Scheme { scheme: scheme.to_string(), url: url.to_string() });
        }
    })
}

impl ObjectStoreRegistry for Stores {
    fn register_store(
        &self,
        url: &Url,
        store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        let store = self.counted(store);
        self.open.lock().insert(key(url), store)
    }

    fn deregister_store(&self, url: &Url) -> EngineResult<Arc<dyn ObjectStore>> {
        self.open.lock().remove(&key(url)).ok_or_else(|| {
            DataFusionError::Execution(format!("no object store was made for {url}"))
        })
    }

    fn get_store(&self, url: &Url) -> EngineResult<Arc<dyn ObjectStore>> {
        let key = key(url);
        if let Some(store) = self.open.lock().get(&key) {
            return Ok(Arc::clone(store));
        }
        let store = self.counted(open(url)?);
        Ok(Arc::clone(self.open.lock().entry(key).or_insert(store)))
    }
}

/// A store that counts the bytes it hands out.
#[derive(Debug)]
struct CountingStore {
    inner: Arc<dyn ObjectStore>,
    bytes_read: Arc<AtomicU64>,
}

impl fmt::Display for CountingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for CountingStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        let only_metadata = options.head;
        let mut result = self.inner.get_opts(location, options).await?;
        if only_metadata {
            return Ok(result);
        }
        let counter = Arc::clone(&self.bytes_read);
        result.payload = match result.payload {
            // A local file: what is read of it is not seen from here, so its range counts.
            GetResultPayload::File(file, path) => {
                counter.fetch_add(result.range.end - result.range.start, Ordering::Relaxed);
                GetResultPayload::File(file, path)
            }
            GetResultPayload::Stream(stream) => GetResultPayload::Stream(
                stream
                    .inspect(move |part| {
                        if let Ok(bytes) = part {
                            counter.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                        }
                    })
                    .boxed(),
            ),
        };
        Ok(result)
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[Range<u64>],
    ) -> object_store::Result<Vec<Bytes>> {
        let parts = self.inner.get_ranges(location, ranges).await?;
        let bytes: usize = parts.iter().map(Bytes::len).sum();
        self.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(parts)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
