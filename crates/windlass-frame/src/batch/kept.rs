//! Columns of tables in memory, kept on devices: a second query uploads nothing.
//!
//! ```text
//!   table in memory ── batch 0: a b c    cuda:0 │ a of batch 0 │ codes of c of batch 0 │
//!                   └─ batch 1: a b c    cuda:1 │ a of batch 1 │
//! ```
//!
//! A column is known by the array that the table holds. Its copy on a device goes when the table
//! does, or when the device's memory is asked for: what was not used for longest goes first, and
//! is uploaded again when it is needed. The rows themselves stay on the host.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use arrow::array::{Array, ArrayRef};
use parking_lot::Mutex;
use windlass_device::{Device, DeviceName, Reclaim};
use windlass_kernels::{
    DeviceColumn,
    dictionary::{DictionaryLimits, SharedDictionary},
};

use super::DictionarySet;
use crate::{
    lower::{DictionaryId, HostTables, InputPlan},
    nodes::metrics::column_bytes,
};

/// Rows under which a batch is not kept: `VALUES` and the like are gone after the query.
const LEAST_ROWS: usize = 1024;

/// The columns that are kept on the devices of a session.
#[derive(Debug, Default)]
pub(crate) struct KeptColumns {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    columns: HashMap<Key, Kept>,
    dictionaries: Vec<KeptDictionary>,
    /// Counts uses.
    clock: u64,
}

/// A column of a table on a device: the array, the dictionary that coded it, the device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    array: usize,
    dictionary: usize,
    device: DeviceName,
}

#[derive(Debug)]
struct Kept {
    /// While this is here no other array has its address.
    array: Weak<dyn Array>,
    /// Held so that no other dictionary has its address.
    _dictionary: Option<Arc<SharedDictionary>>,
    column: DeviceColumn,
    bytes: usize,
    used: u64,
}

/// The codes of a text column of a table, for queries with the same constants beside it.
#[derive(Debug)]
struct KeptDictionary {
    /// The column of the table's first batch.
    first: Weak<dyn Array>,
    constants: Vec<String>,
    dictionary: Arc<SharedDictionary>,
}

/// Whether the table that held an array is gone.
fn is_gone(array: &Weak<dyn Array>) -> bool {
    array.strong_count() == 0
}

fn is(kept: &Weak<dyn Array>, array: &ArrayRef) -> bool {
    std::ptr::addr_eq(kept.as_ptr(), Arc::as_ptr(array))
}

fn address(array: &ArrayRef) -> usize {
    Arc::as_ptr(array).cast::<()>() as usize
}

impl State {
    /// Drops what belongs to tables that are gone.
    fn sweep(&mut self) {
        self.columns.retain(|_, kept| !is_gone(&kept.array));
        self.dictionaries.retain(|kept| !is_gone(&kept.first));
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

impl KeptColumns {
    /// Whether the columns of a batch of so many rows are worth keeping.
    pub(crate) fn takes(rows: usize) -> bool {
        rows >= LEAST_ROWS
    }

    /// Frees what belongs to tables that are gone.
    pub(crate) fn sweep(&self) {
        self.state.lock().sweep();
    }

    /// Gives memory of this device back when it is asked for.
    pub(crate) fn serve(self: &Arc<Self>, device: &dyn Device) {
        let this: Weak<Self> = Arc::downgrade(self);
        device.pool().set_reclaim(this);
    }

    /// The dictionaries of a program over a table whose first batch has these columns: each text
    /// column keeps its codes from query to query.
    pub(crate) fn dictionaries(
        &self,
        plan: &InputPlan,
        tables: &Arc<HostTables>,
        first: &[ArrayRef],
    ) -> DictionarySet {
        let limits = DictionaryLimits::default();
        let mut shared = Vec::new();
        for column in &plan.columns {
            let (Some(id), Some(array)) = (column.dictionary, first.get(column.source)) else {
                continue;
            };
            if alone(id, plan, tables) {
                let constants = &tables.dictionaries[id.0 as usize].constants;
                shared.extend(self.dictionary(array, constants, limits).map(|d| (id, d)));
            }
        }
        DictionarySet::sharing(Arc::clone(tables), limits, shared)
    }

    fn dictionary(
        &self,
        first: &ArrayRef,
        constants: &[String],
        limits: DictionaryLimits,
    ) -> Option<Arc<SharedDictionary>> {
        let mut state = self.state.lock();
        state.sweep();
        let same = |kept: &&KeptDictionary| is(&kept.first, first) && kept.constants == *constants;
        if let Some(kept) = state.dictionaries.iter().find(same) {
            return Some(Arc::clone(&kept.dictionary));
        }
        let dictionary = Arc::new(SharedDictionary::new(constants, limits).ok()?);
        state.dictionaries.push(KeptDictionary {
            first: Arc::downgrade(first),
            constants: constants.to_vec(),
            dictionary: Arc::clone(&dictionary),
        });
        Some(dictionary)
    }

    /// Whether codes of a dictionary outlive the query.
    fn keeps(&self, dictionary: &Arc<SharedDictionary>) -> bool {
        let state = self.state.lock();
        state.dictionaries.iter().any(|kept| Arc::ptr_eq(&kept.dictionary, dictionary))
    }

    /// The copy of a column on a device, coded by a dictionary if it is a text.
    pub(crate) fn get(
        &self,
        array: &ArrayRef,
        dictionary: Option<&Arc<SharedDictionary>>,
        device: &DeviceName,
    ) -> Option<DeviceColumn> {
        let mut state = self.state.lock();
        let now = state.tick();
        let kept = state.columns.get_mut(&key(array, dictionary, device))?;
        kept.used = now;
        Some(kept.column.clone())
    }

    /// Keeps the copy of a column.
    pub(crate) fn put(
        &self,
        array: &ArrayRef,
        dictionary: Option<&Arc<SharedDictionary>>,
        device: &DeviceName,
        column: &DeviceColumn,
    ) {
        if dictionary.is_some_and(|d| !self.keeps(d)) {
            return;
        }
        let mut state = self.state.lock();
        state.sweep();
        let used = state.tick();
        let kept = Kept {
            array: Arc::downgrade(array),
            _dictionary: dictionary.cloned(),
            column: column.clone(),
            bytes: column_bytes(column),
            used,
        };
        state.columns.insert(key(array, dictionary, device), kept);
    }

    /// The device that keeps most bytes of these arrays.
    pub(crate) fn home(&self, arrays: &[&ArrayRef]) -> Option<DeviceName> {
        let state = self.state.lock();
        let mut held: HashMap<&DeviceName, usize> = HashMap::new();
        for (key, kept) in &state.columns {
            if arrays.iter().any(|a| is(&kept.array, a)) {
                *held.entry(&key.device).or_default() += kept.bytes;
            }
        }
        held.into_iter().max_by_key(|(_, bytes)| *bytes).map(|(device, _)| device.clone())
    }
}

/// Whether one column alone is coded by a dictionary, which is no other's.
fn alone(id: DictionaryId, plan: &InputPlan, tables: &HostTables) -> bool {
    let users = plan.columns.iter().filter(|c| c.dictionary == Some(id)).count();
    users == 1 && tables.same().all(|(a, b)| a != id && b != id)
}

fn key(array: &ArrayRef, dictionary: Option<&Arc<SharedDictionary>>, device: &DeviceName) -> Key {
    let dictionary = dictionary.map_or(0, |d| Arc::as_ptr(d) as usize);
    Key { array: address(array), dictionary, device: device.clone() }
}

impl Reclaim for KeptColumns {
    fn reclaim(&self, device: &DeviceName, bytes: usize) -> bool {
        // What goes is dropped without the lock.
        let mut going = Vec::new();
        {
            let mut state = self.state.lock();
            state.sweep();
            let mut here: Vec<(u64, Key)> = state
                .columns
                .iter()
                .filter(|(key, _)| key.device == *device)
                .map(|(key, kept)| (kept.used, key.clone()))
                .collect();
            here.sort_unstable_by_key(|(used, _)| *used);
            let mut freed = 0;
            for (_, key) in here {
                if freed >= bytes.max(1) {
                    break;
                }
                if let Some(kept) = state.columns.remove(&key) {
                    freed += kept.bytes;
                    going.push(kept);
                }
            }
        }
        !going.is_empty()
    }

    fn reclaimable(&self, device: &DeviceName) -> usize {
        let state = self.state.lock();
        let here = state.columns.iter().filter(|(key, _)| key.device == *device);
        here.map(|(_, kept)| kept.bytes).sum()
    }
}
