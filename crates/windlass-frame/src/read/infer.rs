//! CSV type inference that widens rather than fails.
//!
//! Each column starts with no type and widens with each sampled value:
//!
//! ```text
//! nothing ─┬─ boolean ───────────────┐
//!          ├─ int ──── float ────────┼── text
//!          └─ date ─── timestamp ────┘
//! ```
//!
//! A null text never changes a type. A column of nulls only is text.

use std::sync::LazyLock;

use arrow::{
    array::timezone::Tz,
    compute::kernels::cast_utils::{Parser, parse_decimal, string_to_datetime},
    datatypes::{
        DataType, Date32Type, Date64Type, Decimal128Type, Float64Type, Int64Type, TimeUnit,
        UInt64Type,
    },
};

/// What a sampled column may still be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Guess {
    /// Only nulls so far.
    #[default]
    Nothing,
    /// `true` and `false`, in any case.
    Boolean,
    /// Fits 64 bits.
    Int,
    /// A number with a point or exponent, or an infinity or NaN.
    Float,
    /// `2013-01-31`.
    Date,
    /// A date with a time; the digits of its fraction of a second.
    Timestamp(u8),
    /// Anything.
    Text,
}

impl Guess {
    /// The guess for one value that is not null.
    pub(crate) fn of(value: &str) -> Self {
        let bytes = value.as_bytes();
        let Some(first) = bytes.first() else { return Self::Text };
        match first {
            b'0'..=b'9' | b'-' | b'+' | b'.' => number_or_date(value),
            b't' | b'f' | b'T' | b'F'
                if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") =>
            {
                Self::Boolean
            }
            b'n' | b'N' | b'i' | b'I'
                if ["nan", "inf", "infinity"].iter().any(|w| value.eq_ignore_ascii_case(w)) =>
            {
                Self::Float
            }
            _ => Self::Text,
        }
    }

    /// The narrowest guess that both fit.
    pub(crate) fn widen(self, other: Self) -> Self {
        use Guess::{Date, Float, Int, Nothing, Text, Timestamp};
        match (self, other) {
            (a, b) if a == b => a,
            (Nothing, x) | (x, Nothing) => x,
            (Int, Float) | (Float, Int) => Float,
            (Date, Timestamp(f)) | (Timestamp(f), Date) => Timestamp(f),
            (Timestamp(a), Timestamp(b)) => Timestamp(a.max(b)),
            _ => Text,
        }
    }

    /// The column's type. Timestamps count microseconds, or nanoseconds where the sample
    /// has such digits; a zone's offset is applied, so they are in UTC.
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Nothing | Self::Text => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Timestamp(digits) if digits > 6 => {
                DataType::Timestamp(TimeUnit::Nanosecond, None)
            }
            Self::Timestamp(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }
}

fn number_or_date(value: &str) -> Guess {
    let bytes = value.as_bytes();
    let unsigned = value.strip_prefix(['-', '+']).unwrap_or(value);
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    if digits == unsigned.len() {
        // A leading zero marks a code (a postcode, a telephone number), as does a number
        // past 64 bits.
        let code = digits > 1 && unsigned.starts_with('0');
        return match Int64Type::parse(value) {
            Some(_) if !code => Guess::Int,
            _ => Guess::Text,
        };
    }
    if bytes.len() >= 8 && digits == 4 && bytes[0].is_ascii_digit() && bytes[4] == b'-' {
        if bytes.len() <= 10 && Date32Type::parse(value).is_some() {
            return Guess::Date;
        }
        return match string_to_datetime(&*UTC, value) {
            Ok(_) => Guess::Timestamp(fraction_digits(value)),
            Err(_) => Guess::Text,
        };
    }
    match Float64Type::parse(value) {
        Some(_) => Guess::Float,
        None => Guess::Text,
    }
}

fn fraction_digits(value: &str) -> u8 {
    let rest = value.split_once('.').map_or("", |(_, rest)| rest);
    rest.bytes().take_while(u8::is_ascii_digit).count().min(9) as u8
}

static UTC: LazyLock<Tz> = LazyLock::new(|| "+00:00".parse().expect("an offset"));

/// Whether a value that is not null can be read as `kind`; what the CSV reader accepts.
pub(crate) fn fits(value: &str, kind: &DataType) -> bool {
    use DataType as D;
    fn within(value: &str, low: i64, high: i64) -> bool {
        Int64Type::parse(value).is_some_and(|n| n >= low && n <= high)
    }
    match kind {
        D::Boolean => value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
        D::Int8 => within(value, i8::MIN.into(), i8::MAX.into()),
        D::Int16 => within(value, i16::MIN.into(), i16::MAX.into()),
        D::Int32 => within(value, i32::MIN.into(), i32::MAX.into()),
        D::Int64 => Int64Type::parse(value).is_some(),
        D::UInt8 => within(value, 0, u8::MAX.into()),
        D::UInt16 => within(value, 0, u16::MAX.into()),
        D::UInt32 => within(value, 0, u32::MAX.into()),
        D::UInt64 => UInt64Type::parse(value).is_some(),
        D::Float16 | D::Float32 | D::Float64 => Float64Type::parse(value).is_some(),
        D::Date32 => Date32Type::parse(value).is_some(),
        D::Date64 => Date64Type::parse(value).is_some(),
        D::Timestamp(_, _) => string_to_datetime(&*UTC, value).is_ok(),
        D::Decimal128(precision, scale) => {
            parse_decimal::<Decimal128Type>(value, *precision, *scale).is_ok()
        }
        _ => true,
    }
}

/// A type in the words of an error message.
pub(crate) fn words(kind: &DataType) -> String {
    use DataType as D;
    match kind {
        D::Boolean => "true or false".to_string(),
        D::Int8 | D::Int16 | D::Int32 | D::Int64 => format!("a whole number ({kind})"),
        D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 => {
            format!("a whole number that is not negative ({kind})")
        }
        D::Float16 | D::Float32 | D::Float64 => format!("a number ({kind})"),
        D::Date32 | D::Date64 => "a date like 2013-01-31".to_string(),
        D::Timestamp(_, _) => "a timestamp like 2013-01-31T05:00:00".to_string(),
        other => format!("a value of type {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[&str]) -> DataType {
        values.iter().fold(Guess::Nothing, |g, v| g.widen(Guess::of(v))).data_type()
    }

    #[test]
    fn types_widen_and_never_fail() {
        let us = DataType::Timestamp(TimeUnit::Microsecond, None);
        let ns = DataType::Timestamp(TimeUnit::Nanosecond, None);
        for (values, expected) in [
            (&["1", "-2", "+3"][..], DataType::Int64),
            (&["1", "2.5"], DataType::Float64),
            (&["1e3", "-.5", "NaN", "inf"], DataType::Float64),
            (&["1", "x"], DataType::Utf8),
            (&["true", "False"], DataType::Boolean),
            (&["true", "1"], DataType::Utf8),
            (&["2013-01-01"], DataType::Date32),
            (&["2013-01-01", "2013-01-01T05:00:00Z"], us.clone()),
            (&["2013-01-01 05:00:00.25"], us),
            (&["2013-01-01T05:00:00.123456789"], ns),
            (&["2013-01-01", "5"], DataType::Utf8),
            (&["2013-13-45"], DataType::Utf8),
            (&["00501", "10001"], DataType::Utf8),
            (&["0", "0.5"], DataType::Float64),
            (&["99999999999999999999"], DataType::Utf8),
            (&["1-2", "1.2.3"], DataType::Utf8),
            (&[], DataType::Utf8),
        ] {
            assert_eq!(column(values), expected, "{values:?}");
        }
    }

    #[test]
    fn what_is_guessed_can_be_read() {
        for value in ["1", "-2.5", "true", "2013-01-01", "2013-01-01T05:00:00Z", "NaN", "x"] {
            assert!(fits(value, &Guess::of(value).data_type()), "{value}");
        }
        assert!(!fits("300", &DataType::Int8) && fits("127", &DataType::Int8));
        assert!(!fits("x", &DataType::Float64) && !fits("2013", &DataType::Boolean));
    }
}
