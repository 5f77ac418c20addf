//! What the tests of frames share: sessions on the CPU, folders, and rows as text.

pub mod server;

use windlass::{
    DataFrame, DeviceSpec, Outcome, RunOptions, Session, SessionOptions,
    arrow::{array::RecordBatch, util::display::array_value_to_string},
};

/// A session on the CPU alone with two partitions.
pub fn session() -> Session {
    session_with(SessionOptions::default())
}

/// A session on the CPU alone with two partitions, and other options as given.
pub fn session_with(options: SessionOptions) -> Session {
    let devices: DeviceSpec = "cpu".parse().expect("a spec");
    Session::with_options(SessionOptions { devices, target_partitions: Some(2), ..options })
        .expect("a session")
}

/// A folder that is removed at the end of the test.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for temporary files")
}

/// Rows as text: values by commas, rows in order, null as nothing.
pub fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let mut out = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let value = |c| array_value_to_string(batch.column(c), row).expect("a value");
            out.push((0..batch.num_columns()).map(value).collect::<Vec<_>>().join(","));
        }
    }
    out
}

/// The rows of a frame.
pub async fn all(frame: &DataFrame) -> Vec<String> {
    rows(&frame.collect().await.expect("rows"))
}

/// The rows of one SQL query.
pub async fn sql(session: &Session, text: &str) -> Vec<String> {
    all(&session.sql(text).await.expect("a plan")).await
}

/// Runs every statement of a text; the last one's outcome.
///
/// # Errors
/// The first statement's error.
pub async fn run(session: &Session, text: &str) -> windlass::Result<Outcome> {
    let mut last = Outcome::Done { message: String::new() };
    for statement in session.statements(text)? {
        last = session.run(&statement, &RunOptions::default()).await?;
    }
    Ok(last)
}

/// The names and types of a frame's columns, `name:type`.
pub fn columns(frame: &DataFrame) -> Vec<String> {
    frame.schema().fields().iter().map(|f| format!("{}:{}", f.name(), f.data_type())).collect()
}
