//! Unions of rows on a device.

use datafusion::error::{DataFusionError, Result};

use super::resident::{Batches, Inputs, Kind, Worker};

/// The partitions of all inputs, one input after the other.
///
/// ```text
///   input 0: partition 0 ─► 0
///            partition 1 ─► 1
///   input 1: partition 0 ─► 2
/// ```
///
/// The inputs' columns have equal types, and their texts the same codes. Nothing is copied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Union {
    /// Number of inputs.
    pub(crate) inputs: usize,
}

impl Kind for Union {
    fn name(&self) -> &'static str {
        "DeviceUnionExec"
    }

    fn rows(&self, inputs: Inputs, _worker: Worker, partition: usize) -> Result<Batches> {
        let counts = (0..self.inputs).map(|side| inputs.partitions(side));
        let (side, partition) = owner(counts, partition).ok_or_else(|| {
            DataFusionError::Internal(format!("a union has no partition {partition}"))
        })?;
        inputs.batches(side, partition)
    }

    fn fresh(&self) -> Box<dyn Kind> {
        Box::new(*self)
    }
}

/// The input that has a partition of the union, and its number there; `counts`: partitions of
/// the inputs.
fn owner(counts: impl Iterator<Item = usize>, partition: usize) -> Option<(usize, usize)> {
    let mut left = partition;
    for (side, count) in counts.enumerate() {
        if left < count {
            return Some((side, left));
        }
        left -= count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_of_each_input_is_there_once() {
        let counts = [2, 0, 1, 3];
        let all: Vec<_> = (0..7).map(|p| owner(counts.into_iter(), p)).collect();
        let expected = [(0, 0), (0, 1), (2, 0), (3, 0), (3, 1), (3, 2)];
        assert_eq!(all[..6], expected.map(Some));
        assert_eq!(all[6], None);
    }
}
