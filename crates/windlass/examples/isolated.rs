//! Tasks in processes of their own: the crash of one ends a try, and not the job.
//!
//! ```text
//! cargo run --example isolated -- 'texts/*.txt'
//! ```
//!
//! It counts the words of files. The counting of the first file aborts its process the first
//! time, as code behind a foreign function may: its worker's death is told, and the count is made
//! again in a new worker. Without arguments it counts the words of this repository's own
//! documents.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use windlass::prelude::*;

type Counts = BTreeMap<String, u64>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // What stands here is done by this program and by each of its workers.
    let mut functions = Functions::new();
    let load = functions.try_register("load", |path: &PathBuf| fs::read_to_string(path));
    let count = functions.register("count", |text: &String, crash: &Option<PathBuf>| {
        // The file tells the first time from the second, as the process does not live on.
        if crash.as_ref().is_some_and(|once| fs::File::create_new(once).is_ok()) {
            std::process::abort();
        }
        let mut counts = Counts::new();
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
        counts
    });
    let merge = functions.register_list("merge", |parts: &[Arc<Counts>]| {
        let mut all = Counts::new();
        for (word, n) in parts.iter().flat_map(|p| p.iter()) {
            *all.entry(word.clone()).or_default() += n;
        }
        all
    });
    // A worker stays here.
    functions.serve_if_worker();

    let pattern = std::env::args().nth(1).unwrap_or_else(|| "*.md".into());
    let paths: Vec<PathBuf> = glob::glob(&pattern)?.collect::<Result<_, _>>()?;
    let once = std::env::temp_dir().join(format!("windlass-isolated-{}", std::process::id()));
    let parts = paths.into_iter().enumerate().map(|(i, path)| {
        let crash = (i == 0).then(|| once.clone());
        count.call((load.call((path,)), crash))
    });
    let all = merge.call(parts.collect::<Vec<_>>());

    let options = ProcessOptions::default();
    let mut events = options.events.subscribe();
    let executor = ProcessExecutor::new(options, &functions)?;
    let all = all.compute_on(&executor)?;
    while let Some(event) = events.next(std::time::Duration::ZERO) {
        if event.kind == windlass::runtime::EventKind::Crash {
            println!("{}", event.name);
        }
    }
    let _ = fs::remove_file(once);

    let mut words: Vec<_> = all.iter().collect();
    words.sort_by_key(|(word, n)| (std::cmp::Reverse(**n), *word));
    for (word, n) in words.into_iter().take(10) {
        println!("{n:8}  {word}");
    }
    Ok(())
}
