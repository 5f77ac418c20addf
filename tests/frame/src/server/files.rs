//! A plain web server of files.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use super::{Pace, Request, Response, Server, lock};

/// A web server of files that can be told to misbehave.
#[derive(Debug)]
pub struct Web {
    server: Server,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    pace: Mutex<Pace>,
    status: Mutex<Option<u16>>,
    ranges: bool,
}

impl Web {
    /// A server without files; `ranges` says whether it can give parts of a file.
    pub fn start(ranges: bool) -> Self {
        let state = Arc::new(State {
            files: Mutex::default(),
            pace: Mutex::new(Pace::Whole),
            status: Mutex::default(),
            ranges,
        });
        let answers = Arc::clone(&state);
        Self { server: Server::start(move |request| answers.answer(request)), state }
    }

    /// Puts a file under a path such as `/a/x.csv`.
    pub fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        lock(&self.state.files).insert(path.to_string(), content.into());
    }

    /// How bodies are sent from now on.
    pub fn pace(&self, pace: Pace) {
        *lock(&self.state.pace) = pace;
    }

    /// Answers everything with a status from now on.
    pub fn always(&self, status: u16) {
        *lock(&self.state.status) = Some(status);
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }
}

impl State {
    fn answer(&self, request: &Request) -> Response {
        if let Some(status) = *lock(&self.status) {
            return Response::new(status, "as you wish");
        }
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return Response::new(405, "");
        }
        let files = lock(&self.files);
        let Some(bytes) = files.get(&request.path) else {
            return Response::new(404, "not here");
        };
        let response = match self.ranges {
            true => Response::object(request, bytes),
            // As simple servers do: no tag, no ranges.
            false => Response::new(200, bytes.clone()),
        };
        Response { pace: *lock(&self.pace), ..response }
    }
}
