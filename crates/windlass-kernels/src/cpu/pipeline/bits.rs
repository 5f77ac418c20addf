//! Bits that are written one after the other, in Arrow's layout.

use arrow::buffer::Buffer;

use super::select::pack_word;

/// Bits being written, a word of 64 at a time.
#[derive(Debug, Default)]
pub(super) struct BitBuilder {
    /// Bits past `len` are 0.
    words: Vec<u64>,
    len: usize,
}

impl BitBuilder {
    /// Makes room for so many bits more.
    pub(super) fn reserve(&mut self, bits: usize) {
        let words = (self.len + bits).div_ceil(64);
        self.words.reserve(words.saturating_sub(self.words.len()));
    }

    /// Appends the lowest `n` bits of a word, at most 64, whose others are 0.
    #[inline]
    pub(super) fn push(&mut self, bits: u64, n: usize) {
        let shift = self.len % 64;
        match self.words.last_mut().filter(|_| shift != 0) {
            None if n == 0 => {}
            None => self.words.push(bits),
            Some(last) => {
                *last |= bits << shift;
                if shift + n > 64 {
                    self.words.push(bits >> (64 - shift));
                }
            }
        }
        self.len += n;
    }

    /// Appends bytes of 0 and 1.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<64>();
        for bytes in words {
            self.push(pack_word(bytes), 64);
        }
        let mut last = [0; 64];
        last[..rest.len()].copy_from_slice(rest);
        self.push(pack_word(&last), rest.len());
    }

    /// Appends `n` ones.
    pub(super) fn append_ones(&mut self, n: usize) {
        for at in (0..n).step_by(64) {
            let n = (n - at).min(64);
            self.push(u64::MAX >> (64 - n), n);
        }
    }

    /// The bits, least significant first, in as many bytes as they take.
    pub(super) fn finish(self) -> Buffer {
        let bytes = self.len.div_ceil(8);
        let words: Vec<u64> = match cfg!(target_endian = "little") {
            true => self.words,
            false => self.words.into_iter().map(u64::to_le).collect(),
        };
        Buffer::from_vec(words).slice_with_length(0, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_bits_lie_side_by_side() {
        for lengths in
            [vec![], vec![0, 1], vec![64, 64], vec![3, 64, 61, 65, 7], vec![63, 1, 200, 5]]
        {
            let (mut builder, mut want) = (BitBuilder::default(), Vec::new());
            for (part, n) in lengths.iter().enumerate() {
                builder.reserve(*n);
                let bytes: Vec<u8> = (0..*n).map(|i| u8::from((i * i + part) % 7 < 3)).collect();
                builder.append(&bytes);
                want.extend(bytes);
                builder.append_ones(part * 70);
                want.resize(want.len() + part * 70, 1);
            }
            let got = builder.finish();
            assert_eq!(got.len(), want.len().div_ceil(8));
            for (i, bit) in want.iter().enumerate() {
                assert_eq!(got[i / 8] >> (i % 8) & 1, *bit, "{lengths:?} {i}");
            }
            let unused = got.len() * 8 - want.len();
            assert!(got.last().is_none_or(|b| u32::from(*b).leading_zeros() >= 24 + unused as u32));
        }
    }
}
