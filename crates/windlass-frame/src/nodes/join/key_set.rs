//! The keys of a build side as a set that a scan of the probe side tests its rows against.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch},
    buffer::BooleanBuffer,
    compute::cast,
    datatypes::{DataType, Int64Type, Schema},
};
use datafusion::{
    error::Result, logical_expr::ColumnarValue, parquet::bloom_filter::Sbbf,
    physical_plan::PhysicalExpr,
};

/// Widest range of keys with a bit for each: 16 MiB, below the last-level cache of a server.
const WIDEST: i128 = 1 << 27;

/// Widest range of keys with a bit for each, however few there are: 4 MiB, about a second-level
/// cache. A bit takes a nanosecond to test, a Bloom filter ten (TPC-H question 5).
const NARROW: i128 = 1 << 25;

/// Bits of a wider range for each key beyond which a Bloom filter, at about 10 bits a key, is
/// the better use of a cache: a guess.
const SPARSE: i128 = 64;

/// Share of other keys that a Bloom filter takes for its own: a guess.
const MISTAKEN: f64 = 0.02;

/// Share of its range above which a set tells little that its bounds do not: a guess.
const DENSE: f64 = 0.5;

/// A set of keys. It has every key that went in; others it may take for one of them.
pub(super) enum KeySet {
    /// A bit for each integer from `min` on.
    Bits { min: i64, bits: BooleanBuffer, keys: usize },
    /// A split block Bloom filter (Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient
    /// Bloom Filters", 2007) over integers as 64 bits, or over the bytes of texts.
    Bloom { filter: Box<Sbbf>, keys: usize },
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bits { min, bits, keys } => {
                write!(f, "{keys} keys in {} bits from {min}", bits.len())
            }
            Self::Bloom { keys, .. } => write!(f, "{keys} keys in a Bloom filter"),
        }
    }
}

/// Integers, dates and times as 64-bit integers, which differ as they do; `None` for others.
fn integers(array: &ArrayRef) -> Option<Int64Array> {
    let numbers = match array.data_type() {
        DataType::Date32 => &cast(array, &DataType::Int32).ok()?,
        DataType::Date64 | DataType::Timestamp(..) => array,
        // Its upper half does not fit.
        DataType::UInt64 => return None,
        ty if ty.is_integer() => array,
        _ => return None,
    };
    Some(cast(numbers, &DataType::Int64).ok()?.as_primitive::<Int64Type>().clone())
}

/// Calls `with` for each text, the bytes of null ones included; whether these are texts.
fn texts(array: &ArrayRef, mut with: impl FnMut(usize, &[u8])) -> bool {
    let rows = 0..array.len();
    match array.data_type() {
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            rows.for_each(|i| with(i, array.value(i).as_bytes()));
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>();
            rows.for_each(|i| with(i, array.value(i).as_bytes()));
        }
        DataType::Utf8View => {
            let array = array.as_string_view();
            rows.for_each(|i| with(i, array.value(i).as_bytes()));
        }
        _ => return false,
    }
    true
}

impl KeySet {
    /// The set of a column's values, nulls apart; `None` for types that it does not hold, and
    /// where the keys fill their range so that their bounds tell as much.
    pub(super) fn of(keys: &ArrayRef) -> Option<Self> {
        let rows = keys.len() - keys.null_count();
        let bloom = || Sbbf::new_with_ndv_fpp(rows.max(1) as u64, MISTAKEN).ok().map(Box::new);
        let Some(numbers) = integers(keys) else {
            let mut filter = bloom()?;
            let texts = texts(keys, |i, text| {
                if keys.is_valid(i) {
                    filter.insert(text);
                }
            });
            return texts.then_some(Self::Bloom { filter, keys: rows });
        };
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        numbers.iter().flatten().for_each(|v| (min, max) = (min.min(v), max.max(v)));
        if min > max {
            return None;
        }
        let span = i128::from(max) - i128::from(min) + 1;
        if span > WIDEST || span > NARROW.max(SPARSE * rows as i128) {
            let mut filter = bloom()?;
            numbers.iter().flatten().for_each(|v| filter.insert(&v));
            return Some(Self::Bloom { filter, keys: rows });
        }
        let mut bits = vec![0u8; (span as usize).div_ceil(8)];
        numbers.iter().flatten().for_each(|v| {
            let at = v.wrapping_sub(min) as usize;
            bits[at / 8] |= 1 << (at % 8);
        });
        let bits = BooleanBuffer::new(bits.into(), 0, span as usize);
        let keys = bits.count_set_bits();
        (keys as f64 <= DENSE * span as f64).then_some(Self::Bits { min, bits, keys })
    }

    /// Which values may be keys, null where the value is; `None` for a type other than that of
    /// the keys.
    fn test(&self, values: &ArrayRef) -> Option<BooleanArray> {
        let found = match (self, integers(values)) {
            (Self::Bits { min, bits, .. }, Some(numbers)) => {
                let (values, len, bytes) = (numbers.values(), bits.len() as u64, bits.values());
                BooleanBuffer::collect_bool(values.len(), |i| {
                    let at = values[i].wrapping_sub(*min) as u64;
                    at < len && bytes[at as usize / 8] >> (at % 8) & 1 == 1
                })
            }
            (Self::Bloom { filter, .. }, Some(numbers)) => {
                let values = numbers.values();
                BooleanBuffer::collect_bool(values.len(), |i| filter.check(&values[i]))
            }
            (Self::Bloom { filter, .. }, None) => {
                let mut found = Vec::with_capacity(values.len());
                if !texts(values, |_, text| found.push(filter.check(text))) {
                    return None;
                }
                BooleanBuffer::from(found)
            }
            (Self::Bits { .. }, None) => return None,
        };
        Some(BooleanArray::new(found, values.nulls().cloned()))
    }
}

/// Whether a value may be among the keys of a build side. It takes some that are not, so it
/// only saves reading rows; the join decides.
#[derive(Debug)]
pub(super) struct MayBeKey {
    value: Arc<dyn PhysicalExpr>,
    set: Arc<KeySet>,
}

impl MayBeKey {
    pub(super) fn new(value: Arc<dyn PhysicalExpr>, set: KeySet) -> Self {
        Self { value, set: Arc::new(set) }
    }
}

impl PartialEq for MayBeKey {
    fn eq(&self, other: &Self) -> bool {
        self.value.eq(&other.value) && Arc::ptr_eq(&self.set, &other.set)
    }
}

impl Eq for MayBeKey {}

impl Hash for MayBeKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
        Arc::as_ptr(&self.set).hash(state);
    }
}

impl fmt::Display for MayBeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} among {:?}", self.value, self.set)
    }
}

impl PhysicalExpr for MayBeKey {
    fn data_type(&self, _input_schema: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, input_schema: &Schema) -> Result<bool> {
        self.value.nullable(input_schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let values = self.value.evaluate(batch)?.into_array(batch.num_rows())?;
        // A type that the set does not know: every row stays.
        let found = self.set.test(&values);
        let found = found.unwrap_or_else(|| BooleanArray::from(vec![true; values.len()]));
        Ok(ColumnarValue::Array(Arc::new(found)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.value]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let value = children.pop().unwrap_or_else(|| Arc::clone(&self.value));
        Ok(Arc::new(Self { value, set: Arc::clone(&self.set) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Int32Array, StringArray, StringViewArray, UInt64Array};

    use super::*;

    fn found(set: &KeySet, values: ArrayRef) -> Vec<Option<bool>> {
        set.test(&values).expect("a type of the set").iter().collect()
    }

    #[test]
    fn bits_hold_exactly_the_keys() {
        let keys: ArrayRef = Arc::new(Int32Array::from(vec![Some(-3), None, Some(40), Some(7)]));
        let set = KeySet::of(&keys).expect("a set");
        assert!(matches!(set, KeySet::Bits { keys: 3, .. }), "{set:?}");
        let values: ArrayRef = Arc::new(Int32Array::from(vec![
            Some(-3),
            Some(-4),
            None,
            Some(40),
            Some(41),
            Some(8),
            Some(i32::MIN),
            Some(i32::MAX),
        ]));
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(found(&set, values), [yes, no, None, yes, no, no, no, no]);
        let values: ArrayRef = Arc::new(Int64Array::from(vec![7, i64::MIN, i64::MAX]));
        assert_eq!(found(&set, values), [yes, no, no]);
    }

    #[test]
    fn keys_that_fill_their_range_have_no_set() {
        let dense: ArrayRef = Arc::new(Int32Array::from_iter_values(5..500));
        assert!(KeySet::of(&dense).is_none());
        let nulls: ArrayRef = Arc::new(Int32Array::from(vec![None, None]));
        assert!(KeySet::of(&nulls).is_none());
        let other: ArrayRef = Arc::new(UInt64Array::from(vec![1]));
        assert!(KeySet::of(&other).is_none());
    }

    #[test]
    fn far_apart_keys_and_texts_take_all_of_theirs_and_few_others() {
        let keys = Int64Array::from_iter_values((0..5_000).map(|i| i * 1_000_003 - 77));
        let keys: ArrayRef = Arc::new(keys);
        let set = KeySet::of(&keys).expect("a set");
        assert!(matches!(set, KeySet::Bloom { .. }));
        assert!(found(&set, Arc::clone(&keys)).iter().all(|f| *f == Some(true)));
        let others: ArrayRef =
            Arc::new(Int64Array::from_iter_values((0..5_000).map(|i| i * 1_000_003 + 5)));
        let taken = found(&set, others).iter().filter(|f| **f == Some(true)).count();
        assert!(taken < 500, "{taken} of 5,000 others");

        let name = |i: i32| format!("a name {i}");
        let keys: ArrayRef = Arc::new(StringArray::from_iter_values((0..2_000).map(name)));
        let set = KeySet::of(&keys).expect("a set");
        let views: ArrayRef =
            Arc::new(StringViewArray::from_iter((0..2_000).map(|i| (i != 3).then(|| name(i)))));
        let got = found(&set, views);
        assert!(got.iter().enumerate().all(|(i, f)| *f == (i != 3).then_some(true)));
        let others: ArrayRef =
            Arc::new(StringViewArray::from_iter_values((2_000..4_000).map(name)));
        let taken = found(&set, others).iter().filter(|f| **f == Some(true)).count();
        assert!(taken < 200, "{taken} of 2,000 others");
    }

    #[test]
    fn days_are_integers_and_another_type_keeps_every_row() {
        let keys: ArrayRef = Arc::new(Date32Array::from(vec![10, 9_000]));
        let set = KeySet::of(&keys).expect("a set");
        let values: ArrayRef = Arc::new(Date32Array::from(vec![10, 11, 9_000]));
        assert_eq!(found(&set, values), [Some(true), Some(false), Some(true)]);
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        assert!(set.test(&texts).is_none());
    }
}
