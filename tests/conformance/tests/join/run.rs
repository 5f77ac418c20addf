//! Runs a join in every form, and compares with a map of the build rows.

use std::{collections::HashMap, sync::Arc};

use conformance::{HostColumn, Presented, host::extend};
use windlass_device::{Backend, Device, DeviceBuffer, Queue, Reservation};
use windlass_kernels::{
    DeviceBatch, DeviceColumn, PhysType,
    join::{JoinOptions, JoinPairs, JoinRows, JoinTable, Marks, Matches, NO_ROW},
};

/// A join of two sides by all of their columns.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) build: Vec<HostColumn>,
    pub(crate) probe: Vec<HostColumn>,
    pub(crate) build_how: Presented,
    pub(crate) probe_how: Presented,
    pub(crate) null_equals_null: bool,
    pub(crate) max_pairs: usize,
}

type Key = Vec<Option<u128>>;

/// The key of a row as its equality sees it; `None` where it matches nothing.
fn key(columns: &[HostColumn], row: usize, null_equals_null: bool) -> Option<Key> {
    let value = |c: &HostColumn| {
        c.values[row].map(|bits| match c.ty {
            PhysType::F32 => {
                let f = f32::from_bits(bits as u32);
                u128::from(if f.is_nan() { u32::MAX } else { (f + 0.0).to_bits() })
            }
            PhysType::F64 => {
                let f = f64::from_bits(bits as u64);
                u128::from(if f.is_nan() { u64::MAX } else { (f + 0.0).to_bits() })
            }
            _ => extend(c.ty, bits),
        })
    };
    let key: Key = columns.iter().map(value).collect();
    (null_equals_null || key.iter().all(Option::is_some)).then_some(key)
}

/// All pairs, by probe row and then by build row.
fn reference(case: &Case) -> Vec<(u32, u32)> {
    let nulls = case.null_equals_null;
    let mut map: HashMap<Key, Vec<u32>> = HashMap::new();
    for row in 0..case.build[0].rows() {
        if let Some(key) = key(&case.build, row, nulls) {
            map.entry(key).or_default().push(row as u32);
        }
    }
    let mut pairs = Vec::new();
    for row in 0..case.probe[0].rows() {
        let matches = key(&case.probe, row, nulls).and_then(|k| map.get(&k));
        pairs.extend(matches.into_iter().flatten().map(|b| (row as u32, *b)));
    }
    pairs
}

/// A device at work.
struct Run<'a> {
    device: &'a Arc<dyn Device>,
    queue: Box<dyn Queue>,
    reservation: Reservation,
    max_pairs: usize,
}

impl Run<'_> {
    fn batch(&mut self, columns: &[HostColumn], how: Presented) -> DeviceBatch {
        let upload = |c: &HostColumn| c.upload(&**self.device, &mut *self.queue, how);
        DeviceBatch { rows: columns[0].rows(), columns: columns.iter().map(upload).collect() }
    }

    fn words(&mut self, buffer: &DeviceBuffer, n: usize) -> Vec<u32> {
        let mut words = vec![0u32; n];
        if n > 0 {
            self.queue.download(buffer, 0, bytemuck::cast_slice_mut(&mut words)).unwrap();
        }
        words
    }

    fn upload(&mut self, words: &[u32]) -> DeviceBuffer {
        let b = self.device.alloc(&mut self.reservation, words.len().max(1) * 4).unwrap();
        self.queue.upload(&b, 0, bytemuck::cast_slice(words)).unwrap();
        b
    }

    /// The pairs of a probe; those of one row sorted, which only `cpu` gives in order.
    fn pairs(
        &mut self,
        table: &JoinTable,
        batch: &DeviceBatch,
        keys: &[usize],
        outer: bool,
    ) -> Vec<(u32, u32)> {
        let mut probe =
            table.probe(&mut *self.queue, &mut self.reservation, batch, keys, outer).unwrap();
        let mut all: Vec<(u32, u32)> = Vec::new();
        while let Some(p) = probe.next(&mut *self.queue, &mut self.reservation).unwrap() {
            assert!((1..=self.max_pairs).contains(&p.n), "a piece of {} pairs", p.n);
            let (a, b) = (self.words(&p.probe, p.n), self.words(&p.build, p.n));
            all.extend(a.into_iter().zip(b));
        }
        assert!(all.is_sorted_by_key(|p| p.0), "pairs come in the order of the probe rows");
        if self.device.info().backend != Backend::Cpu {
            all.sort_unstable();
        }
        all
    }

    fn rows(&mut self, rows: JoinRows) -> Vec<u32> {
        self.words(&rows.rows, rows.n)
    }

    fn flags(&mut self, matches: &Matches) -> Vec<bool> {
        let (device, rows) = (self.device, matches.len());
        let column: DeviceColumn =
            matches.column(&**device, &mut *self.queue, &mut self.reservation).unwrap();
        let read = HostColumn::download(&mut *self.queue, &column, rows);
        read.values.into_iter().map(|v| v == Some(1)).collect()
    }

    /// Checks a selection in all of its forms.
    fn check_matches(&mut self, matches: &Matches, want: &[bool], what: &str) {
        assert_eq!(self.flags(matches), want, "{what}");
        for matched in [true, false] {
            let (queue, r) = (&mut *self.queue, &mut self.reservation);
            let rows = matches.rows(&**self.device, queue, r, matched).unwrap();
            let rows = self.rows(rows);
            let expected: Vec<u32> =
                (0..want.len() as u32).filter(|i| want[*i as usize] == matched).collect();
            assert_eq!(rows, expected, "{what}, matched: {matched}");
        }
    }
}

/// Runs every form of the join on a device and compares.
pub(crate) fn check(device: &Arc<dyn Device>, case: &Case) {
    let before = device.pool().stats().in_use;
    let queue = device.queue().unwrap();
    let reservation = device.pool().reserve(0).unwrap();
    forms(Run { device, queue, reservation, max_pairs: case.max_pairs }, case);
    assert_eq!(device.pool().stats().in_use, before, "device memory is held");
}

fn forms(mut run: Run<'_>, case: &Case) {
    let want = reference(case);
    let build = run.batch(&case.build, case.build_how);
    let mut probe = run.batch(&case.probe, case.probe_how);
    // The probe's keys lie elsewhere in their batch than the build's.
    probe.columns.rotate_right(1);
    let build_keys: Vec<usize> = (0..build.columns.len()).collect();
    let probe_keys: Vec<usize> = build_keys.iter().map(|k| (k + 1) % build.columns.len()).collect();
    let mut options = JoinOptions {
        null_equals_null: case.null_equals_null,
        max_pairs: case.max_pairs,
        marks: Marks::Keys,
    };
    let table = |run: &mut Run<'_>, options| {
        let (queue, r) = (&mut *run.queue, &mut run.reservation);
        JoinTable::build(run.device, queue, r, &build, &build_keys, options).unwrap()
    };

    // Inner, and the build rows' marks that it sets.
    let keyed = table(&mut run, options);
    let got = run.pairs(&keyed, &probe, &probe_keys, false);
    assert!(got == want, "{} pairs, {} expected: {}", got.len(), want.len(), differ(&got, &want));
    let mut hit_probe = vec![false; probe.rows];
    let mut hit_build = vec![false; build.rows];
    for (p, b) in &want {
        hit_probe[*p as usize] = true;
        hit_build[*b as usize] = true;
    }
    let marks = keyed.build_marks(&mut *run.queue, &mut run.reservation).unwrap();
    run.check_matches(&marks, &hit_build, "build rows by key");
    let rows = keyed.unmatched_build(&mut *run.queue, &mut run.reservation).unwrap();
    let rows = run.rows(rows);
    assert_eq!(rows.len(), hit_build.iter().filter(|h| !**h).count());

    // Semi, anti and mark; they mark the build rows as well.
    let keyed = table(&mut run, options);
    let (queue, r) = (&mut *run.queue, &mut run.reservation);
    let matches = keyed.exists(queue, r, &probe, &probe_keys).unwrap();
    run.check_matches(&matches, &hit_probe, "probe rows");
    let rows = keyed.matched_build(&mut *run.queue, &mut run.reservation).unwrap();
    let rows = run.rows(rows);
    assert_eq!(rows.len(), hit_build.iter().filter(|h| **h).count());

    // Left, without marks.
    options.marks = Marks::None;
    let plain = table(&mut run, options);
    let mut outer = want.clone();
    let unmatched = (0..probe.rows as u32).filter(|p| !hit_probe[*p as usize]);
    outer.extend(unmatched.map(|p| (p, NO_ROW)));
    outer.sort_unstable();
    let got = run.pairs(&plain, &probe, &probe_keys, true);
    assert!(got == outer, "outer: {}", differ(&got, &outer));

    // Full, with a residual predicate that the caller applies to the pairs.
    options.marks = Marks::Pairs;
    let paired = table(&mut run, options);
    let survives = |p: &&(u32, u32)| (p.0 + p.1).is_multiple_of(3);
    let kept: Vec<(u32, u32)> = want.iter().filter(survives).copied().collect();
    let (device, rows) = (run.device, probe.rows);
    let alive = Matches::none(&**device, &mut *run.queue, &mut run.reservation, rows).unwrap();
    let (mut alive_probe, mut alive_build) = (vec![false; rows], vec![false; build.rows]);
    for part in kept.chunks(5000) {
        let (mut a, mut b): (Vec<u32>, Vec<u32>) = part.iter().copied().unzip();
        a.iter().for_each(|p| alive_probe[*p as usize] = true);
        b.iter().for_each(|b| alive_build[*b as usize] = true);
        // A pair of an outer join without a build row marks none, nor do rows past the ends.
        a.extend([a[0], rows as u32, a[0]]);
        b.extend([NO_ROW, b[0], build.rows as u32]);
        let pairs = JoinPairs { probe: run.upload(&a), build: run.upload(&b), n: a.len() };
        let (queue, r) = (&mut *run.queue, &mut run.reservation);
        alive.add(&**device, queue, r, &pairs.probe, pairs.n).unwrap();
        paired.mark_matched(queue, r, &pairs).unwrap();
        assert!(alive.add(&**device, queue, r, &pairs.probe, pairs.n + 5).is_err());
    }
    run.check_matches(&alive, &alive_probe, "probe rows of surviving pairs");
    let marks = paired.build_marks(&mut *run.queue, &mut run.reservation).unwrap();
    run.check_matches(&marks, &alive_build, "build rows of surviving pairs");
}

/// The first place where two lists differ.
fn differ(got: &[(u32, u32)], want: &[(u32, u32)]) -> String {
    let at = got.iter().zip(want).position(|(a, b)| a != b).unwrap_or(got.len().min(want.len()));
    format!("at {at} {:?} instead of {:?}", got.get(at), want.get(at))
}
