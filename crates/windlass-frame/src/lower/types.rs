//! Which device type stands for which Arrow type.

use arrow::datatypes::{DataType, TimeUnit};
use windlass_kernels::PhysType;

use super::{Result, Unsupported};

/// Most decimal digits of an `I64`.
pub const I64_DIGITS: u8 = 18;

/// The device type of an Arrow type. Strings, dictionary-coded or not, are `U32` codes.
///
/// # Errors
/// [`Unsupported`] for a type without a device form.
pub fn phys_type(ty: &DataType) -> Result<PhysType> {
    Ok(match ty {
        DataType::Boolean => PhysType::Bool,
        DataType::Int8 => PhysType::I8,
        DataType::Int16 => PhysType::I16,
        DataType::Int32 | DataType::Date32 | DataType::Time32(_) => PhysType::I32,
        DataType::Int64
        | DataType::Date64
        | DataType::Timestamp(..)
        | DataType::Time64(_)
        | DataType::Duration(_) => PhysType::I64,
        DataType::UInt8 => PhysType::U8,
        DataType::UInt16 => PhysType::U16,
        DataType::UInt32 => PhysType::U32,
        DataType::UInt64 => PhysType::U64,
        DataType::Float32 => PhysType::F32,
        DataType::Float64 => PhysType::F64,
        DataType::Decimal128(p, _) if *p <= I64_DIGITS => PhysType::I64,
        DataType::Decimal128(..) => PhysType::I128,
        t if is_string(t) => PhysType::U32,
        t => return Err(Unsupported::new(format!("type {t} has no device form"))),
    })
}

/// Whether a type is a string type or a dictionary of strings.
pub fn is_string(ty: &DataType) -> bool {
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_string(values),
        _ => false,
    }
}

/// The device type that Arrow's own layout of a type has: 128-bit decimals are 16 bytes there.
///
/// # Errors
/// As [`phys_type`].
pub fn stored_type(ty: &DataType) -> Result<PhysType> {
    match ty {
        DataType::Decimal128(..) => Ok(PhysType::I128),
        DataType::Decimal64(..) => Ok(PhysType::I64),
        t => phys_type(t),
    }
}

/// The type with 8 bytes a value for decimals of up to 18 digits, as which a scan may give
/// them to a device; `None` for any other type.
pub(crate) fn narrow(ty: &DataType) -> Option<DataType> {
    match *ty {
        DataType::Decimal128(p, s) if p <= I64_DIGITS => Some(DataType::Decimal64(p, s)),
        _ => None,
    }
}

/// Parts of a second in a unit.
pub(crate) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_narrow_while_they_fit() {
        assert_eq!(phys_type(&DataType::Decimal128(18, 2)), Ok(PhysType::I64));
        assert_eq!(phys_type(&DataType::Decimal128(19, 2)), Ok(PhysType::I128));
        assert_eq!(stored_type(&DataType::Decimal128(7, 2)), Ok(PhysType::I128));
        assert_eq!(stored_type(&DataType::Decimal64(7, 2)), Ok(PhysType::I64));
        assert_eq!(narrow(&DataType::Decimal128(18, 2)), Some(DataType::Decimal64(18, 2)));
        assert_eq!(narrow(&DataType::Decimal128(19, 2)), None);
    }

    #[test]
    fn nested_types_and_dictionaries_of_numbers_are_refused() {
        let key = Box::new(DataType::Int32);
        let strings = DataType::Dictionary(key.clone(), Box::new(DataType::Utf8));
        assert_eq!(phys_type(&strings), Ok(PhysType::U32));
        let numbers = DataType::Dictionary(key, Box::new(DataType::Int64));
        for ty in [numbers, DataType::Binary, DataType::Null, DataType::Decimal256(50, 2)] {
            let reason = phys_type(&ty).unwrap_err().reason;
            assert!(reason.contains("no device form"), "{reason}");
        }
    }
}
