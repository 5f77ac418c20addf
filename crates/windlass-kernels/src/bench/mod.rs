//! Benches of the operations, one or more for each public one: how long it takes on a device,
//! the bytes that it cannot do without, and the same work by other means in the same run.
//!
//! A bench is named `family/operation/variant`. It declares the **floor** of its operation: the
//! bytes of its inputs, read once each, and of its results, written once each. Seconds over that
//! floor are a rate, and the rate over the device's own copy rate ([`Bencher::copy_rate`]) tells
//! how near the operation is to what memory allows. What an algorithm moves besides (a sort's
//! passes, a table) is its own affair and not in the floor.
//!
//! The first run is not timed; its result is compared with one that is computed on the host by
//! plain code, and a bench with a wrong result has no figures. Then our runs and those of the
//! references take turns, so that other work on the machine meets all of them alike.
//!
//! Both sides get their memory in the timed part, from one allocator, and free their results in
//! it. Where a reference goes through pieces of 65,536 rows side by side, so do the batches of
//! ours, or one call of ours shares the whole among the cores. A reference makes no more than its
//! own operation needs: the hash maps beside group-bys and joins are neither merged from several
//! threads nor brought into columns, which ours are.
//!
//! References run on the host, and only beside a device of class `Host`. One that uses one core
//! counts as if it used all of them without loss: its time is divided by their number. On a busy
//! machine processor time is the better figure; it is summed over all threads.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | [`list`], [`Bench`]; sizes for devices |
//! | `case` | a bench that is set up: what is timed, its check, its references |
//! | `measure` | [`Bencher`] and [`Measured`]: runs and what follows from them |
//! | `host` | data, and columns there and back |
//! | `scan`, `reduce`, `gather`, `hash`, `pipeline`, `aggregate`, `join`, `sort`, `string`, `tile`, `window` | the benches |
//! | `cliff` | group-bys and joins step by step, for plots |

use windlass_device::{DeviceClass, DeviceInfo};

use crate::error::Result;

mod aggregate;
mod case;
mod cliff;
mod gather;
mod hash;
mod host;
mod join;
mod measure;
mod pipeline;
mod reduce;
mod scan;
mod sort;
mod string;
mod tile;
mod window;

use case::Case;
use host::On;
pub use measure::{Bencher, Measured, MeasuredReference};

/// A place of a bench in a series that is plotted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What the series is of.
    pub series: &'static str,
    /// Which of its lines this is a point of.
    pub line: &'static str,
    /// The place: number of groups, or of build rows.
    pub at: u64,
}

/// Makes the data of a bench for so many rows.
type SetUp = Box<dyn Fn(&mut On, usize) -> Result<Case> + Send + Sync>;

/// A bench.
pub struct Bench {
    name: String,
    what: &'static str,
    step: Option<Step>,
    set_up: SetUp,
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bench({})", self.name)
    }
}

impl Bench {
    /// `what`: the operation and its floor, for people.
    fn new(
        name: impl Into<String>,
        what: &'static str,
        set_up: impl Fn(&mut On, usize) -> Result<Case> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), what, step: None, set_up: Box::new(set_up) }
    }

    fn at(self, step: Step) -> Self {
        Self { step: Some(step), ..self }
    }

    /// `family/operation/variant`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The operation and its floor.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// Its place in a plotted series. Such benches run only where they are asked for: there are
    /// many of them.
    pub fn step(&self) -> Option<Step> {
        self.step
    }
}

/// All benches, family by family, those of series last.
pub fn list() -> Vec<Bench> {
    let families = [
        scan::benches,
        reduce::benches,
        gather::benches,
        hash::benches,
        pipeline::benches,
        aggregate::benches,
        join::benches,
        sort::benches,
        string::benches,
        tile::benches,
        window::benches,
        cliff::benches,
    ];
    families.into_iter().flat_map(|f| f()).collect()
}

/// Rows that take a device a moment and are past its caches.
pub fn default_rows(info: &DeviceInfo) -> usize {
    /// Memory of a GPU that holds the inputs, the tables and the results of 10^8 rows.
    const LARGE: u64 = 16 << 30;
    match info.class {
        DeviceClass::Real if info.memory_bytes >= LARGE => 100_000_000,
        DeviceClass::Real | DeviceClass::Host => 10_000_000,
        DeviceClass::Software => 1_000_000,
        DeviceClass::Emulated => 20_000,
    }
}

/// Most rows that a device's benches are run with. The emulator runs each thread of a kernel as
/// a fiber: more rows take minutes a bench and tell nothing (a guess).
pub fn most_rows(info: &DeviceInfo) -> usize {
    match info.class {
        DeviceClass::Emulated => 200_000,
        _ => 1 << 30,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_name_their_family() {
        let all = list();
        let names: HashSet<&str> = all.iter().map(Bench::name).collect();
        assert_eq!(names.len(), all.len());
        for family in [
            "scan",
            "reduce",
            "gather",
            "hash",
            "partition",
            "filter",
            "group_by",
            "join",
            "sort",
            "string",
            "tile",
            "window",
        ] {
            assert!(names.iter().any(|n| n.split('/').next() == Some(family)), "{family}");
        }
        assert!(all.iter().all(|b| b.what().contains("floor")), "every bench states its floor");
    }
}
