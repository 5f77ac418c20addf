//! Computes the cases of `numpy_cases.py`: reads a folder's `cases.jsonl`, one case a line,
//! and writes each result as `.npy`, or what went wrong. The script compares. A second argument
//! names the devices that compute, as `--device` of the command does.
//!
//! A case is an expression: `{"array": "3.npy", "chunks": [[2, 1], [4]]}`, `{"scalar": 2.5}`
//! or `{"call": "sum", "of": [...], "with": {...}}`.

mod call;
mod functions;
mod grids;
mod linear;
mod more;
mod npy;
mod storage;

use std::{
    error::Error,
    fs,
    io::{BufWriter, Write},
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Value, json};
use windlass_array::{Array, ChunkGrid, Operand};
use windlass_device::{DeviceOptions, DeviceSpec};
use windlass_runtime::{
    Inventory,
    execute::{Executor, ExecutorOptions},
};

/// One line of `cases.jsonl`.
#[derive(Deserialize)]
struct Case {
    id: usize,
    expression: Expression,
}

/// What is computed.
#[derive(Deserialize)]
#[serde(untagged)]
enum Expression {
    /// A file's elements, in these chunks.
    Array { array: String, chunks: Vec<Vec<usize>> },
    /// A number.
    Scalar { scalar: Value },
    /// A function's result.
    Call { call: String, of: Vec<Expression>, with: Value },
}

/// A weak scalar: bools, integers, floats (with the names of those that JSON lacks), and
/// complex numbers as pairs.
fn scalar(value: &Value) -> Result<Operand, Box<dyn Error>> {
    Ok(match value {
        Value::Bool(b) => (*b).into(),
        Value::Number(n) if n.is_i64() => n.as_i64().unwrap_or_default().into(),
        Value::Number(n) => n.as_f64().unwrap_or_default().into(),
        Value::String(s) => s.parse::<f64>()?.into(),
        Value::Array(parts) => {
            let part = |i: usize| parts.get(i).and_then(Value::as_f64).unwrap_or_default();
            windlass_array::C64::new(part(0), part(1)).into()
        }
        other => return Err(format!("no scalar: {other}").into()),
    })
}

fn evaluate(folder: &Path, expression: &Expression) -> Result<Operand, Box<dyn Error>> {
    Ok(match expression {
        Expression::Array { array, chunks } => {
            let x = npy::read(&folder.join(array))?;
            let grid = ChunkGrid::explicit(x.shape(), chunks)?;
            x.rechunk_to(grid)?.into()
        }
        Expression::Scalar { scalar: value } => scalar(value)?,
        Expression::Call { call, of, with } => {
            let of = of.iter().map(|e| evaluate(folder, e)).collect::<Result<Vec<_>, _>>()?;
            match storage::call(call, &of, with) {
                Some(array) => array?.into(),
                None => call::call(call, &of, with)?.into(),
            }
        }
    })
}

fn run(folder: &Path, case: &Case, on: &Executor) -> Result<(), Box<dyn Error>> {
    let result: Array = match evaluate(folder, &case.expression)? {
        Operand::Array(array) => array,
        Operand::Scalar(s) => Array::scalar(s)?,
    };
    let tile = result.compute_tile_on(on)?;
    if tile.shape() != result.shape() || tile.dtype() != result.dtype() {
        return Err("the result is not what the array said that it is".into());
    }
    npy::write(&folder.join(format!("result-{}.npy", case.id)), &tile)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("name the folder of cases.jsonl")?);
    let spec: DeviceSpec = std::env::args().nth(2).as_deref().unwrap_or("cpu").parse()?;
    let inventory = Inventory::new(spec, DeviceOptions::default());
    let executor = Executor::with_devices(ExecutorOptions::default(), inventory)?;
    let cases = fs::read_to_string(folder.join("cases.jsonl"))?;
    let mut told = BufWriter::new(fs::File::create(folder.join("results.jsonl"))?);
    for line in cases.lines() {
        let case: Case = serde_json::from_str(line)?;
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| run(&folder, &case, &executor)));
        let error = match outcome {
            Ok(Ok(())) => Value::Null,
            Ok(Err(e)) => e.to_string().into(),
            Err(_) => "it panicked".into(),
        };
        writeln!(told, "{}", json!({ "id": case.id, "error": error }))?;
    }
    told.flush()?;
    // How many tasks each device ran: a suite for a device must not have run on the host.
    let counts: Vec<_> = executor.counts().into_iter().map(|(name, c)| (name, c.tasks)).collect();
    let taken = windlass_array::taken_over(&executor);
    let told = json!({ "tasks": counts, "taken_over": taken.tiles, "reason": taken.reason });
    fs::write(folder.join("tasks.json"), told.to_string())?;
    Ok(())
}
