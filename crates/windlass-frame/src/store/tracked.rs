//! A store that counts the bytes it hands out, names the file in every error, notices a
//! server that falls silent, reads ranges from servers that have none, and holds back the
//! files of a running write.

use std::{
    fmt,
    future::Future,
    ops::Range,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, UploadPart, coalesce_ranges, path::Path,
};
use parking_lot::Mutex;

use super::{
    Naming, Uploads, cached,
    open::Opened,
    ranges::{bounds, cut},
};
use crate::error::{FrameError, find_source, io_reason};

/// A store of a session. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct TrackedStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Scheme, host and port, without a slash at the end.
    root: String,
    stores: Opened,
    /// Whether the server has answered once.
    answered: AtomicBool,
    silence: Duration,
    bytes_read: Arc<AtomicU64>,
    writes: Mutex<Vec<Weak<Uploads>>>,
    /// The first failures of writing that nobody has asked for: the engine keeps the causes
    /// to itself.
    failures: Mutex<Vec<(Path, String)>>,
}

/// What was tried, for messages.
#[derive(Clone, Copy, PartialEq)]
enum Doing {
    Reading,
    Writing,
}

impl TrackedStore {
    pub(super) fn new(
        root: String,
        stores: Opened,
        silence: Duration,
        bytes_read: Arc<AtomicU64>,
    ) -> Self {
        let answered = AtomicBool::new(false);
        let (writes, failures) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { root, stores, answered, silence, bytes_read, writes, failures }))
    }

    /// Holds back what is written below `folder` from now on, until it is published or the
    /// result is dropped.
    ///
    /// # Errors
    /// [`FrameError::Write`] when another write to the same place is running.
    pub(crate) fn hold(&self, folder: Path, naming: Naming) -> crate::Result<Arc<Uploads>> {
        let mut writes = self.0.writes.lock();
        writes.retain(|w| w.strong_count() > 0);
        let other = writes
            .iter()
            .filter_map(Weak::upgrade)
            .find(|w| w.folder().prefix_matches(&folder) || folder.prefix_matches(w.folder()));
        if let Some(other) = other {
            return Err(FrameError::Write {
                path: self.0.url(&folder),
                reason: format!("a write to {} is still running", self.0.url(other.folder())),
            });
        }
        let uploads = Arc::new(Uploads::new(self.clone(), folder, naming));
        writes.push(Arc::downgrade(&uploads));
        Ok(uploads)
    }

    /// The write that a file belongs to.
    fn write_of(&self, location: &Path) -> Option<Arc<Uploads>> {
        let writes = self.0.writes.lock();
        writes.iter().filter_map(Weak::upgrade).find(|w| location.prefix_matches(w.folder()))
    }

    /// Why writing below a folder failed first, if it did. It is told once.
    pub(crate) fn take_failure(&self, folder: &Path) -> Option<String> {
        let mut failures = self.0.failures.lock();
        let first = failures.iter().find(|(path, _)| path.prefix_matches(folder));
        let reason = first.map(|(_, reason)| reason.clone());
        failures.retain(|(path, _)| !path.prefix_matches(folder));
        reason
    }

    /// Writes an object at once.
    pub(super) async fn put_now(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let put = self.0.store().put_opts(location, payload, options);
        self.0.wait(location, Doing::Writing, put).await
    }

    /// The error of an upload's step, in words.
    pub(super) fn writing(&self, location: &Path, error: Error) -> Error {
        self.0.note(location, &error);
        self.0.tell(location, Doing::Writing, error)
    }
}

impl Inner {
    fn store(&self) -> &Arc<dyn ObjectStore> {
        match self.answered.load(Ordering::Relaxed) {
            true => &self.stores.later,
            false => &self.stores.first,
        }
    }

    /// Remembers why a write failed.
    fn note(&self, location: &Path, error: &Error) {
        // Enough for the writes that run at once; one that is never asked for goes.
        const KEPT: usize = 64;
        let mut failures = self.failures.lock();
        if failures.len() == KEPT {
            failures.remove(0);
        }
        failures.push((location.clone(), deep(error)));
    }

    fn is_local(&self) -> bool {
        self.root.starts_with("file:")
    }

    fn url(&self, location: &Path) -> String {
        match self.is_local() {
            true => format!("/{location}"),
            false => format!("{}/{location}", self.root),
        }
    }

    /// Waits for an answer, at most as long as silence is allowed.
    async fn wait<T>(
        &self,
        location: &Path,
        doing: Doing,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        if self.is_local() {
            let answer = request.await;
            if let (Err(e), Doing::Writing) = (&answer, doing) {
                self.note(location, e);
            }
            return answer;
        }
        let limit = match doing {
            Doing::Reading => self.silence,
            // A part is on its way for a while before there is anything to answer.
            Doing::Writing => self.silence * 10,
        };
        let answer = match tokio::time::timeout(limit, request).await {
            Ok(answer) => answer,
            Err(_) => return Err(self.silent(location, doing, limit)),
        };
        if answer.as_ref().map_or_else(is_answer, |_| true) {
            self.answered.store(true, Ordering::Relaxed);
        }
        answer.map_err(|e| self.tell(location, doing, e))
    }

    fn silent(&self, location: &Path, doing: Doing, limit: Duration) -> Error {
        let seconds = limit.as_secs_f64();
        self.failed(location, doing, format!("the server said nothing for {seconds} s"))
    }

    fn failed(&self, location: &Path, doing: Doing, reason: String) -> Error {
        let path = self.url(location);
        let error = match doing {
            Doing::Reading => FrameError::Unreadable { path, reason },
            Doing::Writing => FrameError::Write { path, reason },
        };
        Error::Generic { store: "remote", source: Box::new(error) }
    }

    /// Names the object's URL and the deepest cause. What callers look for by kind stays.
    fn tell(&self, location: &Path, doing: Doing, error: Error) -> Error {
        if self.is_local() || find_source::<FrameError>(&error).is_some() {
            return error;
        }
        match error {
            Error::NotFound { source, .. } if doing == Doing::Reading => {
                Error::NotFound { path: self.url(location), source }
            }
            Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotModified { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. } => error,
            Error::NotFound { .. } => {
                let reason = "there is no such bucket or container".to_string();
                self.failed(location, doing, reason)
            }
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                let reason = format!("permission denied; check the credentials: {}", deep(&error));
                self.failed(location, doing, reason)
            }
            error => self.failed(location, doing, deep(&error)),
        }
    }

    /// Counts a stream's bytes, and ends it with an error when it falls silent.
    fn watch(
        self: &Arc<Self>,
        location: Path,
        stream: BoxStream<'static, Result<Bytes>>,
    ) -> BoxStream<'static, Result<Bytes>> {
        let inner = Arc::clone(self);
        let state = Some((stream, 0u64));
        let next = move |state: Option<(BoxStream<'static, Result<Bytes>>, u64)>| {
            let (inner, location) = (Arc::clone(&inner), location.clone());
            async move {
                let (mut stream, before) = state?;
                let after = |e: String| format!("{e} (after {before} bytes)");
                match tokio::time::timeout(inner.silence, stream.next()).await {
                    Ok(None) => None,
                    Ok(Some(Ok(bytes))) => {
                        let n = bytes.len() as u64;
                        inner.bytes_read.fetch_add(n, Ordering::Relaxed);
                        Some((Ok(bytes), Some((stream, before + n))))
                    }
                    Ok(Some(Err(e))) if find_source::<FrameError>(&e).is_some() => {
                        Some((Err(e), None))
                    }
                    Ok(Some(Err(e))) => {
                        let reason = after(format!("the connection broke off: {}", deep(&e)));
                        Some((Err(inner.failed(&location, Doing::Reading, reason)), None))
                    }
                    Err(_) => {
                        let seconds = inner.silence.as_secs_f64();
                        let reason = after(format!("the server said nothing for {seconds} s"));
                        Some((Err(inner.failed(&location, Doing::Reading, reason)), None))
                    }
                }
            }
        };
        futures::stream::unfold(state, next).boxed()
    }
}

/// Whether an error is a server's answer, and not the lack of one.
fn is_answer(error: &Error) -> bool {
    matches!(
        error,
        Error::NotFound { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotModified { .. }
            | Error::NotSupported { .. }
    )
}

/// The words of the innermost cause, with what to do where it is known.
fn deep(error: &Error) -> String {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    let mut text = String::new();
    while let Some(e) = next {
        text = e.to_string();
        if let Some(io) = e.downcast_ref::<std::io::Error>()
            && io.get_ref().is_none()
        {
            return io_reason(io);
        }
        next = e.source();
    }
    match text.as_str() {
        // reqwest's words for an endpoint of http:// where only https:// is allowed.
        "URL scheme is not allowed" => {
            "its endpoint is http:// and only https:// is allowed; set AWS_ALLOW_HTTP=true (or \
             AZURE_ALLOW_HTTP, GOOGLE_ALLOW_HTTP) to allow it"
                .to_string()
        }
        _ => text,
    }
}

/// A multipart upload whose failures are remembered.
#[derive(Debug)]
struct Noted {
    store: TrackedStore,
    location: Path,
    upload: Box<dyn MultipartUpload>,
}

#[async_trait]
impl MultipartUpload for Noted {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.upload.put_part(data);
        let (store, location) = (self.store.clone(), self.location.clone());
        Box::pin(async move { part.await.map_err(|e| store.writing(&location, e)) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.upload.complete().await.map_err(|e| self.store.writing(&self.location, e))
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

impl fmt::Display for TrackedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.stores.later.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for TrackedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        match self.write_of(location) {
            Some(write) => Ok(write.hold_put(location, payload, options)),
            None => self.put_now(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let write = self.write_of(location);
        let place = write.as_ref().map_or_else(|| location.clone(), |w| w.place(location));
        let begin = self.0.store().put_multipart_opts(&place, options);
        let upload = self.0.wait(&place, Doing::Writing, begin).await?;
        Ok(match write {
            Some(write) => write.hold_upload(place, upload),
            None => Box::new(Noted { store: self.clone(), location: place, upload }),
        })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let only_metadata = options.head;
        let range = options.range.clone();
        let whole = GetOptions { range: None, ..options.clone() };
        let request = self.0.store().get_opts(location, options);
        let mut result = match (self.0.wait(location, Doing::Reading, request).await, range) {
            // A server without ranges: take the whole object and cut.
            (Err(Error::NotSupported { .. }), Some(range)) => {
                let request = self.0.store().get_opts(location, whole);
                let mut result = self.0.wait(location, Doing::Reading, request).await?;
                result.range = bounds(&range, result.meta.size);
                if let GetResultPayload::Stream(stream) = result.payload {
                    result.payload = GetResultPayload::Stream(cut(stream, result.range.clone()));
                }
                result
            }
            (result, _) => result?,
        };
        if only_metadata {
            return Ok(result);
        }
        result.payload = match result.payload {
            // A local file: what is read of it is not seen from here, so its range counts.
            GetResultPayload::File(file, path) => {
                let bytes = result.range.end - result.range.start;
                self.0.bytes_read.fetch_add(bytes, Ordering::Relaxed);
                GetResultPayload::File(file, path)
            }
            GetResultPayload::Stream(stream) => {
                GetResultPayload::Stream(self.0.watch(location.clone(), stream))
            }
        };
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if self.0.is_local() {
            // Tasks woken on this thread wait for it: they have their turn, or another thread
            // takes this one.
            tokio::task::yield_now().await;
            let parts = match cached::ranges(location, ranges) {
                Some(parts) => parts,
                None => self.0.store().get_ranges(location, ranges).await?,
            };
            let bytes: usize = parts.iter().map(Bytes::len).sum();
            self.0.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
            return Ok(parts);
        }
        let fetch = |range: Range<u64>| self.get_range(location, range);
        coalesce_ranges(ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let inner = Arc::clone(&self.0);
        let deleted = self.0.store().delete_stream(locations);
        deleted.map_err(move |e| inner.tell(&Path::default(), Doing::Writing, e)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, place) = (Arc::clone(&self.0), prefix.cloned().unwrap_or_default());
        let list = self.0.store().list(prefix);
        let next = move |mut list: BoxStream<'static, Result<ObjectMeta>>| {
            let (inner, place) = (Arc::clone(&inner), place.clone());
            async move {
                let next = async { list.next().await.transpose() };
                let item = inner.wait(&place, Doing::Reading, next).await.transpose();
                item.map(|item| (item, list))
            }
        };
        futures::stream::unfold(list, next).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, place) = (Arc::clone(&self.0), prefix.cloned().unwrap_or_default());
        let list = self.0.store().list_with_offset(prefix, offset);
        list.map_err(move |e| inner.tell(&place, Doing::Reading, e)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let place = prefix.cloned().unwrap_or_default();
        let list = self.0.store().list_with_delimiter(prefix);
        self.0.wait(&place, Doing::Reading, list).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copy = self.0.store().copy_opts(from, to, options);
        self.0.wait(to, Doing::Writing, copy).await
    }
}
