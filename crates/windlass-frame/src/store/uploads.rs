//! The files of one write to an object store. A file is uploaded as it is made, and gets
//! its name only when the whole write is done: small files are kept until then, large ones
//! are multipart uploads that are completed then.
//!
//! ```text
//! engine ── put, parts ──> held ── publish ──> objects under their names
//!                            └──── abandon ──> nothing
//! ```

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use futures::StreamExt;
use object_store::{
    MultipartUpload, ObjectStore, PutOptions, PutPayload, PutResult, Result, UploadPart, path::Path,
};
use parking_lot::Mutex;

use super::TrackedStore;

/// Requests made at once to publish. A guess: enough to hide a request's latency.
const AT_ONCE: usize = 8;

/// How the files of a write are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Naming {
    /// As the engine names them.
    Given,
    /// `part-RUN00000.EXT`, by the engine's numbers.
    Parts {
        /// What tells the files of this write from others; may be empty.
        run: String,
    },
}

/// The files of one write.
pub(crate) struct Uploads {
    store: TrackedStore,
    folder: Path,
    naming: Naming,
    held: Mutex<Vec<Held>>,
}

/// A file that waits for its name.
struct Held {
    location: Path,
    bytes: u64,
    what: What,
}

enum What {
    Whole(PutPayload, PutOptions),
    Parts(Box<dyn MultipartUpload>),
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploads").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Uploads {
    pub(super) fn new(store: TrackedStore, folder: Path, naming: Naming) -> Self {
        Self { store, folder, naming, held: Mutex::default() }
    }

    /// The folder or the one file that is written.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The final name of a file that the engine named.
    pub(super) fn place(&self, location: &Path) -> Path {
        let Naming::Parts { run } = &self.naming else { return location.clone() };
        let name = location.filename().unwrap_or_default();
        let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
        let number = stem.rsplit_once('_').and_then(|(_, n)| n.parse::<u64>().ok()).unwrap_or(0);
        let mut parts: Vec<_> = location.parts().collect();
        parts.pop();
        parts.push(format!("part-{run}{number:05}.{extension}").into());
        Path::from_iter(parts)
    }

    pub(super) fn hold_put(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> PutResult {
        let bytes = payload.content_length() as u64;
        let location = self.place(location);
        self.held.lock().push(Held { location, bytes, what: What::Whole(payload, options) });
        PutResult { e_tag: None, version: None }
    }

    pub(super) fn hold_upload(
        self: &Arc<Self>,
        location: Path,
        upload: Box<dyn MultipartUpload>,
    ) -> Box<dyn MultipartUpload> {
        let (uploads, store) = (Arc::downgrade(self), self.store.clone());
        Box::new(HeldUpload { uploads, store, location, bytes: 0, upload: Some(upload) })
    }

    /// Gives every file its name. Where one fails, those that were not there before (not in
    /// `earlier`) are taken away again. The locations and sizes.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn publish(&self, earlier: &HashSet<Path>) -> Result<Vec<(Path, u64)>> {
        let held = std::mem::take(&mut *self.held.lock());
        let done: Mutex<Vec<(Path, u64)>> = Mutex::default();
        let named = &done;
        let all = futures::stream::iter(held).map(|file| async move {
            let Held { location, bytes, what } = file;
            match what {
                What::Whole(payload, options) => {
                    self.store.put_now(&location, payload, options).await?;
                }
                What::Parts(mut upload) => {
                    let completed = upload.complete().await;
                    completed.map_err(|e| self.store.writing(&location, e))?;
                }
            }
            named.lock().push((location, bytes));
            Ok::<(), object_store::Error>(())
        });
        // Every request runs to its end: one left alone might still make its object.
        let published: Vec<Result<()>> = all.buffer_unordered(AT_ONCE).collect().await;
        let published: Result<()> = published.into_iter().collect();
        let done = done.into_inner();
        if let Err(e) = published {
            let new = done.into_iter().map(|(path, _)| path).filter(|p| !earlier.contains(p));
            self.remove(new.collect()).await;
            return Err(e);
        }
        Ok(done)
    }

    /// Forgets every file.
    pub(crate) async fn abandon(&self) {
        let held = std::mem::take(&mut *self.held.lock());
        for file in held {
            if let What::Parts(upload) = file.what {
                abort(&file.location, upload).await;
            }
        }
    }

    /// Removes objects; what cannot be removed is told in the log.
    pub(crate) async fn remove(&self, objects: Vec<Path>) {
        let objects = futures::stream::iter(objects.into_iter().map(Ok)).boxed();
        let mut removed = self.store.delete_stream(objects);
        while let Some(result) = removed.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => tracing::warn!(%error, "an object could not be removed"),
            }
        }
    }
}

async fn abort(location: &Path, mut upload: Box<dyn MultipartUpload>) {
    if let Err(error) = upload.abort().await {
        tracing::warn!(%location, %error, "an upload could not be aborted");
    }
}

/// Aborts an upload in the background, where there is a runtime to do it.
fn abort_later(location: Path, upload: Box<dyn MultipartUpload>) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move { abort(&location, upload).await });
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        for file in self.held.get_mut().drain(..) {
            if let What::Parts(upload) = file.what {
                abort_later(file.location, upload);
            }
        }
    }
}

/// A multipart upload whose completion waits for the whole write.
#[derive(Debug)]
struct HeldUpload {
    uploads: Weak<Uploads>,
    store: TrackedStore,
    location: Path,
    bytes: u64,
    upload: Option<Box<dyn MultipartUpload>>,
}

#[async_trait]
impl MultipartUpload for HeldUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.bytes += data.content_length() as u64;
        let Some(upload) = &mut self.upload else {
            return Box::pin(async { Err(ended()) });
        };
        let part = upload.put_part(data);
        let (store, location) = (self.store.clone(), self.location.clone());
        Box::pin(async move { part.await.map_err(|e| store.writing(&location, e)) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let uploads = self.uploads.upgrade().ok_or_else(ended)?;
        let upload = self.upload.take().ok_or_else(ended)?;
        let (location, bytes) = (self.location.clone(), self.bytes);
        uploads.held.lock().push(Held { location, bytes, what: What::Parts(upload) });
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        match self.upload.take() {
            Some(mut upload) => upload.abort().await,
            None => Ok(()),
        }
    }
}

fn ended() -> object_store::Error {
    object_store::Error::Generic { store: "remote", source: "the write has ended already".into() }
}

impl Drop for HeldUpload {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            abort_later(self.location.clone(), upload);
        }
    }
}
