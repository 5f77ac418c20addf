//! The bounds of frames, and how many values are in them.

use std::ops::Range;

use windlass_device::{Device, DeviceBuffer, Reservation};

use super::{bounds, search::near};
use crate::{
    column::DeviceColumn,
    cpu::{
        memory::adopt,
        pieces::{Group, PIECE, groups, paired_groups},
        tasks,
        view::{Bits, aligned_words},
    },
    error::Result,
    window::{Bound, Frame, Frames},
};

/// The first row of each frame, and the first row after it.
pub(crate) fn frames(
    device: &dyn Device,
    reservation: &mut Reservation,
    (starts, peers): (&DeviceBuffer, &DeviceBuffer),
    rows: usize,
    frame: Frame,
) -> Result<(DeviceBuffer, DeviceBuffer)> {
    let starts = aligned_words(starts, rows)?;
    let parts = Runs::new(&starts);
    let by_peers = frame.start == Bound::Peers || frame.end == Bound::Peers;
    let peers = match by_peers {
        true => Some(aligned_words(peers, rows)?),
        false => None,
    };
    let peers = peers.as_ref().map(|p| Runs::new(p));
    let (low, high) = paired_groups(rows, PIECE, |start, low, high| {
        let end = start + low.len();
        let edges = peers.as_ref().map(|p| p.edges(start..end));
        let mut at = start;
        while at < end {
            let part = parts.around(at);
            let last = part.end.min(end);
            let rows = at as u32..last as u32;
            match &edges {
                None => fill(frame, rows.map(|row| (row, 0, 0)), part, low, high),
                Some((first, after)) => {
                    let here = at - start..last - start;
                    let peers = first[here.clone()].iter().zip(&after[here]);
                    let rows = rows.zip(peers).map(|(row, (first, after))| (row, *first, *after));
                    fill(frame, rows, part, low, high);
                }
            }
            at = last;
        }
    });
    Ok((adopt(device, reservation, low)?, adopt(device, reservation, high)?))
}

/// Writes the frames of rows of one partition: each with its number, and the first and the first
/// after its run of peers.
fn fill(
    frame: Frame,
    rows: impl Iterator<Item = (u32, u32, u32)> + Clone,
    part: Range<usize>,
    low: &mut Group<'_, u32>,
    high: &mut Group<'_, u32>,
) {
    let (first, after) = (part.start as u32, part.end as u32);
    // Where a frame starts, before which it does not end; each arm is a loop of its own.
    macro_rules! ends {
        ($start:expr) => {{
            let start = $start;
            low.extend(rows.clone().map(start));
            match frame.end {
                Bound::Partition => high.extend(rows.map(|r| after.max(start(r)))),
                Bound::Peers => high.extend(rows.map(|r| r.2.max(start(r)))),
                Bound::Before(n) => {
                    high.extend(rows.map(|r| (r.0 + 1).saturating_sub(n).max(first).max(start(r))));
                }
                Bound::After(n) => {
                    high.extend(rows.map(|r| (r.0 + 1).saturating_add(n).min(after).max(start(r))));
                }
            }
        }};
    }
    match frame.start {
        Bound::Partition => ends!(|_: (u32, u32, u32)| first),
        Bound::Peers => ends!(|r: (u32, u32, u32)| r.1),
        Bound::Before(n) => ends!(|r: (u32, u32, u32)| r.0.saturating_sub(n).max(first)),
        Bound::After(n) => ends!(|r: (u32, u32, u32)| r.0.saturating_add(n).min(after)),
    }
}

/// The number of each row's first peer in its partition, counted from 1.
pub(crate) fn rank(
    device: &dyn Device,
    reservation: &mut Reservation,
    (starts, peers): (&DeviceBuffer, &DeviceBuffer),
    rows: usize,
) -> Result<DeviceBuffer> {
    let (starts, peers) = (aligned_words(starts, rows)?, aligned_words(peers, rows)?);
    let (parts, runs) = (Runs::new(&starts), Runs::new(&peers));
    let ranks = groups(rows, PIECE, |start, out| {
        let rows = start..start + out.len();
        let mut part = parts.around(start).start;
        let mut first = runs.around(start).start.max(part);
        let words = starts[rows.clone()].iter().zip(&peers[rows.clone()]);
        out.extend(rows.zip(words).map(|(row, (new, run))| {
            part = if *new != 0 { row } else { part };
            first = if new | run != 0 { row } else { first };
            (first - part) as u32 + 1
        }));
    });
    adopt(device, reservation, ranks)
}

/// Runs of rows, by words that are not 0 where one starts; the first row starts one in any case.
struct Runs<'a> {
    starts: &'a [u32],
    /// The last start before each piece, and the first from its end on.
    before: Vec<usize>,
    behind: Vec<usize>,
}

impl<'a> Runs<'a> {
    fn new(starts: &'a [u32]) -> Self {
        let piece = |words: &[u32]| {
            let first = words.iter().position(|w| *w != 0);
            (first, words.iter().rposition(|w| *w != 0))
        };
        let pieces = tasks::map_of(starts.chunks(PIECE), |_, words| piece(words));
        let (mut before, mut behind) = (vec![0; pieces.len()], vec![starts.len(); pieces.len()]);
        for p in 1..pieces.len() {
            before[p] = pieces[p - 1].1.map_or(before[p - 1], |at| (p - 1) * PIECE + at);
        }
        for p in (1..pieces.len()).rev() {
            behind[p - 1] = pieces[p].0.map_or(behind[p], |at| p * PIECE + at);
        }
        Self { starts, before, behind }
    }

    /// The run that row `at` belongs to. The time grows with the rows of it that are in the
    /// piece of `at`.
    fn around(&self, at: usize) -> Range<usize> {
        /// Words that are looked at together, so that the compiler makes vector code of it.
        const LANES: usize = 16;
        let piece = at / PIECE;
        let (first, end) = (piece * PIECE, ((piece + 1) * PIECE).min(self.starts.len()));
        let start = self.starts[first..=at].iter().rposition(|w| *w != 0);
        let rest = &self.starts[at + 1..end];
        let none = |words: &[u32; LANES]| words.iter().fold(0, |any, w| any | w) == 0;
        let skipped = rest.as_chunks::<LANES>().0.iter().take_while(|w| none(w)).count() * LANES;
        let next = rest[skipped..].iter().position(|w| *w != 0).map(|n| at + 1 + skipped + n);
        start.map_or(self.before[piece], |s| first + s)..next.unwrap_or(self.behind[piece])
    }

    /// The first row of the run of each of these rows, which are of one piece, and the first
    /// after it.
    fn edges(&self, rows: Range<usize>) -> (Vec<u32>, Vec<u32>) {
        if rows.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let starts = &self.starts[rows.clone()];
        let mut at = self.around(rows.start).start as u32;
        let first = starts.iter().zip(rows.start as u32..).map(|(start, row)| {
            at = if *start != 0 { row } else { at };
            at
        });
        let first = first.collect();
        let mut at = self.around(rows.end - 1).end as u32;
        let mut after = vec![0; rows.len()];
        for ((start, row), after) in
            starts.iter().zip(rows.start as u32..rows.end as u32).zip(&mut after).rev()
        {
            *after = at;
            at = if *start != 0 { row } else { at };
        }
        (first, after)
    }
}

/// How many of a bitmap's first bits are 1.
pub(super) struct Counts {
    words: Vec<Word>,
}

/// 64 rows of a bitmap, in whatever layout that is; next to each other in memory, so that a count
/// reads one cache line.
#[derive(Clone, Copy)]
struct Word {
    bits: u64,
    /// Ones in the words before.
    before: u32,
}

impl Counts {
    /// Of fewer than 2^31 rows.
    pub(super) fn new(bits: Bits<'_>, rows: usize) -> Self {
        let mut before = 0;
        let mut words = Vec::with_capacity(rows / 64 + 1);
        for row in (0..=rows).step_by(64) {
            let bits = bits.word(row, rows);
            words.push(Word { bits, before });
            before += bits.count_ones();
        }
        Self { words }
    }

    /// Ones in the rows before this one.
    #[inline(always)]
    pub(super) fn before(&self, row: u32) -> u32 {
        let word = &self.words[row as usize / 64];
        word.before + (word.bits & ((1 << (row % 64)) - 1)).count_ones()
    }

    /// The last row of a frame that has a 1, `u32::MAX` where none has.
    #[inline(always)]
    pub(super) fn last(&self, low: u32, high: u32) -> u32 {
        if low >= high {
            return u32::MAX;
        }
        let row = high - 1;
        let ones = self.words[row as usize / 64].bits & (u64::MAX >> (63 - row % 64));
        if ones == 0 {
            return self.nth_last(low, high, 0);
        }
        let found = row / 64 * 64 + ones.ilog2();
        if found >= low { found } else { u32::MAX }
    }

    /// The first row of a frame that has a 1, `u32::MAX` where none has.
    #[inline(always)]
    pub(super) fn first(&self, low: u32, high: u32) -> u32 {
        if low >= high {
            return u32::MAX;
        }
        let ones = self.words[low as usize / 64].bits >> (low % 64);
        if ones == 0 {
            return self.nth(low, high, 0);
        }
        let found = low + ones.trailing_zeros();
        if found < high { found } else { u32::MAX }
    }

    /// The row of a frame that has a 1 and `k` such rows of the frame before it, `u32::MAX`
    /// where there is none.
    pub(super) fn nth(&self, low: u32, high: u32, k: u32) -> u32 {
        let (before, until) = (self.before(low), self.before(high));
        match until.checked_sub(before) {
            Some(ones) if k < ones => self.select(low, high, before + k, low),
            _ => u32::MAX,
        }
    }

    /// As [`Counts::nth`], with `k` such rows behind it.
    pub(super) fn nth_last(&self, low: u32, high: u32, k: u32) -> u32 {
        let (before, until) = (self.before(low), self.before(high));
        match until.checked_sub(before) {
            Some(ones) if k < ones => self.select(low, high, until - 1 - k, high),
            _ => u32::MAX,
        }
    }

    /// The row of a frame that has a 1 and as many rows with one before it, of all rows; it is
    /// looked for from row `guess` on.
    fn select(&self, low: u32, high: u32, ones: u32, guess: u32) -> u32 {
        let words = low as usize / 64..high as usize / 64 + 1;
        // The first word that has more before it comes after the row's.
        let after = near(words, guess as usize / 64 + 1, |w| self.words[w].before <= ones);
        let at = after - 1;
        let word = self.words[at];
        at as u32 * 64 + nth_one(word.bits, ones - word.before)
    }

    /// Writes how many ones there are between these rows.
    #[inline(always)]
    fn write(&self, (low, high): (&[u32], &[u32]), out: &mut Group<'_, u32>) {
        let frames = low.iter().zip(high);
        out.extend(frames.map(|(low, high)| self.before(*high) - self.before(*low)));
    }

    /// [`Counts::write`], compiled for processors that count bits.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "popcnt")]
    fn write_popcnt(&self, frames: (&[u32], &[u32]), out: &mut Group<'_, u32>) {
        self.write(frames, out);
    }
}

/// The place of the bit of a word that is 1 and has `n` such below it: half by half, by how many
/// are in the lower one.
fn nth_one(mut bits: u64, mut n: u32) -> u32 {
    let mut place = 0;
    for half in [32, 16, 8, 4, 2, 1] {
        let lower = (bits & ((1 << half) - 1)).count_ones();
        let skip = if n >= lower { half } else { 0 };
        n -= if n >= lower { lower } else { 0 };
        bits >>= skip;
        place += skip;
    }
    place
}

/// How many rows of each frame are not null in a checked column.
pub(crate) fn count(
    device: &dyn Device,
    reservation: &mut Reservation,
    c: &DeviceColumn,
    frames: &Frames,
) -> Result<DeviceBuffer> {
    let [low, high] = bounds(frames)?;
    let n = frames.rows();
    let valid = Bits::validity(c)?;
    let counts = (!matches!(valid, Bits::Ones)).then(|| Counts::new(valid, n));
    let counts = groups(n, PIECE, |start, out| {
        let rows = start..start + out.len();
        let frames = (&low[rows.clone()], &high[rows]);
        let Some(counts) = &counts else {
            return out.extend(frames.0.iter().zip(frames.1).map(|(low, high)| high - low));
        };
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("popcnt") {
            // SAFETY: the processor has the instruction.
            return unsafe { counts.write_popcnt(frames, out) };
        }
        counts.write(frames, out);
    });
    adopt(device, reservation, counts)
}

#[cfg(test)]
mod tests {
    use windlass_device::{DeviceOptions, cpu::CpuDevice};

    use super::*;
    use crate::{PhysType, Storage, Validity, cpu::view::words_of, window};

    /// The frame of a row by the definition: `starts` are of partitions, `peers` of peers.
    fn plain(starts: &[u32], peers: &[u32], row: usize, frame: Frame) -> (u32, u32) {
        let run = |starts: &[u32]| {
            let first = (0..=row).rev().find(|r| starts[*r] != 0).unwrap_or(0);
            let after = (row + 1..starts.len()).find(|r| starts[*r] != 0);
            (first, after.unwrap_or(starts.len()))
        };
        let ((first, after), peer) = (run(starts), run(peers));
        let clamp = |row: usize| row.clamp(first, after);
        let low = match frame.start {
            Bound::Partition => first,
            Bound::Peers => peer.0,
            Bound::Before(n) => clamp(row.saturating_sub(n as usize)),
            Bound::After(n) => clamp(row + n as usize),
        };
        let high = match frame.end {
            Bound::Partition => after,
            Bound::Peers => peer.1,
            Bound::Before(n) => clamp((row + 1).saturating_sub(n as usize)),
            Bound::After(n) => clamp(row + 1 + n as usize),
        };
        (low as u32, high.max(low) as u32)
    }

    #[test]
    fn runs_go_on_over_pieces() {
        let device = CpuDevice::new(&DeviceOptions::default());
        let n = 2 * PIECE + 100;
        let mut state = 5u64;
        let mut chance = |of: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u32::from((state >> 33).is_multiple_of(of))
        };
        // Partitions of all lengths, of which one is longer than a piece.
        let starts: Vec<u32> = (0..n)
            .map(|row| if (PIECE / 2..2 * PIECE - 2).contains(&row) { 0 } else { chance(9) })
            .collect();
        let peers: Vec<u32> = starts.iter().map(|s| *s | chance(5)).collect();
        let mut r = device.pool().reserve(0).unwrap();
        let words = [&starts, &peers].map(|w| adopt(&device, &mut r, w.clone()).unwrap());
        let bounds =
            [Bound::Partition, Bound::Peers, Bound::Before(0), Bound::Before(3), Bound::After(2)];
        for start in bounds {
            for end in bounds {
                let frame = Frame { start, end };
                let (low, high) =
                    frames(&device, &mut r, (&words[0], &words[1]), n, frame).unwrap();
                let (low, high) = (words_of(&low).unwrap(), words_of(&high).unwrap());
                // The definition looks for a row's run from the row on: a sample is enough.
                for row in (0..n).step_by(997).chain(PIECE - 2..PIECE + 2).chain(n - 40..n) {
                    let got = (u32::from_le_bytes(low[row]), u32::from_le_bytes(high[row]));
                    assert_eq!(got, plain(&starts, &peers, row, frame), "{frame:?} {row}");
                }
            }
        }
    }

    #[test]
    fn values_of_frames_are_counted() {
        let device = CpuDevice::new(&DeviceOptions::default());
        let n = PIECE + 700;
        let bytes: Vec<u8> =
            (0..n / 8 + 2).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let valid: Vec<bool> = (3..n + 3).map(|bit| bytes[bit / 8] >> (bit % 8) & 1 == 1).collect();
        let mut r = device.pool().reserve(0).unwrap();
        let starts: Vec<u32> = (0..n).map(|row| u32::from(row.is_multiple_of(1000))).collect();
        let starts = adopt(&device, &mut r, starts).unwrap();
        let frame = Frame { start: Bound::Before(200), end: Bound::After(70) };
        let mut queue = device.queue().unwrap();
        let frames =
            window::frames(&device, &mut *queue, &mut r, (&starts, &starts), n, frame).unwrap();
        let column = DeviceColumn {
            ty: PhysType::U8,
            storage: Storage::Packed,
            values: adopt(&device, &mut r, vec![0u8; n]).unwrap(),
            bit_offset: 0,
            validity: Validity::Bits {
                bits: adopt(&device, &mut r, bytes).unwrap(),
                bit_offset: 3,
            },
        };
        let counts = count(&device, &mut r, &column, &frames).unwrap();
        for (row, count) in words_of(&counts).unwrap().iter().enumerate() {
            let first = row / 1000 * 1000;
            let rows = first.max(row.saturating_sub(200))..n.min(first + 1000).min(row + 71);
            let want = valid[rows].iter().filter(|v| **v).count();
            assert_eq!(u32::from_le_bytes(*count) as usize, want, "row {row}");
        }
        // What processors without the instruction run gives the same.
        let bits = Bits::validity(&column).unwrap();
        let ones = Counts::new(bits, n);
        let [low, high] = bounds(&frames).unwrap();
        let plain = groups(n, n, |_, out| ones.write((&low[..], &high[..]), out));
        assert!(plain == *aligned_words(&counts, n).unwrap());
    }

    #[test]
    fn ones_are_counted_up_to_any_row() {
        let bytes: Vec<u8> = (0..60u8).map(|i| i.wrapping_mul(61) ^ 0x2b).collect();
        for (offset, rows) in [(0, 0), (0, 64), (3, 100), (7, 128), (5, 400)] {
            let bits = Bits::Packed { bytes: &bytes, offset };
            let counts = Counts::new(bits, rows);
            for row in 0..=rows {
                let want = (0..row).filter(|r| bits.get(*r) == Some(true)).count();
                assert_eq!(counts.before(row as u32) as usize, want, "{offset} {rows} {row}");
            }
        }
    }

    #[test]
    fn rows_with_a_one_are_found_from_both_ends_of_a_frame() {
        let mixed: Vec<u8> = (0..60u8).map(|i| i.wrapping_mul(61) ^ 0x2b).collect();
        // Words without a one, at whose ends a frame's row is words away.
        let sparse: Vec<u8> = (0..60).map(|i| if i % 19 == 3 { 0x20 } else { 0 }).collect();
        for bytes in [mixed, sparse, vec![0; 60], vec![0xff; 60]] {
            for (offset, rows) in [(0, 0), (3, 100), (7, 128), (5, 400)] {
                let bits = Bits::Packed { bytes: &bytes, offset };
                let counts = Counts::new(bits, rows);
                for low in (0..=rows).step_by(7) {
                    for high in (low..=rows).step_by(5).chain([rows]) {
                        let ones: Vec<u32> = (low as u32..high as u32)
                            .filter(|r| bits.get(*r as usize) == Some(true))
                            .collect();
                        let none = u32::MAX;
                        let (low, high) = (low as u32, high as u32);
                        assert_eq!(counts.first(low, high), *ones.first().unwrap_or(&none));
                        assert_eq!(counts.last(low, high), *ones.last().unwrap_or(&none));
                        for k in [0, 1, 2, 30, 70, 399] {
                            let first = ones.get(k).copied().unwrap_or(none);
                            let last = ones.iter().rev().nth(k).copied().unwrap_or(none);
                            let k = k as u32;
                            assert_eq!(counts.nth(low, high, k), first, "{low} {high} {k}");
                            assert_eq!(counts.nth_last(low, high, k), last, "{low} {high} {k}");
                        }
                    }
                }
            }
        }
    }
}
