//! The first rows of all, and of each group, on a GPU.

use windlass_device::DeviceBuffer;

use super::{
    gpu::{Place, Sorter},
    keys::Layout,
    runs,
    sources::{GROUP_RANKS, GROUP_STARTS, PICK_FLAGS, PICK_ROWS, SELECT_COUNTS},
};
use crate::error::Result;

/// From this share of the rows on, all are sorted: selection reads the keys several times, as
/// a pass of the sort does. A guess.
const SORT_ALL_FROM: usize = 4;

/// So many candidates are sorted without narrowing them further: their sort is bound by its
/// launches, of which narrowing needs as many. A guess.
const FEW_CANDIDATES: usize = 1 << 14;

/// Digits that [`SELECT_COUNTS`] tells apart, as its text states.
const DIGITS: usize = 256;

/// Which items to pick by their packed words: `word >> shift` below `bound`, or equal to it.
#[derive(Debug, Clone, Copy)]
struct Pick {
    shift: u32,
    bound: u32,
    equal: bool,
}

/// Rows in question: all, or a list.
#[derive(Debug, Clone)]
struct Items {
    rows: Option<DeviceBuffer>,
    n: usize,
}

/// The smallest words of some items: a prefix that cuts them.
#[derive(Debug, Clone, Copy)]
struct Cut {
    shift: u32,
    prefix: u32,
    below: usize,
    equal: usize,
}

impl Sorter<'_, '_> {
    /// The first `k` rows.
    pub(super) fn top_k(mut self, k: usize) -> Result<(DeviceBuffer, usize)> {
        let n = self.keys.rows;
        let k = k.min(n);
        if k == 0 {
            return Ok((self.gpu.alloc_words(0, 1)?, 0));
        }
        let layout = self.layout()?;
        let (rows, m) = if k.saturating_mul(SORT_ALL_FROM) >= n || layout.bits == 0 {
            (self.row_numbers()?, n)
        } else {
            self.candidates(&layout, k)?
        };
        let sorted = self.sort_rows(&layout, rows, m)?;
        if m == k {
            return Ok((sorted, k));
        }
        let first = self.gpu.alloc_words(k, 1)?;
        self.gpu.queue.copy(&sorted, 0, &first, 0, k * 4)?;
        Ok((first, k))
    }

    /// Rows among which the first `k` are; rows with equal keys are in order.
    fn candidates(&mut self, layout: &Layout, k: usize) -> Result<(DeviceBuffer, usize)> {
        let mut items = Items { rows: None, n: self.keys.rows };
        let mut need = k;
        let mut found: Vec<(DeviceBuffer, usize)> = Vec::new();
        let words = self.gpu.alloc_words(items.n, 1)?;
        for t in (0..layout.words()).rev() {
            self.pack(layout, t, items.rows.as_ref(), items.n, Place::alone(&words))?;
            let bits = (layout.bits - t as u32 * 32).min(32);
            let cut = self.cut(&words, items.n, bits, need, k)?;
            let (shift, bound) = (cut.shift, cut.prefix);
            if cut.below > 0 {
                let pick = Pick { shift, bound, equal: false };
                found.push((self.pick(&words, &items, pick, cut.below)?, cut.below));
                need -= cut.below.min(need);
            }
            let rows = self.pick(&words, &items, Pick { shift, bound, equal: true }, cut.equal)?;
            if cut.shift > 0 || few(cut.equal, k) {
                found.push((rows, cut.equal));
                break;
            }
            if t == 0 {
                found.push((rows, need));
                break;
            }
            items = Items { rows: Some(rows), n: cut.equal };
        }
        let sum = found.iter().map(|(_, n)| n).sum();
        let all = self.gpu.alloc_words(sum, 1)?;
        let mut at = 0;
        for (rows, n) in found {
            self.gpu.queue.copy(&rows, 0, &all, at * 4, n * 4)?;
            at += n;
        }
        Ok((all, sum))
    }

    /// The prefix of the word that is number `need` among those of the items, as long as
    /// leaves few that share it; waits for the device.
    fn cut(
        &mut self,
        words: &DeviceBuffer,
        n: usize,
        bits: u32,
        need: usize,
        k: usize,
    ) -> Result<Cut> {
        let counts = self.gpu.alloc_words(DIGITS, 1)?;
        let mut cut = Cut { shift: bits.div_ceil(8) * 8, prefix: 0, below: 0, equal: n };
        let mut bound = 0;
        while cut.shift > 0 {
            cut.shift -= 8;
            self.gpu.queue.fill(&counts, 0)?;
            let params = [n as u32, cut.shift, bound, cut.prefix];
            self.gpu.launch_each(&SELECT_COUNTS, &[], n, &[words, &counts], &params)?;
            let counted = self.gpu.read_words(&counts, 0, DIGITS)?;
            let mut digit = 0;
            while digit + 1 < DIGITS && cut.below + (counted[digit] as usize) < need {
                cut.below += counted[digit] as usize;
                digit += 1;
            }
            cut.prefix = cut.prefix << 8 | digit as u32;
            cut.equal = counted[digit] as usize;
            bound = 1;
            if few(cut.below + cut.equal, k) {
                break;
            }
        }
        Ok(cut)
    }

    /// The `count` picked rows, in order.
    fn pick(
        &mut self,
        words: &DeviceBuffer,
        items: &Items,
        pick: Pick,
        count: usize,
    ) -> Result<DeviceBuffer> {
        let n = items.n;
        let flags = self.flags(words, n, pick)?;
        self.scan(&flags, n as u32, None)?;
        self.picked(words, &flags, items, pick, count)
    }

    fn flags(&mut self, words: &DeviceBuffer, n: usize, pick: Pick) -> Result<DeviceBuffer> {
        let flags = self.gpu.alloc_words(n + 1, 1)?;
        let params = [n as u32, pick.shift, pick.bound, u32::from(pick.equal)];
        self.gpu.launch_each(&PICK_FLAGS, &[], n, &[words, &flags], &params)?;
        Ok(flags)
    }

    fn picked(
        &mut self,
        words: &DeviceBuffer,
        places: &DeviceBuffer,
        items: &Items,
        pick: Pick,
        count: usize,
    ) -> Result<DeviceBuffer> {
        let out = self.gpu.alloc_words(count, 1)?;
        let (n, equal) = (items.n as u32, u32::from(pick.equal));
        let params = [n, pick.shift, pick.bound, equal, u32::from(items.rows.is_some()), 0];
        let buffers = [words, places, items.rows.as_ref().unwrap_or(words), &out];
        self.gpu.launch_each(&PICK_ROWS, &[], items.n, &buffers, &params)?;
        Ok(out)
    }

    /// The first `k` rows of each group of rows that are equal in the first `groups` keys.
    pub(super) fn top_k_per_group(
        mut self,
        groups: usize,
        k: usize,
    ) -> Result<(DeviceBuffer, usize)> {
        let n = self.keys.rows;
        if n == 0 || k == 0 {
            return Ok((self.gpu.alloc_words(0, 1)?, 0));
        }
        if groups == 0 {
            return self.top_k(k);
        }
        let layout = self.layout()?;
        let rows = self.row_numbers()?;
        let order = self.sort_rows(&layout, rows, n)?;
        let flags = runs::differences(&mut self, groups, Some(&order))?;
        let numbers = self.gpu.alloc_words(n, 1)?;
        self.gpu.queue.copy(&flags, 0, &numbers, 0, n * 4)?;
        self.scan(&numbers, n as u32, None)?;
        let starts = self.gpu.alloc_words(n, 1)?;
        let ranks = self.gpu.alloc_words(n, 1)?;
        let params = [n as u32];
        let buffers = [&flags, &numbers, &starts];
        self.gpu.launch_each(&GROUP_STARTS, &[], n, &buffers, &params)?;
        let buffers = [&flags, &numbers, &starts, &ranks];
        self.gpu.launch_each(&GROUP_RANKS, &[], n, &buffers, &params)?;

        let pick = Pick { shift: 0, bound: u32::try_from(k).unwrap_or(u32::MAX), equal: false };
        let places = self.flags(&ranks, n, pick)?;
        self.scan(&places, n as u32, Some(n as u32))?;
        let count = self.gpu.read_words(&places, n, 1)?[0] as usize;
        let items = Items { rows: Some(order), n };
        Ok((self.picked(&ranks, &places, &items, pick, count)?, count))
    }
}

fn few(candidates: usize, k: usize) -> bool {
    candidates <= FEW_CANDIDATES.max(k.saturating_mul(SORT_ALL_FROM))
}
