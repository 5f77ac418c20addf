//! What was decided about an operator, with the figures behind it.

use serde::Serialize;

/// The estimated cost of an operator on one device, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The device; `cpu` without a twin is DataFusion's own operator.
    pub device: String,
    /// All of it.
    pub total_ms: f64,
    /// Copies to and from the device.
    pub transfer_ms: f64,
    /// Work on the device (or in DataFusion's operator).
    pub compute_ms: f64,
    /// Launches and waits.
    pub launch_ms: f64,
}

/// What was decided about one operator of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decision {
    /// Position in the plan before placement, counted from the root, depth first.
    pub id: usize,
    /// Depth in the plan before placement.
    pub depth: usize,
    /// The operator as EXPLAIN prints it.
    pub operator: String,
    /// Where it runs: a device's name, or `cpu` for DataFusion's operator.
    pub device: String,
    /// Whether a device node took its place (also on `cpu`, by a twin).
    pub placed: bool,
    /// Estimated input rows; `None` where the statistics do not tell.
    pub rows: Option<u64>,
    /// One estimate for each device considered.
    pub estimates: Vec<Estimate>,
    /// Why.
    pub reason: String,
}
