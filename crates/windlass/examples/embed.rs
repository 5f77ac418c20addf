//! Load, tokenise, embed: many files through a pipeline of functions, as tasks.
//!
//! ```text
//! cargo run --example embed -- 'texts/*.txt'
//! ```
//!
//! Each file is loaded, cut into tokens, and embedded; what is printed is each file's nearest
//! other one. The embedding is the signed hashing of tokens (Weinberger and others, *Feature
//! Hashing for Large Scale Multitask Learning*, 2009), so that the example needs no model. Without
//! arguments it reads this repository's own sources.

use std::{
    fs,
    hash::BuildHasher,
    path::{Path, PathBuf},
    sync::Arc,
};

use windlass::prelude::*;

/// Dimensions of an embedding.
const DIMENSIONS: usize = 256;

fn load(path: &Path) -> Result<String, std::io::Error> {
    fs::read_to_string(path)
}

fn tokenise(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|w| w.len() > 2);
    words.map(str::to_lowercase).collect()
}

fn embed(tokens: &[String]) -> Vec<f32> {
    let hasher = foldhash::fast::FixedState::with_seed(7);
    let mut sums = vec![0.0_f32; DIMENSIONS];
    for token in tokens {
        let hash = hasher.hash_one(token);
        let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
        sums[hash as usize % DIMENSIONS] += sign;
    }
    let norm = sums.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    sums.into_iter().map(|x| x / norm).collect()
}

/// For each embedding the nearest other one, and the cosine of their angle.
fn nearest(all: &[Arc<Vec<f32>>]) -> Vec<Option<(usize, f32)>> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let of = |i: usize| {
        let others = (0..all.len()).filter(|&j| j != i).map(|j| (j, dot(&all[i], &all[j])));
        others.max_by(|a, b| a.1.total_cmp(&b.1))
    };
    (0..all.len()).map(of).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pattern =
        std::env::args().nth(1).unwrap_or_else(|| "crates/windlass-runtime/src/*/*.rs".into());
    let paths: Vec<PathBuf> = glob::glob(&pattern)?.collect::<Result<_, _>>()?;
    if paths.is_empty() {
        return Err(format!("no file matches {pattern}").into());
    }

    // A file that is being written may fail to load once; it is tried again.
    let load = try_delayed(|path: &PathBuf| load(path)).named("load").retries(2);
    let tokenise = delayed(|text: &String| tokenise(text)).named("tokenise");
    let embed = delayed(|tokens: &Vec<String>| embed(tokens)).named("embed");
    let embeddings: Vec<Delayed<Vec<f32>>> = paths
        .iter()
        .map(|path| embed.call((tokenise.call((load.call((path.clone(),)),)),)))
        .collect();
    let nearest = delayed(|all: &Vec<Arc<Vec<f32>>>| nearest(all)).named("nearest");
    let nearest = nearest.call((Delayed::all(embeddings),));

    for (i, near) in nearest.compute()?.iter().enumerate() {
        match near {
            Some((j, cosine)) => {
                println!("{:50} {cosine:.3}  {}", paths[i].display(), paths[*j].display());
            }
            None => println!("{:50} is alone", paths[i].display()),
        }
    }
    Ok(())
}
