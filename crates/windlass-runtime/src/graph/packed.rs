//! Results of other processes: bytes, until someone in this one asks for the value.

use std::{
    any::{Any, TypeId, type_name},
    fmt, io,
    sync::{Arc, OnceLock},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{Value, value::Codec};

/// A value that can go to another process: serde can write and read it, and it is of a type
/// that may be a task's argument.
///
/// Values are written by postcard, which writes no names of fields: types that can only be read
/// with them (`#[serde(untagged)]`, `#[serde(flatten)]`, `skip_serializing_if`,
/// `serde_json::Value`) cannot go.
pub trait Portable: Serialize + DeserializeOwned + Any + Send + Sync {}

impl<T: Serialize + DeserializeOwned + Any + Send + Sync> Portable for T {}

type Shared = Arc<dyn Any + Send + Sync>;

/// A value as bytes. It is decoded once, when its value is asked for; the bytes stay, for tasks
/// in other processes that take it too.
pub(crate) struct Packed {
    bytes: Vec<u8>,
    kind: TypeId,
    decode: fn(&[u8]) -> Result<Shared, String>,
    value: OnceLock<Result<Shared, String>>,
}

/// The bytes of a list as postcard's writer appends to them.
struct Appended(Vec<u8>);

impl postcard::ser_flavors::Flavor for Appended {
    type Output = Vec<u8>;

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

/// A value as bytes.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    postcard::serialize_with_flavor(value, Appended(Vec::new()))
        .map_err(|e| format!("a value of type {} cannot be written: {e}", type_name::<T>()))
}

/// The value that [`encode`] wrote.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let failed = |why: &dyn fmt::Display| {
        let (name, n) = (type_name::<T>(), bytes.len());
        format!("a value of type {name} cannot be read from {n} bytes: {why}")
    };
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|e| failed(&e))?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(failed(&format_args!("{} bytes are left over", rest.len())))
    }
}

impl Packed {
    fn new<T: Portable>(bytes: Vec<u8>) -> Self {
        let decode = |bytes: &[u8]| -> Result<Shared, String> { Ok(Arc::new(decode::<T>(bytes)?)) };
        Self { bytes, kind: TypeId::of::<T>(), decode, value: OnceLock::new() }
    }

    /// The value, decoded.
    pub(crate) fn value(&self) -> Result<&Shared, &str> {
        self.value.get_or_init(|| (self.decode)(&self.bytes)).as_ref().map_err(String::as_str)
    }

    /// The bytes, if the value is of that type.
    pub(crate) fn bytes_of<T: Any>(&self) -> Option<&[u8]> {
        (self.kind == TypeId::of::<T>()).then_some(&self.bytes)
    }
}

/// How packed values of a type go to disk: as they are.
struct OnDisk<T>(std::marker::PhantomData<T>);

impl<T: Portable> OnDisk<T> {
    const CODEC: &'static Codec = &Codec {
        write: |value, to| match value.downcast_ref::<Packed>() {
            Some(packed) => to.write_all(&packed.bytes),
            None => Err(io::Error::other("a value of another type than its codec's")),
        },
        read: |from| {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes)?;
            Ok(Arc::new(Packed::new::<T>(bytes)))
        },
    };
}

impl Value {
    /// A value of type `T` that another process wrote.
    pub(crate) fn packed<T: Portable>(bytes: Vec<u8>) -> Self {
        let length = bytes.len() as u64;
        Self::coded(Arc::new(Packed::new::<T>(bytes)), length, OnDisk::<T>::CODEC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_value_is_both_its_bytes_and_its_type() {
        let text = "kept".to_string();
        let value = Value::packed::<String>(encode(&text).unwrap());
        assert_eq!(value.bytes(), 5);
        assert_eq!(value.downcast_ref::<String>(), Some(&text));
        assert_eq!(*value.downcast::<String>().unwrap(), text);
        assert!(value.downcast_ref::<u64>().is_none() && value.downcast::<u64>().is_none());
        assert!(value.undecodable().is_none());
        assert_eq!(value.as_packed().unwrap().bytes_of::<String>(), Some(&b"\x04kept"[..]));
        assert!(value.as_packed().unwrap().bytes_of::<u64>().is_none());
    }

    #[test]
    fn a_packed_value_goes_to_disk_and_back_as_it_is() {
        let value = Value::packed::<Vec<u32>>(encode(&vec![1_u32, 2, 300]).unwrap());
        let mut file = Vec::new();
        value.write(&mut file).unwrap();
        let codec = value.codec().unwrap();
        let back = Value::read(codec, value.bytes(), &mut &file[..]).unwrap();
        assert_eq!(back.downcast_ref::<Vec<u32>>().unwrap(), &[1, 2, 300]);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let value = Value::packed::<String>(vec![200]);
        assert!(value.downcast_ref::<String>().is_none());
        let why = value.undecodable().unwrap();
        assert!(why.contains("String cannot be read from 1 bytes"), "{why}");
        let why = decode::<u8>(&[1, 2]).unwrap_err();
        assert!(why.ends_with("1 bytes are left over"), "{why}");
    }
}
