//! Group numbers of keys whose equals are neighbours, as sorted input has them: a key is compared
//! with the one before it, the first of a chunk with the last group's.

use super::table::Table;

impl Table {
    /// Numbers the groups of a chunk's packed keys, one for each of `gids`, and finds the rows
    /// where runs begin, with the end behind them. Without branches for keys of one word: runs
    /// may be short.
    pub(super) fn number_runs(&mut self, packed: &[u64], gids: &mut [u32], starts: &mut Vec<u32>) {
        let (n, w) = (gids.len(), self.words);
        starts.clear();
        starts.push(0);
        if n == 0 {
            return;
        }
        let last = self.keys.len().checked_sub(w).map(|at| &self.keys[at..]);
        if last != Some(&packed[..w]) {
            self.keys.extend_from_slice(&packed[..w]);
            self.groups += 1;
        }
        gids[0] = self.groups as u32 - 1;
        match w {
            1 => self.one_word(&packed[..n], gids, starts),
            _ => {
                for row in 1..n {
                    let (before, key) = packed[(row - 1) * w..][..2 * w].split_at(w);
                    if before != key {
                        self.keys.extend_from_slice(key);
                        self.groups += 1;
                        starts.push(row as u32);
                    }
                    gids[row] = self.groups as u32 - 1;
                }
            }
        }
        starts.push(n as u32);
    }

    /// The rows from the second on.
    fn one_word(&mut self, packed: &[u64], gids: &mut [u32], starts: &mut Vec<u32>) {
        let (n, before) = (packed.len(), self.groups);
        starts.resize(n, 0);
        self.keys.resize(before + n - 1, 0);
        let (keys, first) = (&mut self.keys[before..], &mut starts[1..]);
        let mut new = 0;
        let neighbours = packed.array_windows().zip(&mut gids[1..]).zip(1u32..);
        for (([other, key], gid), row) in neighbours {
            keys[new] = *key;
            first[new] = row;
            new += usize::from(key != other);
            *gid = (before + new) as u32 - 1;
        }
        self.groups += new;
        self.keys.truncate(self.groups);
        starts.truncate(new + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of runs of `length` rows, looked up in chunks of `chunk`.
    fn check(words: usize, length: usize, chunk: usize, rows: usize) {
        let mut table = Table::of_runs(words, Vec::new());
        // A key comes again after others, as one that is not sorted does: a group of its own.
        let key = |row: usize, word: usize| (row / length % 5 + word * 7) as u64;
        let (mut got, mut gids) = (Vec::new(), Vec::new());
        for first in (0..rows).step_by(chunk) {
            let n = chunk.min(rows - first);
            let packed: Vec<u64> =
                (first..first + n).flat_map(|r| (0..words).map(move |w| key(r, w))).collect();
            table.group(&packed, n, &mut gids);
            let bounds = table.run_starts().unwrap();
            let begins = |r: &usize| *r == 0 || (first + r).is_multiple_of(length);
            let want: Vec<u32> = (0..n).filter(begins).chain([n]).map(|r| r as u32).collect();
            assert_eq!(bounds, want, "{words} words, runs of {length} in {chunk}");
            got.extend_from_slice(&gids);
        }
        let want: Vec<u32> = (0..rows).map(|r| (r / length) as u32).collect();
        assert_eq!(got, want, "{words} words, runs of {length} in {chunk}");
        assert_eq!(table.groups(), rows.div_ceil(length));
        for group in 0..table.groups() {
            let want: Vec<u64> = (0..words).map(|w| key(group * length, w)).collect();
            assert_eq!(table.keys()[group * words..][..words], want);
        }
    }

    #[test]
    fn runs_are_numbered_from_chunk_to_chunk() {
        for words in 1..=3 {
            for length in [1, 2, 7, 100, 5000] {
                for chunk in [1, 2, 64, 1024] {
                    check(words, length, chunk, 3000);
                }
            }
        }
    }

    #[test]
    fn no_rows_change_nothing() {
        let mut table = Table::of_runs(1, Vec::new());
        let mut gids = vec![3];
        table.group(&[], 0, &mut gids);
        assert_eq!((table.groups(), gids.len()), (0, 0));
    }
}
