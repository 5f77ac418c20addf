//! The most frequent words of text files, by a bag of lines.
//!
//! ```text
//! cargo run --example word_counts -- 'texts/*.txt' [COUNT]
//! ```
//!
//! Without arguments it counts the words of this repository's own documents.

use windlass::prelude::*;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let pattern = arguments.next().unwrap_or_else(|| "*.md".to_string());
    let count = arguments.next().map_or(Ok(10), |n| n.parse::<usize>())?;

    let lines = Bag::read_text(&pattern)?;
    let words = lines.flat_map(|line| {
        let words = line.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
        words.map(str::to_lowercase).collect::<Vec<_>>()
    });
    let counts = words.frequencies();

    // Each partition counts its own words, and the counts are brought together by word: no list
    // of the words of all files is made.
    for (word, n) in counts.top_k(count, |(_, n)| *n).compute()?.iter() {
        println!("{n:8}  {word}");
    }

    // The same counts as a table, for SQL.
    let session = Session::new()?;
    let table =
        counts.map(|(word, n)| Count { word: word.clone(), n: *n }).to_dataframe(&session)?;
    session.register("counts", &table)?;
    let lengths = "SELECT length(word) AS letters, sum(n) AS words FROM counts
                   GROUP BY letters ORDER BY words DESC LIMIT 5";
    session.sql(lengths).await?.show().await?;
    Ok(())
}

#[derive(Clone, serde::Serialize)]
struct Count {
    word: String,
    n: u64,
}
