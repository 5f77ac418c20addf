//! A minimal Azure blob store in memory: blobs with ranges, lists, blocks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use super::{MODIFIED, Request, Response, Server, etag, lock};

/// A store.
#[derive(Debug)]
pub struct Azure {
    server: Server,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By `container/blob`.
    blobs: Mutex<BTreeMap<String, Vec<u8>>>,
    /// By blob and block.
    blocks: Mutex<BTreeMap<(String, String), Vec<u8>>>,
}

impl Azure {
    /// A store for anybody.
    pub fn start() -> Self {
        let state: Arc<State> = Arc::default();
        let answers = Arc::clone(&state);
        Self { server: Server::start(move |request| answers.answer(request)), state }
    }

    /// The settings that lead a session to this store.
    pub fn settings(&self) -> Vec<(String, String)> {
        [
            ("AZURE_STORAGE_ENDPOINT", self.server.url().as_str()),
            ("AZURE_STORAGE_ACCOUNT_NAME", "test"),
            ("AZURE_SKIP_SIGNATURE", "true"),
            ("AZURE_ALLOW_HTTP", "true"),
        ]
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .to_vec()
    }

    /// Puts a blob: `container/name`.
    pub fn put(&self, name: &str, content: impl Into<Vec<u8>>) {
        lock(&self.state.blobs).insert(name.to_string(), content.into());
    }

    /// The names of the blobs with their sizes.
    pub fn blobs(&self) -> Vec<(String, usize)> {
        lock(&self.state.blobs).iter().map(|(name, bytes)| (name.clone(), bytes.len())).collect()
    }
}

impl State {
    fn answer(&self, request: &Request) -> Response {
        let name = request.path.trim_start_matches('/').to_string();
        let created = |bytes: &[u8]| {
            let response = Response::new(201, "").with("ETag", etag(bytes));
            response.with("Last-Modified", MODIFIED)
        };
        match (request.method.as_str(), request.asks("comp")) {
            ("GET", Some("list")) => self.list(request, &name),
            ("GET" | "HEAD", None) => match lock(&self.blobs).get(&name) {
                Some(bytes) => Response::object(request, bytes),
                None => Response::new(404, ""),
            },
            ("PUT", Some("block")) => {
                let block = request.asks("blockid").unwrap_or_default().to_string();
                lock(&self.blocks).insert((name, block), request.body.clone());
                created(&request.body)
            }
            ("PUT", Some("blocklist")) => {
                let list = String::from_utf8_lossy(&request.body).into_owned();
                let mut bytes = Vec::new();
                for id in list.split('>').filter_map(|t| t.split_once("</")).map(|(id, _)| id) {
                    if let Some(block) = lock(&self.blocks).remove(&(name.clone(), id.into())) {
                        bytes.extend(block);
                    }
                }
                let response = created(&bytes);
                lock(&self.blobs).insert(name, bytes);
                response
            }
            ("PUT", None) => {
                lock(&self.blobs).insert(name, request.body.clone());
                created(&request.body)
            }
            _ => Response::new(405, ""),
        }
    }

    fn list(&self, request: &Request, container: &str) -> Response {
        let prefix = request.asks("prefix").unwrap_or_default();
        let begin = format!("{}/", container.trim_end_matches('/'));
        let mut out = String::from("<EnumerationResults><Blobs>");
        for (name, bytes) in lock(&self.blobs).iter() {
            let Some(name) = name.strip_prefix(&begin).filter(|n| n.starts_with(prefix)) else {
                continue;
            };
            out += &format!(
                "<Blob><Name>{name}</Name><Properties><Last-Modified>{MODIFIED}</Last-Modified>\
                 <Content-Length>{}</Content-Length><Content-Type>x/y</Content-Type>\
                 <Etag>{}</Etag></Properties></Blob>",
                bytes.len(),
                etag(bytes).replace('"', "&quot;")
            );
        }
        Response::new(200, out + "</Blobs></EnumerationResults>")
    }
}
