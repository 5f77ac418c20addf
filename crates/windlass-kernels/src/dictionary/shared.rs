//! A dictionary that several threads and operators share.

use arrow::{
    array::{Array, ArrayRef, AsArray, UInt32Array},
    buffer::NullBuffer,
    compute::cast,
    datatypes::DataType,
};
use parking_lot::{RwLock, RwLockReadGuard};

use super::{Dictionary, DictionaryLimits, strings::Strings};
use crate::error::{KernelError, Result};

/// Strings with dense codes from 0, given in the order in which strings come. A code never
/// changes.
#[derive(Debug)]
pub struct SharedDictionary(RwLock<Dictionary>);

impl SharedDictionary {
    /// String `i` of `constants`, which count towards no limit, has code `i`.
    ///
    /// # Errors
    /// `Unsupported` for more constants than codes.
    pub fn new(constants: &[String], limits: DictionaryLimits) -> Result<Self> {
        let none = DictionaryLimits { values: usize::MAX, bytes: usize::MAX };
        let mut dictionary = Dictionary::new(constants, none)?;
        dictionary.set_limits(limits);
        Ok(Self(RwLock::new(dictionary)))
    }

    /// Number of strings so far.
    pub fn len(&self) -> usize {
        self.0.read().len()
    }

    /// Whether there is no string yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The position of each code's string in the order of the strings so far.
    pub fn ranks(&self) -> Vec<u32> {
        self.0.read().ranks()
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
                // More values than rows: only the rows' own are given codes.
                if distinct.len() > array.len() {
                    let plain = cast(array, values).map_err(super::wrong)?;
                    return self.encode(&plain);
                }
                let codes = self.encode(distinct)?;
                let keys = dictionary.normalized_keys();
                let nulls = array.logical_nulls();
                let code = |(i, k): (usize, &usize)| match &nulls {
                    Some(n) if n.is_null(i) => 0,
                    _ => codes.value(*k),
                };
                let out: Vec<u32> = keys.iter().enumerate().map(code).collect();
                Ok(UInt32Array::new(out.into(), nulls))
            }
            ty => Err(KernelError::Invalid {
                operation: "dictionary",
                expected: "a string column".into(),
                got: ty.to_string(),
            }),
        }
    }

    fn intern<S: Strings>(&self, strings: &S, nulls: Option<&NullBuffer>) -> Result<UInt32Array> {
        let mut codes = Vec::with_capacity(strings.len());
        let mut missing = Vec::new();
        self.0.read().lookup(strings, nulls, &mut codes, &mut missing);
        if !missing.is_empty() {
            self.0.write().add(strings, &mut codes, &missing)?;
        }
        Ok(UInt32Array::new(codes.into(), nulls.cloned()))
    }

    /// The strings of codes, as an array of the string type `ty`.
    ///
    /// # Errors
    /// `Invalid` for another type or a code that no string has; `Unsupported` where the
    /// strings do not fit the type.
    pub fn decode(
        &self,
        codes: &[u32],
        nulls: Option<NullBuffer>,
        ty: &DataType,
    ) -> Result<ArrayRef> {
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
            let guard = self.0.read();
            if guard.is_closed() {
                return guard;
            }
            drop(guard);
            self.0.write().close();
        }
    }
}
