//! Results that outlive their graph and still count: memory that is held of an executor's
//! limit, and values that wait on disk where the limit leaves no room.

use std::{fmt, sync::Arc};

use super::{Executor, Shared, spill::SpillFile};
use crate::{
    graph::{DeviceKind, Value},
    schedule::{Cause, RunError},
};

/// Values are kept in memory while no more than one part in so many of the limit is used; the
/// rest is left to tasks (a stated guess).
const KEPT: u64 = 2;

/// What keeps values within an executor's limit of memory. Clones are of the same executor.
#[derive(Clone)]
pub struct Keeper {
    shared: Arc<Shared>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("limit", &self.limit()).finish_non_exhaustive()
    }
}

/// Bytes of an executor's memory that its tasks do not have, until it is dropped.
pub struct Held {
    shared: Arc<Shared>,
    device: usize,
    bytes: u64,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        let device = &mut state.scheduler.devices[self.device];
        device.used = device.used.saturating_sub(self.bytes);
        self.shared.wake_all(&mut state);
    }
}

/// A value that is kept: in memory, which is held, or on disk.
#[derive(Debug)]
pub struct Kept {
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Value, #[allow(dead_code, reason = "it is there to be dropped")] Held),
    /// The folder goes when the last of its executor's handles does.
    Disk(SpillFile, #[allow(dead_code, reason = "it is there to be dropped")] Keeper),
}

impl Kept {
    /// The value, read back if it is on disk.
    ///
    /// # Errors
    /// If it cannot be read back.
    pub fn value(&self) -> Result<Value, RunError> {
        match &self.place {
            Place::Memory(value, _) => Ok(value.clone()),
            Place::Disk(file, _) => {
                file.read().map_err(|e| RunError::of_task("kept".into(), Cause::Spill(e)))
            }
        }
    }

    /// Whether it is on disk.
    pub fn on_disk(&self) -> bool {
        matches!(self.place, Place::Disk(..))
    }
}

impl Keeper {
    pub(super) fn of(executor: &Executor) -> Self {
        Self { shared: Arc::clone(&executor.shared) }
    }

    /// The device whose memory values take.
    fn device(&self) -> usize {
        let state = self.shared.state.lock();
        let mut devices = state.scheduler.devices.iter();
        devices.position(|d| d.profile.kind == DeviceKind::Cpu).unwrap_or(0)
    }

    /// Bytes that results and running tasks may take, if there is a limit.
    pub fn limit(&self) -> Option<u64> {
        let device = self.device();
        self.shared.state.lock().scheduler.devices[device].profile.memory
    }

    /// Holds bytes of that memory, even beyond the limit: tasks wait, or results are written
    /// to disk, until there is room for both.
    #[must_use = "what is dropped is not held"]
    pub fn hold(&self, bytes: u64) -> Held {
        let device = self.device();
        self.shared.state.lock().scheduler.devices[device].hold(bytes);
        Held { shared: Arc::clone(&self.shared), device, bytes }
    }

    /// Keeps a value: in memory while there is room, else on disk if it can be written. May be
    /// called by tasks.
    ///
    /// # Errors
    /// If it cannot be written to disk.
    pub fn keep(&self, value: Value) -> Result<Kept, RunError> {
        let device = self.device();
        let bytes = value.bytes();
        let full = {
            let state = self.shared.state.lock();
            let d = &state.scheduler.devices[device];
            // What the running tasks hold comes back.
            let used = d.used - d.reserved.min(d.used);
            d.profile.memory.is_some_and(|limit| used.saturating_add(bytes) > limit / KEPT)
        };
        if let (true, Some(folder), true) = (full, &self.shared.spill, value.codec().is_some()) {
            let written = folder.write(&value);
            let file = written.map_err(|e| RunError::of_task("keep".into(), Cause::Spill(e)))?;
            return Ok(Kept { place: Place::Disk(file, self.clone()) });
        }
        let held = self.hold(bytes);
        Ok(Kept { place: Place::Memory(value, held) })
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{execute::ExecutorOptions, graph::Spill};

    struct Bytes(Vec<u8>);

    impl Spill for Bytes {
        fn bytes(&self) -> u64 {
            self.0.len() as u64
        }

        fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
            to.write_all(&self.0)
        }

        fn read(from: &mut dyn io::Read) -> io::Result<Self> {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes)?;
            Ok(Self(bytes))
        }
    }

    #[test]
    fn what_has_no_room_is_kept_on_disk() -> io::Result<()> {
        let executor = Executor::new(ExecutorOptions::default().threads(1).memory(1000))?;
        let keeper = Keeper::of(&executor);
        let keep =
            |b: u8| keeper.keep(Value::spillable(Bytes(vec![b; 200]))).map_err(io::Error::other);
        let (a, b, c) = (keep(1)?, keep(2)?, keep(3)?);
        assert_eq!([a.on_disk(), b.on_disk(), c.on_disk()], [false, false, true]);
        drop(executor);
        let value = c.value().map_err(io::Error::other)?;
        assert!(value.downcast_ref::<Bytes>().is_some_and(|v| v.0 == [3; 200]));
        drop(a);
        assert!(!keep(4)?.on_disk());
        Ok(())
    }
}
