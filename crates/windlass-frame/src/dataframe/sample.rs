//! A random part of the rows that depends on nothing but the rows and a seed.
//!
//! Rows have no order that a query could rely on, so a row is chosen by its values: by the
//! hash of all of them, of the seed, and of the row's number among those that are equal to
//! it. Equal rows cannot be told apart, so the result is the same however the work was
//! divided.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, UInt64Array},
    datatypes::{DataType, UInt64Type},
    row::{RowConverter, SortField},
};
use datafusion::{
    common::Column,
    error::{DataFusionError, Result as EngineResult},
    functions_window::expr_fn::row_number,
    logical_expr::{
        ColumnarValue, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs,
        ScalarUDF, ScalarUDFImpl, Signature, Volatility, ident,
    },
};

use super::DataFrame;
use crate::error::{FrameError, Result};

const HASH: &str = "__sample_hash";
const NUMBER: &str = "__sample_number";

/// The plan of a sample.
pub(super) fn sample(frame: &DataFrame, fraction: f64, seed: u64) -> Result<LogicalPlan> {
    if !(0.0..=1.0).contains(&fraction) {
        return Err(FrameError::InvalidOption {
            option: "fraction".to_string(),
            expected: "a number from 0 to 1".to_string(),
            got: fraction.to_string(),
        });
    }
    let columns: Vec<Expr> = frame
        .logical_plan()
        .schema()
        .iter()
        .map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())))
        .collect();
    let hash = ScalarUDF::new_from_impl(RowHash { signature: any(), seed });
    // 2^64 times the fraction: the count of 64-bit numbers that mean "keep".
    let limit = (fraction * 2f64.powi(64)) as u128;
    let keep = ScalarUDF::new_from_impl(Keep { signature: any(), limit });
    let hashed = columns.iter().cloned().chain([hash.call(columns.clone()).alias(HASH)]);
    let number = row_number().partition_by(vec![ident(HASH)]).build()?.alias(NUMBER);
    let plan = LogicalPlanBuilder::from(frame.logical_plan().clone())
        .project(hashed)?
        .window(vec![number])?
        .filter(keep.call(vec![ident(HASH), ident(NUMBER)]))?
        .project(columns)?
        .build()?;
    Ok(plan)
}

fn any() -> Signature {
    Signature::variadic_any(Volatility::Immutable)
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", 2014).
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// FNV-1a over a row's bytes, begun with the seed.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let begin = 0xcbf2_9ce4_8422_2325 ^ mix(seed);
    let step = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
    mix(bytes.iter().fold(begin, step))
}

/// The hash of all arguments together.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RowHash {
    signature: Signature,
    seed: u64,
}

impl ScalarUDFImpl for RowHash {
    fn name(&self) -> &str {
        "row_hash"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::UInt64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let fields = arrays.iter().map(|a| SortField::new(a.data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        let rows = converter.convert_columns(&arrays)?;
        let hashes: UInt64Array = rows.iter().map(|r| hash(self.seed, r.as_ref())).collect();
        Ok(ColumnarValue::Array(Arc::new(hashes)))
    }
}

/// Whether the row of a hash and a number among its equals is kept.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Keep {
    signature: Signature,
    limit: u128,
}

impl ScalarUDFImpl for Keep {
    fn name(&self) -> &str {
        "is_sampled"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [hashes, numbers] = arrays.as_slice() else {
            return Err(DataFusionError::Internal("is_sampled takes two arguments".to_string()));
        };
        let (hashes, numbers) = (numbers_of(hashes)?, numbers_of(numbers)?);
        let kept: BooleanArray = hashes
            .values()
            .iter()
            .zip(numbers.values())
            .map(|(h, n)| Some(u128::from(mix(h ^ mix(*n))) < self.limit))
            .collect();
        Ok(ColumnarValue::Array(Arc::new(kept)))
    }
}

fn numbers_of(array: &ArrayRef) -> EngineResult<&UInt64Array> {
    array.as_primitive_opt::<UInt64Type>().ok_or_else(|| {
        DataFusionError::Internal(format!("a {} where a number was made", array.data_type()))
    })
}
