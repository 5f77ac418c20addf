//! Dictionaries of strings: strings to dense codes and back, on the host. On devices a
//! string column is a column of codes.
//!
//! Strings are kept as Arrow string views: up to 12 bytes inline, longer ones in blocks of
//! bytes. An open-addressing table maps hashes to codes. Rows are interned in chunks of
//! three passes (hash, load slots, compare), so that the cache misses of a chunk overlap.

mod shared;
mod strings;

pub use shared::SharedDictionary;

use std::{cmp::Ordering, hash::BuildHasher, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, DictionaryArray, GenericStringBuilder, OffsetSizeTrait, PrimitiveArray,
        StringViewArray,
    },
    buffer::{Buffer, NullBuffer, ScalarBuffer},
    datatypes::{
        ArrowDictionaryKeyType, ArrowNativeType, DataType, Int8Type, Int16Type, Int32Type,
        Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use hashbrown::DefaultHashBuilder;
use rayon::slice::ParallelSliceMut;
use strings::{INLINE, Strings, inline_view, prefix_of};

use crate::error::{KernelError, Result};

/// How far a dictionary may grow before its query goes back to the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DictionaryLimits {
    /// Most distinct strings.
    pub values: usize,
    /// Most bytes of distinct strings.
    pub bytes: usize,
}

impl Default for DictionaryLimits {
    /// 16 Mi strings and 1 GiB: a guess at where hashing strings on the host stops paying
    /// for what the device saves.
    fn default() -> Self {
        Self { values: 1 << 24, bytes: 1 << 30 }
    }
}

/// Rows of one chunk of interning: its hashes and slots fit the first-level cache.
const CHUNK: usize = 512;
/// Bytes after which a block of long strings is closed; far below the 32-bit offsets of a
/// view.
const BLOCK: usize = 16 << 20;
/// A code that no string has.
const MISSING: u32 = u32::MAX;

/// Strings with dense codes from 0.
#[derive(Debug)]
struct Dictionary {
    limits: DictionaryLimits,
    hasher: DefaultHashBuilder,
    views: Vec<u128>,
    closed: Vec<Buffer>,
    open: Vec<u8>,
    bytes: usize,
    /// Upper 32 bits: of the hash; lower 32 bits: code + 1, 0 when empty.
    slots: Vec<u64>,
}

/// What identifies one string while it is looked up.
#[derive(Clone, Copy)]
struct Probe<'a> {
    hash: u64,
    /// The view where it is inline; the length elsewhere.
    view: u128,
    bytes: &'a [u8],
}

impl Dictionary {
    fn new(constants: &[String], limits: DictionaryLimits) -> Result<Self> {
        let mut d = Self {
            limits,
            hasher: DefaultHashBuilder::default(),
            views: Vec::new(),
            closed: Vec::new(),
            open: Vec::new(),
            bytes: 0,
            slots: vec![0; 64],
        };
        for text in constants {
            let probe = d.probe(text.as_bytes(), None);
            d.insert(&probe)?;
        }
        Ok(d)
    }

    fn set_limits(&mut self, limits: DictionaryLimits) {
        self.limits = limits;
    }

    /// Number of strings.
    fn len(&self) -> usize {
        self.views.len()
    }

    fn probe<'a>(&self, bytes: &'a [u8], view: Option<u128>) -> Probe<'a> {
        if bytes.len() <= INLINE {
            let view = view.unwrap_or_else(|| inline_view(bytes));
            // Two odd constants (the fractional digits of pi) and a folded product: enough
            // to spread 16 bytes over the table.
            let a = (view as u64 ^ 0x243f_6a88_85a3_08d3) as u128;
            let b = ((view >> 64) as u64 ^ 0x1319_8a2e_0370_7344) as u128;
            let m =
                (a.wrapping_mul(0x9e37_79b9_7f4a_7c15)) ^ (b.wrapping_mul(0xa409_3822_299f_31d1));
            let hash = (m as u64) ^ ((m >> 64) as u64);
            Probe { hash: hash ^ (hash >> 29), view, bytes }
        } else {
            Probe { hash: self.hasher.hash_one(bytes), view: bytes.len() as u128, bytes }
        }
    }

    fn slot_of(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    /// Whether the string of `code` is the probe's.
    fn is(&self, code: u32, probe: &Probe<'_>) -> bool {
        let view = self.views[code as usize];
        if probe.bytes.len() <= INLINE {
            return view == probe.view;
        }
        view as u32 as usize == probe.bytes.len() && self.long(view) == probe.bytes
    }

    /// The bytes of a string that is not inline.
    fn long(&self, view: u128) -> &[u8] {
        let (len, block, at) =
            (view as u32 as usize, (view >> 64) as u32 as usize, (view >> 96) as usize);
        match self.closed.get(block) {
            Some(b) => &b.as_slice()[at..at + len],
            None => &self.open[at..at + len],
        }
    }

    /// Looks a probe up from a slot that was loaded before.
    fn find(&self, probe: &Probe<'_>, mut slot: u64) -> u32 {
        let mask = self.slots.len() - 1;
        let mut at = self.slot_of(probe.hash);
        loop {
            if slot == 0 {
                return MISSING;
            }
            let code = slot as u32 - 1;
            if slot >> 32 == probe.hash >> 32 && self.is(code, probe) {
                return code;
            }
            at = (at + 1) & mask;
            slot = self.slots[at];
        }
    }

    /// The code of a string, new or not.
    fn insert(&mut self, probe: &Probe<'_>) -> Result<u32> {
        let found = self.find(probe, self.slots[self.slot_of(probe.hash)]);
        if found != MISSING {
            return Ok(found);
        }
        let len = probe.bytes.len();
        if self.views.len() >= self.limits.values.min(MISSING as usize - 1)
            || self.bytes + len > self.limits.bytes
        {
            return Err(KernelError::Unsupported {
                device: "any device".into(),
                reason: format!(
                    "a string column has more than {} distinct values or {} bytes of them",
                    self.limits.values, self.limits.bytes
                ),
            });
        }
        let view = if len <= INLINE {
            probe.view
        } else {
            if self.open.len() + len > BLOCK {
                self.close();
            }
            let at = self.open.len();
            self.open.extend_from_slice(probe.bytes);
            len as u128
                | u128::from(prefix_of(probe.bytes)) << 32
                | (self.closed.len() as u128) << 64
                | (at as u128) << 96
        };
        let code = self.views.len() as u32;
        self.views.push(view);
        self.bytes += len;
        if (self.views.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        self.put(probe.hash, code);
        Ok(code)
    }

    fn put(&mut self, hash: u64, code: u32) {
        let mask = self.slots.len() - 1;
        let mut at = self.slot_of(hash);
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = (hash >> 32) << 32 | u64::from(code + 1);
    }

    /// Quadruples the table; the last string is not in it yet.
    fn grow(&mut self) {
        let size = self.slots.len() * 4;
        self.slots.clear();
        self.slots.resize(size, 0);
        for code in 0..self.views.len() - 1 {
            let view = self.views[code];
            let hash = match self.inline(&view) {
                Some(_) => self.probe(&[], Some(view)).hash,
                None => self.hasher.hash_one(self.long(view)),
            };
            self.put(hash, code as u32);
        }
    }

    fn inline<'a>(&self, view: &'a u128) -> Option<&'a u128> {
        (*view as u32 as usize <= INLINE).then_some(view)
    }

    /// Moves the open block to the closed ones.
    fn close(&mut self) {
        if !self.open.is_empty() {
            self.closed.push(Buffer::from_vec(std::mem::take(&mut self.open)));
        }
    }

    /// The position of each code's string in the order of their bytes, which is the order of
    /// their characters.
    fn ranks(&self) -> Vec<u32> {
        let mut codes: Vec<u32> = (0..self.views.len() as u32).collect();
        codes.par_sort_unstable_by(|a, b| self.compare(*a, *b));
        let mut ranks = vec![0; codes.len()];
        for (rank, code) in codes.into_iter().enumerate() {
            ranks[code as usize] = rank as u32;
        }
        ranks
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        let (a, b) = (&self.views[a as usize], &self.views[b as usize]);
        // The first four bytes decide most comparisons; shorter strings have zeros there.
        let prefix = |view: &u128| ((*view >> 32) as u32).swap_bytes();
        prefix(a).cmp(&prefix(b)).then_with(|| {
            let (x, y) = (a.to_le_bytes(), b.to_le_bytes());
            self.bytes_of(a, &x).cmp(self.bytes_of(b, &y))
        })
    }

    /// The bytes of a string, whose view's own bytes are `raw`.
    fn bytes_of<'a>(&'a self, view: &u128, raw: &'a [u8; 16]) -> &'a [u8] {
        match self.inline(view) {
            Some(_) => &raw[4..4 + *view as u32 as usize],
            None => self.long(*view),
        }
    }

    /// Whether all bytes are in closed blocks.
    fn is_closed(&self) -> bool {
        self.open.is_empty()
    }

    /// The codes of the strings that are known; rows of others are pushed to `missing`.
    /// Null rows get 0.
    fn lookup<S: Strings>(
        &self,
        strings: &S,
        nulls: Option<&NullBuffer>,
        codes: &mut Vec<u32>,
        missing: &mut Vec<u32>,
    ) {
        let rows = strings.len();
        let mut probes = [Probe { hash: 0, view: 0, bytes: &[] }; CHUNK];
        let mut slots = [0u64; CHUNK];
        for start in (0..rows).step_by(CHUNK) {
            let n = CHUNK.min(rows - start);
            for (i, probe) in probes[..n].iter_mut().enumerate() {
                let (bytes, view) = strings.get(start + i);
                *probe = self.probe(bytes, view);
            }
            for (slot, probe) in slots[..n].iter_mut().zip(&probes) {
                *slot = self.slots[self.slot_of(probe.hash)];
            }
            for i in 0..n {
                if nulls.is_some_and(|v| v.is_null(start + i)) {
                    codes.push(0);
                    continue;
                }
                let code = self.find(&probes[i], slots[i]);
                if code == MISSING {
                    missing.push((start + i) as u32);
                }
                codes.push(code);
            }
        }
    }

    /// Gives codes to the rows that [`Self::lookup`] did not find.
    fn add<S: Strings>(&mut self, strings: &S, codes: &mut [u32], missing: &[u32]) -> Result<()> {
        for row in missing {
            let (bytes, view) = strings.get(*row as usize);
            let probe = self.probe(bytes, view);
            codes[*row as usize] = self.insert(&probe)?;
        }
        Ok(())
    }

    /// The strings of `codes` as an array of a string type. All bytes are closed.
    fn decode(&self, codes: &[u32], nulls: Option<NullBuffer>, ty: &DataType) -> Result<ArrayRef> {
        match ty {
            DataType::Utf8View => {
                let view = |(i, c): (usize, &u32)| match &nulls {
                    Some(n) if n.is_null(i) => 0,
                    _ => self.views[*c as usize],
                };
                let views: ScalarBuffer<u128> = codes.iter().enumerate().map(view).collect();
                let array = StringViewArray::try_new(views, self.closed.clone(), nulls);
                Ok(Arc::new(array.map_err(wrong)?))
            }
            DataType::Utf8 => self.decode_offsets::<i32>(codes, nulls.as_ref()),
            DataType::LargeUtf8 => self.decode_offsets::<i64>(codes, nulls.as_ref()),
            DataType::Dictionary(key, values) => {
                let all: Vec<u32> = (0..self.views.len() as u32).collect();
                let values = self.decode(&all, None, values)?;
                match key.as_ref() {
                    DataType::Int8 => self.decode_keys::<Int8Type>(codes, nulls, values),
                    DataType::Int16 => self.decode_keys::<Int16Type>(codes, nulls, values),
                    DataType::Int32 => self.decode_keys::<Int32Type>(codes, nulls, values),
                    DataType::Int64 => self.decode_keys::<Int64Type>(codes, nulls, values),
                    DataType::UInt8 => self.decode_keys::<UInt8Type>(codes, nulls, values),
                    DataType::UInt16 => self.decode_keys::<UInt16Type>(codes, nulls, values),
                    DataType::UInt32 => self.decode_keys::<UInt32Type>(codes, nulls, values),
                    DataType::UInt64 => self.decode_keys::<UInt64Type>(codes, nulls, values),
                    key => Err(wrong(format!("dictionary keys of type {key}"))),
                }
            }
            ty => Err(wrong(format!("codes of a dictionary as {ty}"))),
        }
    }

    fn decode_offsets<O: OffsetSizeTrait>(
        &self,
        codes: &[u32],
        nulls: Option<&NullBuffer>,
    ) -> Result<ArrayRef> {
        let mut out = GenericStringBuilder::<O>::with_capacity(codes.len(), codes.len() * 8);
        let mut bytes = 0usize;
        for (i, code) in codes.iter().enumerate() {
            if nulls.is_some_and(|n| n.is_null(i)) {
                out.append_null();
                continue;
            }
            let view = self.views[*code as usize];
            let raw = view.to_le_bytes();
            let text = self.bytes_of(&view, &raw);
            bytes += text.len();
            if O::from_usize(bytes).is_none() {
                return Err(KernelError::Unsupported {
                    device: "any device".into(),
                    reason: "the strings of a batch pass 2 GiB".into(),
                });
            }
            out.append_value(std::str::from_utf8(text).map_err(wrong)?);
        }
        Ok(Arc::new(out.finish()))
    }

    fn decode_keys<K: ArrowDictionaryKeyType>(
        &self,
        codes: &[u32],
        nulls: Option<NullBuffer>,
        values: ArrayRef,
    ) -> Result<ArrayRef> {
        let mut keys = Vec::with_capacity(codes.len());
        for (i, code) in codes.iter().enumerate() {
            let null = nulls.as_ref().is_some_and(|n| n.is_null(i));
            let key = if null {
                Some(K::Native::default())
            } else {
                K::Native::from_usize(*code as usize)
            };
            keys.push(key.ok_or_else(|| KernelError::Unsupported {
                device: "any device".into(),
                reason: format!("{} distinct values do not fit the column's keys", values.len()),
            })?);
        }
        let keys = PrimitiveArray::<K>::new(keys.into(), nulls);
        Ok(Arc::new(DictionaryArray::try_new(keys, values).map_err(wrong)?))
    }
}

fn wrong(got: impl ToString) -> KernelError {
    KernelError::Invalid {
        operation: "dictionary",
        expected: "codes and strings that fit".into(),
        got: got.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, StringArray};

    fn intern(d: &mut Dictionary, values: &StringArray) -> Vec<u32> {
        let (mut codes, mut missing) = (vec![], vec![]);
        d.lookup(values, values.nulls(), &mut codes, &mut missing);
        d.add(values, &mut codes, &missing).unwrap();
        codes
    }

    #[test]
    fn equal_strings_have_one_code_and_come_back() {
        let mut d = Dictionary::new(&["b".into()], DictionaryLimits::default()).unwrap();
        let texts: Vec<Option<String>> = (0..5000)
            .map(|i| match i % 7 {
                0 => None,
                1 => Some(String::new()),
                2 => Some("b".into()),
                3 => Some(format!("a string of more than twelve bytes {}", i % 100)),
                4 => Some(format!("twelve{:06}", i % 300)),
                5 => Some(format!("thirteen{:05}", i % 300)),
                _ => Some(format!("{i}")),
            })
            .collect();
        let array = StringArray::from(texts.clone());
        let codes = intern(&mut d, &array);
        assert_eq!(codes[2], 0);
        let mut distinct: Vec<_> = texts.iter().flatten().collect();
        distinct.sort();
        distinct.dedup();
        assert_eq!(d.len(), distinct.len());
        assert_eq!(intern(&mut d, &array), codes);
        d.close();
        let views = d.decode(&codes, array.nulls().cloned(), &DataType::Utf8View).unwrap();
        let plain = d.decode(&codes, array.nulls().cloned(), &DataType::Utf8).unwrap();
        for (i, t) in texts.iter().enumerate() {
            let view = views.as_string_view();
            assert_eq!(view.is_valid(i).then(|| view.value(i)), t.as_deref());
        }
        assert_eq!(plain.as_string::<i32>(), &array);
    }

    #[test]
    fn ranks_are_the_order_of_the_strings() {
        let texts = ["b", "", "ba", "a\0", "a", "é", "a long string, the second", "a long string"];
        let mut d = Dictionary::new(&[], DictionaryLimits::default()).unwrap();
        intern(&mut d, &StringArray::from(texts.to_vec()));
        let mut sorted = texts.to_vec();
        sorted.sort_unstable();
        for (text, rank) in texts.iter().zip(d.ranks()) {
            assert_eq!(sorted[rank as usize], *text);
        }
    }

    #[test]
    fn a_dictionary_refuses_to_pass_its_limits() {
        let limits = DictionaryLimits { values: 2, bytes: 100 };
        let mut d = Dictionary::new(&[], limits).unwrap();
        let array = StringArray::from(vec!["a", "b", "a", "c"]);
        let (mut codes, mut missing) = (vec![], vec![]);
        d.lookup(&array, None, &mut codes, &mut missing);
        let e = d.add(&array, &mut codes, &missing).unwrap_err();
        assert!(e.to_string().contains("more than 2 distinct values"), "{e}");
        let keys = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        assert_eq!(d.decode(&[1, 0], None, &keys).unwrap().data_type(), &keys);
    }
}
