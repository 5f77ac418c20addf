//! Object stores, made from a URL, the environment and a session's settings when a query
//! first needs one.
//!
//! | module | holds |
//! |---|---|
//! | `cached` | parts of files that the system has in memory |
//! | `open` | a store from a URL: settings, credentials, retries |
//! | `ranges` | parts of objects from servers that give only whole ones |
//! | `tracked` | a store that counts what it reads, names files in errors, and notices silence |
//! | `uploads` | the files of one write, published together |

mod cached;
mod open;
mod ranges;
mod tracked;
mod uploads;

pub(crate) use open::check_settings;
pub(crate) use tracked::TrackedStore;
pub(crate) use uploads::{Naming, Uploads};

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use datafusion::{
    error::{DataFusionError, Result as EngineResult},
    execution::object_store::ObjectStoreRegistry,
};
use object_store::ObjectStore;
use parking_lot::Mutex;
use url::{Position, Url};

use crate::error::Result;

/// The stores of a session, by scheme, user, host and port.
#[derive(Debug)]
pub(crate) struct Stores {
    open: Mutex<HashMap<String, TrackedStore>>,
    settings: Vec<(String, String)>,
    silence: Duration,
    bytes_read: Arc<AtomicU64>,
}

impl Stores {
    /// No store yet. `settings` are [`crate::SessionOptions::storage`], `silence` is how
    /// long a server may say nothing.
    pub(crate) fn new(settings: Vec<(String, String)>, silence: Duration) -> Self {
        Self { open: Mutex::default(), settings, silence, bytes_read: Arc::default() }
    }

    /// Bytes that all stores handed out.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// The store of a URL, opened when it is first asked for.
    ///
    /// # Errors
    /// Those of wrong or missing settings; none of the network, which is not asked yet.
    pub(crate) fn of(&self, url: &Url) -> Result<TrackedStore> {
        let key = key(url);
        if let Some(store) = self.open.lock().get(&key) {
            return Ok(store.clone());
        }
        let opened = open::open(url, &self.settings)?;
        let store =
            TrackedStore::new(key.clone(), opened, self.silence, Arc::clone(&self.bytes_read));
        Ok(self.open.lock().entry(key).or_insert(store).clone())
    }
}

/// The part of a URL that names a store. The user counts: `abfss://container@account…`.
fn key(url: &Url) -> String {
    url[Position::BeforeScheme..Position::BeforePath].to_string()
}

impl ObjectStoreRegistry for Stores {
    fn register_store(
        &self,
        url: &Url,
        store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        let key = key(url);
        let opened = open::Opened { first: Arc::clone(&store), later: store };
        let store =
            TrackedStore::new(key.clone(), opened, self.silence, Arc::clone(&self.bytes_read));
        self.open.lock().insert(key, store).map(|old| Arc::new(old) as _)
    }

    fn deregister_store(&self, url: &Url) -> EngineResult<Arc<dyn ObjectStore>> {
        let store = self.open.lock().remove(&key(url));
        store.map(|s| Arc::new(s) as _).ok_or_else(|| {
            DataFusionError::Execution(format!("no object store was made for {url}"))
        })
    }

    fn get_store(&self, url: &Url) -> EngineResult<Arc<dyn ObjectStore>> {
        Ok(Arc::new(self.of(url)?))
    }
}
