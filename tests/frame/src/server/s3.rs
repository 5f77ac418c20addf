//! A minimal S3 in memory, path style: objects with ranges, lists in pages, multipart
//! uploads. Google's store answers the same requests.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{MODIFIED_IN_LISTS, Request, Response, Server, etag, lock};

/// Keys on one page of a list: few, so that tests turn pages.
const PAGE: usize = 3;

/// A store.
#[derive(Debug)]
pub struct S3 {
    server: Server,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By `bucket/key`.
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    uploads: Mutex<BTreeMap<String, BTreeMap<u64, Vec<u8>>>>,
    next: AtomicU64,
    /// Refuses to write keys that hold this.
    refused: Mutex<Option<String>>,
    signed: bool,
}

impl S3 {
    /// A store whose requests must be signed, as Amazon's.
    pub fn start() -> Self {
        Self::with(State { signed: true, ..State::default() })
    }

    /// A store for anybody, as Google's public buckets.
    pub fn public() -> Self {
        Self::with(State::default())
    }

    fn with(state: State) -> Self {
        let state = Arc::new(state);
        let answers = Arc::clone(&state);
        Self { server: Server::start(move |request| answers.answer(request)), state }
    }

    /// The settings that lead a session to this store instead of Amazon's.
    pub fn settings(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT", self.server.url().as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "us-east-1"),
        ]
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .to_vec()
    }

    /// The settings that lead a session to this store instead of Google's.
    pub fn google_settings(&self) -> Vec<(String, String)> {
        [("GOOGLE_BASE_URL", self.server.url().as_str()), ("GOOGLE_SKIP_SIGNATURE", "true")]
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .to_vec()
    }

    /// Puts an object: `bucket/key`.
    pub fn put(&self, name: &str, content: impl Into<Vec<u8>>) {
        lock(&self.state.objects).insert(name.to_string(), content.into());
    }

    /// The names of the objects, `bucket/key`, with their sizes.
    pub fn objects(&self) -> Vec<(String, usize)> {
        lock(&self.state.objects).iter().map(|(name, bytes)| (name.clone(), bytes.len())).collect()
    }

    /// The multipart uploads that were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        lock(&self.state.uploads).len()
    }

    /// Refuses to write keys that hold a text; none where it is `None`.
    pub fn refuse(&self, text: Option<&str>) {
        *lock(&self.state.refused) = text.map(str::to_string);
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }
}

fn error(status: u16, code: &str) -> Response {
    Response::new(status, format!("<Error><Code>{code}</Code></Error>"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl State {
    fn answer(&self, request: &Request) -> Response {
        let signed = request
            .header("authorization")
            .is_some_and(|a| a.starts_with("AWS4-HMAC-SHA256 Credential=test/"));
        if self.signed && !signed {
            return error(403, "AccessDenied");
        }
        let name = request.path.trim_start_matches('/').to_string();
        let writes = matches!(request.method.as_str(), "PUT" | "POST");
        let refused = lock(&self.refused).clone();
        if writes && refused.is_some_and(|text| name.contains(&text)) {
            return error(403, "AccessDenied");
        }
        let is_bucket = !name.trim_end_matches('/').contains('/');
        match (request.method.as_str(), is_bucket) {
            ("GET", true) => self.list(request, name.trim_end_matches('/')),
            ("POST", true) if request.asks("delete").is_some() => self.delete_all(request, &name),
            ("GET" | "HEAD", false) => match lock(&self.objects).get(&name) {
                Some(bytes) => Response::object(request, bytes),
                None => error(404, "NoSuchKey"),
            },
            ("PUT", false) => self.put(request, name),
            ("POST", false) => self.post(request, name),
            ("DELETE", false) => {
                match request.asks("uploadId") {
                    Some(id) => drop(lock(&self.uploads).remove(id)),
                    None => drop(lock(&self.objects).remove(&name)),
                }
                Response::new(204, "")
            }
            _ => error(405, "MethodNotAllowed"),
        }
    }

    fn put(&self, request: &Request, name: String) -> Response {
        let tag = etag(&request.body);
        if let (Some(id), Some(part)) = (request.asks("uploadId"), request.asks("partNumber")) {
            let mut uploads = lock(&self.uploads);
            let Some(parts) = uploads.get_mut(id) else { return error(404, "NoSuchUpload") };
            parts.insert(part.parse().unwrap_or(0), request.body.clone());
        } else {
            lock(&self.objects).insert(name, request.body.clone());
        }
        Response::new(200, "").with("ETag", tag)
    }

    fn post(&self, request: &Request, name: String) -> Response {
        if request.asks("uploads").is_some() {
            let id = format!("upload-{}", self.next.fetch_add(1, Ordering::SeqCst));
            lock(&self.uploads).insert(id.clone(), BTreeMap::new());
            let result = "InitiateMultipartUploadResult";
            return Response::new(200, format!("<{result}><UploadId>{id}</UploadId></{result}>"));
        }
        let id = request.asks("uploadId").unwrap_or_default();
        let Some(parts) = lock(&self.uploads).remove(id) else {
            return error(404, "NoSuchUpload");
        };
        let bytes: Vec<u8> = parts.into_values().flatten().collect();
        let tag = etag(&bytes).replace('"', "&quot;");
        lock(&self.objects).insert(name, bytes);
        let result = "CompleteMultipartUploadResult";
        Response::new(200, format!("<{result}><ETag>{tag}</ETag></{result}>"))
    }

    fn delete_all(&self, request: &Request, bucket: &str) -> Response {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let mut out = String::from("<DeleteResult>");
        for key in text.split("<Key>").skip(1).filter_map(|t| t.split_once("</Key>")) {
            lock(&self.objects).remove(&format!("{}/{}", bucket.trim_end_matches('/'), key.0));
            out += &format!("<Deleted><Key>{}</Key></Deleted>", key.0);
        }
        Response::new(200, out + "</DeleteResult>")
    }

    fn list(&self, request: &Request, bucket: &str) -> Response {
        let prefix = request.asks("prefix").unwrap_or_default();
        let after = request.asks("continuation-token").or(request.asks("start-after"));
        let objects = lock(&self.objects);
        let begin = format!("{bucket}/");
        let keys = objects.iter().filter_map(|(name, bytes)| {
            let key = name.strip_prefix(&begin)?;
            (key.starts_with(prefix) && after.is_none_or(|a| key > a)).then_some((key, bytes))
        });
        let mut out = String::from("<ListBucketResult>");
        let mut folders: Vec<String> = Vec::new();
        let delimiter = request.asks("delimiter").filter(|d| !d.is_empty());
        let mut listed = 0;
        let mut last = "";
        for (key, bytes) in keys {
            let folder = delimiter.and_then(|d| {
                let end = key[prefix.len()..].find(d)?;
                Some(key[..prefix.len() + end + d.len()].to_string())
            });
            match folder {
                Some(folder) if folders.last() != Some(&folder) => folders.push(folder),
                Some(_) => {}
                // The page is full, and here is one more key.
                None if delimiter.is_none() && listed == PAGE => {
                    let token = escape(last);
                    out += &format!(
                        "<IsTruncated>true</IsTruncated>\
                         <NextContinuationToken>{token}</NextContinuationToken>"
                    );
                    break;
                }
                None => {
                    listed += 1;
                    last = key;
                    out += &format!(
                        "<Contents><Key>{}</Key><LastModified>{MODIFIED_IN_LISTS}</LastModified>\
                         <ETag>{}</ETag><Size>{}</Size></Contents>",
                        escape(key),
                        etag(bytes).replace('"', "&quot;"),
                        bytes.len()
                    );
                }
            }
        }
        for folder in folders {
            let folder = escape(&folder);
            out += &format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>");
        }
        Response::new(200, out + "</ListBucketResult>")
    }
}
