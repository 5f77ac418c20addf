//! From a path, pattern, folder or URL to the files behind it. Only lists; reads nothing.

use std::{collections::BTreeMap, path::Path as FilePath, sync::Arc};

use arrow::datatypes::DataType;
use datafusion::{
    common::parsers::CompressionTypeVariant, datasource::listing::ListingTableUrl,
    execution::SessionState,
};
use futures::TryStreamExt;
use glob::{MatchOptions, Pattern};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use url::Url;

use super::options::{FileFormat, Named, compression_of, named};
use crate::error::{FrameError, Result, io_reason, nearest};

/// The schemes that the stores know.
const SCHEMES: [&str; 11] =
    ["file", "s3", "s3a", "gs", "gcs", "az", "adl", "azure", "abfs", "abfss", "http"];

/// The files behind one or several places, all of one format.
#[derive(Debug)]
pub(crate) struct Located {
    /// What the scan lists again when it runs.
    pub(crate) urls: Vec<ListingTableUrl>,
    /// The files found, those of size 0 included.
    pub(crate) files: Vec<ObjectMeta>,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) format: FileFormat,
    pub(crate) compression: CompressionTypeVariant,
    pub(crate) tabs: bool,
    /// Columns that stand in the folders' names, `name=value`.
    pub(crate) partitions: Vec<(String, DataType)>,
    /// Whether a folder's name says null.
    pub(crate) null_partitions: bool,
    /// The place as it was written.
    pub(crate) written: String,
}

/// One place, before its format is settled.
struct Place {
    url: Url,
    /// Files relative to `url`, if it is a folder or pattern.
    files: Vec<ObjectMeta>,
    folder: bool,
    explicit: bool,
}

/// Finds the files of `paths`.
///
/// # Errors
/// [`FrameError::MissingFile`], [`FrameError::Unreadable`], [`FrameError::NoFiles`],
/// [`FrameError::Scheme`], [`FrameError::UnknownFormat`]; [`FrameError::Plan`] for places
/// that cannot be one table.
pub(crate) async fn locate(
    state: &SessionState,
    paths: &[&str],
    format: Option<FileFormat>,
) -> Result<Located> {
    let mut all: Option<Located> = None;
    for path in paths {
        let one = locate_one(state, path, format).await?;
        match &mut all {
            None => all = Some(one),
            Some(first) => {
                let same = first.format == one.format
                    && first.compression == one.compression
                    && first.partitions == one.partitions
                    && first.urls[0].object_store() == one.urls[0].object_store();
                if !same {
                    return Err(FrameError::Plan(format!(
                        "{} and {} cannot be one table: they differ in format, compression, \
                         partition columns or store; read them apart and use union",
                        first.written, one.written
                    )));
                }
                first.urls.extend(one.urls);
                first.files.extend(one.files);
                first.null_partitions |= one.null_partitions;
            }
        }
    }
    all.ok_or_else(|| FrameError::Plan("no path to read was given".to_string()))
}

async fn locate_one(
    state: &SessionState,
    path: &str,
    format: Option<FileFormat>,
) -> Result<Located> {
    let place = match path.split_once("://") {
        Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
            if !SCHEMES.contains(&scheme) && scheme != "https" {
                return Err(FrameError::Scheme {
                    scheme: scheme.to_string(),
                    url: path.to_string(),
                });
            }
            remote(state, path).await?
        }
        _ => local(state, path).await?,
    };
    settle(state, path, place, format)
}

fn store(state: &SessionState, url: &Url) -> Result<Arc<dyn ObjectStore>> {
    Ok(state.runtime_env().object_store_registry.get_store(url)?)
}

fn unreadable(path: &str, error: &std::io::Error) -> FrameError {
    FrameError::Unreadable { path: path.to_string(), reason: io_reason(error) }
}

/// The absolute form of a path, without resolving links.
pub(crate) fn absolute(path: &FilePath) -> Result<std::path::PathBuf> {
    std::path::absolute(path).map_err(|e| unreadable(&path.display().to_string(), &e))
}

async fn local(state: &SessionState, path: &str) -> Result<Place> {
    let file = FilePath::new(path);
    match std::fs::metadata(file) {
        Ok(meta) if meta.is_dir() => {
            let url = directory_url(&absolute(file)?, path)?;
            let files = list(&store(state, &url)?, &url).await?;
            Ok(Place { url, files, folder: true, explicit: false })
        }
        Ok(_) => {
            // Opening tells at once what reading would say later.
            std::fs::File::open(file).map_err(|e| unreadable(path, &e))?;
            let url = file_url(&absolute(file)?, path)?;
            let meta = store(state, &url)?.head(&object_path(&url)?).await;
            let files = vec![meta.map_err(datafusion::error::DataFusionError::from)?];
            Ok(Place { url, files, folder: false, explicit: true })
        }
        Err(_) if path.contains(['*', '?', '[']) => {
            let options = MatchOptions {
                require_literal_separator: true,
                require_literal_leading_dot: true,
                ..Default::default()
            };
            let pattern =
                glob::glob_with(path, options).map_err(|e| FrameError::InvalidOption {
                    option: "path".to_string(),
                    expected: "a pattern of *, ?, ** and [a-z]".to_string(),
                    got: format!("{path:?}: {}", e.msg),
                })?;
            let mut files = Vec::new();
            let root = directory_url(FilePath::new("/"), path)?;
            let store = store(state, &root)?;
            for found in pattern {
                let found =
                    found.map_err(|e| unreadable(&e.path().display().to_string(), e.error()))?;
                if found.is_file() {
                    let url = file_url(&absolute(&found)?, path)?;
                    let meta = store.head(&object_path(&url)?).await;
                    files.push(meta.map_err(datafusion::error::DataFusionError::from)?);
                }
            }
            Ok(Place { url: root, files, folder: false, explicit: true })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(FrameError::MissingFile { path: path.to_string(), nearest: sibling(file) })
        }
        Err(e) => Err(unreadable(path, &e)),
    }
}

/// A file of a similar name in the same folder.
fn sibling(path: &FilePath) -> Option<String> {
    let parent = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => FilePath::new("."),
    };
    let name = path.file_name()?.to_string_lossy().into_owned();
    let entries = std::fs::read_dir(parent).ok()?;
    let names: Vec<String> =
        entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    let best = nearest(&name, names.iter().map(String::as_str)).into_iter().next()?;
    // `nearest` falls back to all names of a small folder; here only a similar one helps.
    (strsim::jaro_winkler(&name, &best) >= 0.75).then(|| {
        let full = path.with_file_name(best);
        full.display().to_string()
    })
}

fn file_url(path: &FilePath, written: &str) -> Result<Url> {
    let url = Url::from_file_path(path).map_err(|()| not_a_path(written))?;
    resolve(&url, written)
}

fn directory_url(path: &FilePath, written: &str) -> Result<Url> {
    let url = Url::from_directory_path(path).map_err(|()| not_a_path(written))?;
    resolve(&url, written)
}

/// Parsing resolves `..`, which making a URL of a path keeps.
fn resolve(url: &Url, written: &str) -> Result<Url> {
    Url::parse(url.as_str()).map_err(|_| not_a_path(written))
}

fn not_a_path(written: &str) -> FrameError {
    FrameError::Unreadable { path: written.to_string(), reason: "it is not a path".to_string() }
}

fn object_path(url: &Url) -> Result<object_store::path::Path> {
    object_store::path::Path::from_url_path(url.path())
        .map_err(|e| FrameError::Unreadable { path: url.to_string(), reason: e.to_string() })
}

async fn list(store: &Arc<dyn ObjectStore>, url: &Url) -> Result<Vec<ObjectMeta>> {
    let prefix = object_path(url)?;
    let mut files: Vec<ObjectMeta> = store
        .list(Some(&prefix))
        .try_collect()
        .await
        .map_err(datafusion::error::DataFusionError::from)?;
    files.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(files)
}

async fn remote(state: &SessionState, path: &str) -> Result<Place> {
    let bad = |e: url::ParseError| FrameError::Unreadable {
        path: path.to_string(),
        reason: format!("it is not a URL: {e}"),
    };
    if let Some(at) = path.find(['*', '[']) {
        let base = &path[..path[..at].rfind('/').map_or(0, |i| i + 1)];
        let url = Url::parse(base).map_err(bad)?;
        let pattern = Pattern::new(&path[base.len()..]).map_err(|e| FrameError::InvalidOption {
            option: "path".to_string(),
            expected: "a pattern of *, ?, ** and [a-z]".to_string(),
            got: format!("{path:?}: {}", e.msg),
        })?;
        let options = MatchOptions { require_literal_separator: true, ..Default::default() };
        let mut files = list(&store(state, &url)?, &url).await.map_err(|e| listing(&url, e))?;
        let prefix = object_path(&url)?;
        files.retain(|f| pattern.matches_with(&relative(&prefix, f), options));
        let mut root = url;
        root.set_path("/");
        return Ok(Place { url: root, files, folder: false, explicit: true });
    }
    let url = Url::parse(path).map_err(bad)?;
    if url.scheme() == "file"
        && let Ok(file) = url.to_file_path()
    {
        return Box::pin(local(state, &file.display().to_string())).await;
    }
    if url.query().is_some() {
        return Err(FrameError::Unreadable {
            path: path.to_string(),
            reason: "a URL with a query (\"?…\") names no file that can be read again; use one \
                     without"
                .to_string(),
        });
    }
    let store = store(state, &url)?;
    if !url.path().ends_with('/') {
        match store.head(&object_path(&url)?).await {
            Ok(meta) => return Ok(Place { url, files: vec![meta], folder: false, explicit: true }),
            Err(object_store::Error::NotFound { .. }) if !is_http(&url) => {}
            Err(object_store::Error::NotFound { .. }) => {
                return Err(FrameError::MissingFile { path: path.to_string(), nearest: None });
            }
            Err(e) => return Err(datafusion::error::DataFusionError::from(e).into()),
        }
    }
    let mut folder = url;
    if !folder.path().ends_with('/') {
        folder.set_path(&format!("{}/", folder.path()));
    }
    let files = list(&store, &folder).await.map_err(|e| listing(&folder, e))?;
    if files.is_empty() {
        return Err(FrameError::MissingFile { path: path.to_string(), nearest: None });
    }
    Ok(Place { url: folder, files, folder: true, explicit: false })
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// The error of listing a folder. Plain servers of http have no lists, only those of WebDAV.
fn listing(url: &Url, error: FrameError) -> FrameError {
    let FrameError::Unreadable { reason, .. } = &error else { return error };
    if !is_http(url) {
        return error;
    }
    let reason = format!(
        "patterns and folders over http need a server that lists its files (WebDAV), and this \
         one does not: {}; name each file, or use a store that lists (s3://, gs://, az://)",
        reason.lines().next().unwrap_or_default().trim_end_matches([':', ' '])
    );
    FrameError::Unreadable { path: url.to_string(), reason }
}

fn relative(prefix: &object_store::path::Path, file: &ObjectMeta) -> String {
    let rest = file.location.as_ref().strip_prefix(prefix.as_ref()).unwrap_or_default();
    rest.trim_start_matches('/').to_string()
}

/// Settles format, compression and partition columns.
fn settle(
    state: &SessionState,
    written: &str,
    place: Place,
    wanted: Option<FileFormat>,
) -> Result<Located> {
    let store = store(state, &place.url)?;
    let prefix = object_path(&place.url)?;
    let mut files = place.files;
    let mut nested = false;
    if place.folder {
        files.retain(|f| {
            let path = relative(&prefix, f);
            let hidden = path.split('/').any(|s| s.starts_with('.') || s.starts_with('_'));
            let deep = path.split('/').filter(|s| !s.contains('=')).count() > 1;
            nested |= deep && !hidden;
            !hidden && !deep
        });
    }
    let none = |hint: String| FrameError::NoFiles {
        path: written.to_string(),
        format: wanted.map_or("data", FileFormat::name).to_string(),
        hint,
    };
    if files.is_empty() {
        return Err(none(match (place.folder, nested) {
            (true, true) => format!("its files are in subfolders; use {written}/**/*"),
            (true, false) => "the folder is empty".to_string(),
            _ => "nothing matches the pattern".to_string(),
        }));
    }
    let kinds = kinds(&files, wanted, place.explicit);
    let kind = match kinds.as_slice() {
        [] if place.folder => {
            return Err(none("the folder has files of other formats only".to_string()));
        }
        [] => return Err(FrameError::UnknownFormat { path: written.to_string() }),
        [one] => *one,
        many => {
            let names: Vec<String> = many
                .iter()
                .map(|n| format!("{} ({})", n.format.name(), describe(n.compression)))
                .collect();
            return Err(FrameError::Plan(format!(
                "{written} holds files of several kinds: {}; name one kind by a pattern",
                names.join(", ")
            )));
        }
    };
    files.retain(|f| keep(f, kind, wanted, place.explicit));
    let urls =
        if place.folder { folder_urls(&place.url, &files)? } else { urls(&place.url, &files)? };
    let mut partitions = (Vec::new(), false);
    if place.folder {
        partitions = super::partitions::infer(files.iter().map(|f| relative(&prefix, f)), written)?;
    }
    let (partitions, null_partitions) = partitions;
    let Named { format, compression, tabs } = kind;
    let written = written.to_string();
    Ok(Located {
        urls,
        files,
        store,
        format,
        compression,
        tabs,
        partitions,
        null_partitions,
        written,
    })
}

fn describe(compression: CompressionTypeVariant) -> String {
    let text = compression.to_string().to_ascii_lowercase();
    if text.is_empty() { "not compressed".to_string() } else { text }
}

/// The kind of one file: what its name says, or what was asked for.
fn kind_of(file: &ObjectMeta, wanted: Option<FileFormat>, explicit: bool) -> Option<Named> {
    let name = file.location.filename().unwrap_or_default();
    match (named(name), wanted) {
        (Some(n), None) => Some(n),
        (Some(n), Some(w)) if n.format == w => Some(n),
        // Named explicitly or of no known kind: the asked format counts.
        (n, Some(w)) if explicit || n.is_none() => {
            Some(Named { format: w, compression: compression_of(name).0, tabs: false })
        }
        _ => None,
    }
}

/// The kinds among the files. Files of no known kind count only where there is no other.
fn kinds(files: &[ObjectMeta], wanted: Option<FileFormat>, explicit: bool) -> Vec<Named> {
    let mut known: Vec<Named> = Vec::new();
    let mut assumed: Vec<Named> = Vec::new();
    for file in files {
        let Some(kind) = kind_of(file, wanted, explicit) else { continue };
        let by_name = named(file.location.filename().unwrap_or_default()) == Some(kind);
        let list = if by_name || explicit { &mut known } else { &mut assumed };
        if !list.contains(&kind) {
            list.push(kind);
        }
    }
    if known.is_empty() { assumed } else { known }
}

fn keep(file: &ObjectMeta, kind: Named, wanted: Option<FileFormat>, explicit: bool) -> bool {
    kind_of(file, wanted, explicit) == Some(kind)
}

/// A folder, once for each file ending in it, so that other files stay out.
fn folder_urls(url: &Url, files: &[ObjectMeta]) -> Result<Vec<ListingTableUrl>> {
    let mut endings: BTreeMap<String, ()> = BTreeMap::new();
    for file in files {
        let name = file.location.filename().unwrap_or_default();
        let (_, stem) = compression_of(name);
        let ending = match stem.rsplit_once('.') {
            Some((_, extension)) => format!(".{extension}{}", &name[stem.len()..]),
            None => name[stem.len()..].to_string(),
        };
        endings.insert(ending, ());
    }
    let whole = ListingTableUrl::try_new(url.clone(), None)?;
    let mut out = Vec::new();
    for ending in endings.into_keys() {
        out.push(whole.clone().with_glob(&format!("[!._]*{}", Pattern::escape(&ending)))?);
    }
    Ok(out)
}

/// One URL a file.
fn urls(root: &Url, files: &[ObjectMeta]) -> Result<Vec<ListingTableUrl>> {
    let mut out = Vec::with_capacity(files.len());
    for file in files {
        let mut url = root.clone();
        url.set_path(&format!("/{}", file.location.as_ref().replace('%', "%25")));
        out.push(ListingTableUrl::try_new(url, None)?);
    }
    Ok(out)
}
