//! A dictionary that several threads and operators share.

use std::{collections::VecDeque, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, UInt32Array},
    buffer::NullBuffer,
    compute::cast,
    datatypes::{DataType, Int32Type},
};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::{Dictionary, DictionaryLimits, strings::Strings};
use crate::error::{KernelError, Result};

/// Strings with dense codes from 0, given in the order in which strings come. A code never
/// changes.
#[derive(Debug)]
pub struct SharedDictionary {
    strings: RwLock<Dictionary>,
    /// Dictionaries of arrays met last, with the codes of their values.
    met: Mutex<VecDeque<Met>>,
}

/// The values of a dictionary array and their codes here. The values are held, so that no
/// others can come to lie where they are.
type Met = (ArrayRef, Arc<UInt32Array>);

/// Dictionaries that are remembered, for each core. Batches of one column chunk share theirs,
/// and a partition reads one chunk after the other, of which two may be under way.
const MET: usize = 2;

/// A dictionary of an array with more values than this many a row is not given codes as a
/// whole: most are not the rows'. A guess; batches of 8,192 rows of a Parquet column chunk
/// share up to some 10^5 values, which the chunk's other batches use.
const VALUES_PER_ROW: usize = 64;

impl SharedDictionary {
    /// String `i` of `constants`, which count towards no limit, has code `i`.
    ///
    /// # Errors
    /// `Unsupported` for more constants than codes.
    pub fn new(constants: &[String], limits: DictionaryLimits) -> Result<Self> {
        let none = DictionaryLimits { values: usize::MAX, bytes: usize::MAX };
        let mut dictionary = Dictionary::new(constants, none)?;
        dictionary.set_limits(limits);
        Ok(Self { strings: RwLock::new(dictionary), met: Mutex::default() })
    }

    /// Number of strings so far.
    pub fn len(&self) -> usize {
        self.strings.read().len()
    }

    /// Whether there is no string yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The position of each code's string in the order of the strings so far.
    pub fn ranks(&self) -> Vec<u32> {
        self.strings.read().ranks()
    }

    /// The codes of a string array; the nulls are the array's.
    ///
    /// # Errors
    /// `Invalid` for an array that holds no strings; `Unsupported` past the limits.
    pub fn encode(&self, array: &dyn Array) -> Result<UInt32Array> {
        match array.data_type() {
            DataType::Utf8 => self.intern(array.as_string::<i32>(), array.nulls()),
            DataType::LargeUtf8 => self.intern(array.as_string::<i64>(), array.nulls()),
            DataType::Utf8View => self.intern(array.as_string_view(), array.nulls()),
            DataType::Dictionary(_, values) => {
                let dictionary = array.as_any_dictionary();
                let distinct = dictionary.values();
                if distinct.is_empty() {
                    // Every row is null.
                    let nulls = array.logical_nulls();
                    return Ok(UInt32Array::new(vec![0; array.len()].into(), nulls));
                }
                if distinct.len() > array.len().saturating_mul(VALUES_PER_ROW) {
                    let plain = cast(array, values).map_err(super::wrong)?;
                    return self.encode(&plain);
                }
                let codes = self.codes_of(distinct)?;
                let codes = codes.values();
                // What stands under a null is any number.
                let code = |k: usize| codes.get(k).copied().unwrap_or(0);
                let out: Vec<u32> = match array.as_dictionary_opt::<Int32Type>() {
                    Some(a) => a.keys().values().iter().map(|k| code(*k as usize)).collect(),
                    None => dictionary.normalized_keys().into_iter().map(code).collect(),
                };
                Ok(UInt32Array::new(out.into(), array.logical_nulls()))
            }
            ty => Err(KernelError::Invalid {
                operation: "dictionary",
                expected: "a string column".into(),
                got: ty.to_string(),
            }),
        }
    }

    /// The codes of the values of a dictionary array.
    fn codes_of(&self, values: &ArrayRef) -> Result<Arc<UInt32Array>> {
        let found = |met: &VecDeque<Met>| {
            let same = met.iter().find(|(known, _)| known.to_data().ptr_eq(&values.to_data()));
            same.map(|(_, codes)| Arc::clone(codes))
        };
        if let Some(codes) = found(&self.met.lock()) {
            return Ok(codes);
        }
        let codes = Arc::new(self.encode(values)?);
        let mut met = self.met.lock();
        met.push_front((Arc::clone(values), Arc::clone(&codes)));
        met.truncate(MET * rayon::current_num_threads());
        Ok(codes)
    }

    fn intern<S: Strings>(&self, strings: &S, nulls: Option<&NullBuffer>) -> Result<UInt32Array> {
        let mut codes = Vec::with_capacity(strings.len());
        let mut missing = Vec::new();
        self.strings.read().lookup(strings, nulls, &mut codes, &mut missing);
        if !missing.is_empty() {
            self.strings.write().add(strings, &mut codes, &missing)?;
        }
        Ok(UInt32Array::new(codes.into(), nulls.cloned()))
    }

    /// The strings of codes, as an array of the string type `ty`.
    ///
    /// # Errors
    /// `Invalid` for another type, a code that no string has, or nulls of another length;
    /// `Unsupported` where the strings do not fit the type.
    pub fn decode(
        &self,
        codes: &[u32],
        nulls: Option<NullBuffer>,
        ty: &DataType,
    ) -> Result<ArrayRef> {
        if let Some(n) = nulls.as_ref().filter(|n| n.len() != codes.len()) {
            return Err(KernelError::Invalid {
                operation: "dictionary",
                expected: format!("the nulls of {} codes", codes.len()),
                got: format!("those of {}", n.len()),
            });
        }
        let dictionary = self.closed();
        let known = dictionary.len();
        let valid = |(i, _): &(usize, &u32)| nulls.as_ref().is_none_or(|n| n.is_valid(*i));
        let unknown = codes.iter().enumerate().filter(valid).find(|(_, c)| **c as usize >= known);
        if let Some((row, code)) = unknown {
            return Err(KernelError::Invalid {
                operation: "dictionary",
                expected: format!("codes under {known}"),
                got: format!("code {code} in row {row}"),
            });
        }
        dictionary.decode(codes, nulls, ty)
    }

    /// The dictionary with all bytes in closed blocks.
    fn closed(&self) -> RwLockReadGuard<'_, Dictionary> {
        loop {
            let guard = self.strings.read();
            if guard.is_closed() {
                return guard;
            }
            drop(guard);
            self.strings.write().close();
        }
    }
}
