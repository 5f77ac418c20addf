//! Window expressions of DataFusion as what a device computes, or the reason why not.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::ScalarValue,
    physical_expr::{
        PhysicalSortExpr,
        expressions::Literal,
        window::{
            PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr, WindowExpr,
        },
    },
    physical_plan::{
        ExecutionPlan, InputOrderMode, PhysicalExpr,
        windows::{BoundedWindowAggExec, WindowAggExec, WindowUDFExpr},
    },
};
use windlass_kernels::{
    PhysType,
    window::{Bound, Frame, FrameOp, Pick},
};

use super::span::Span;
use crate::lower::{
    Unsupported,
    types::{is_string, phys_type},
};

/// What a window operator computes.
#[derive(Debug, Clone)]
pub struct WindowPlan {
    /// The keys of the partitions.
    pub(super) partition: Vec<Arc<dyn PhysicalExpr>>,
    /// The keys of the order in them.
    pub(super) order: Vec<PhysicalSortExpr>,
    /// One for each column of the result that the input has not.
    pub(super) calls: Vec<(Call, DataType)>,
}

/// One function.
#[derive(Debug, Clone)]
pub(super) enum Call {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    Ntile(u64),
    /// A value of one row of the frame, counting all rows or those where it is not null; the
    /// default where there is no such row.
    Pick {
        arg: Arc<dyn PhysicalExpr>,
        frame: Span,
        pick: Pick,
        ignore_nulls: bool,
        default: Option<ScalarValue>,
    },
    /// A sum, the argument cast to the result's type, or an extreme.
    Fold {
        arg: Arc<dyn PhysicalExpr>,
        frame: Span,
        op: FrameOp,
    },
    /// Of an argument that is an `f64` or a decimal.
    Average {
        arg: Arc<dyn PhysicalExpr>,
        frame: Span,
    },
    /// Of an argument that is an `f64`.
    Variance {
        arg: Arc<dyn PhysicalExpr>,
        frame: Span,
        /// Divided by one less than the number of values.
        sample: bool,
        /// The standard deviation.
        root: bool,
    },
    Count {
        arg: Arc<dyn PhysicalExpr>,
        frame: Span,
    },
}

impl WindowPlan {
    /// The plan of a window operator; `None` when `plan` is none.
    ///
    /// # Errors
    /// [`Unsupported`] with the reason.
    pub fn lower(plan: &dyn ExecutionPlan) -> Result<Option<Self>, Unsupported> {
        let exprs = if let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() {
            if window.input_order_mode != InputOrderMode::Sorted {
                return Err(Unsupported::new("its input is not sorted by the partitions' keys"));
            }
            window.window_expr()
        } else if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
            window.window_expr()
        } else {
            return Ok(None);
        };
        let Some(first) = exprs.first() else {
            return Err(Unsupported::new("it has no functions"));
        };
        let (partition, order) = (first.partition_by().to_vec(), first.order_by().to_vec());
        let schema = plan.children()[0].schema();
        let keys = partition.iter().chain(order.iter().map(|o| &o.expr));
        for key in keys {
            let ty = key.data_type(&schema).map_err(|e| Unsupported::new(e.to_string()))?;
            phys_type(&ty)
                .map_err(|e| Unsupported::new(format!("window key {key}: {}", e.reason)))?;
        }
        let calls = exprs.iter().map(|expr| {
            // One boundary for all: operators hold functions of one window, mostly.
            if expr.partition_by() != partition || expr.order_by() != order {
                return Err(Unsupported::new("its functions are over several windows"));
            }
            let field = expr.field().map_err(|e| Unsupported::new(e.to_string()))?;
            let ty = field.data_type().clone();
            let call = call(expr, &schema, &ty)
                .map_err(|e| Unsupported::new(format!("{}: {}", expr.name(), e.reason)))?;
            Ok((call, ty))
        });
        let calls = calls.collect::<Result<_, Unsupported>>()?;
        Ok(Some(Self { partition, order, calls }))
    }

    /// The types that are summed or compared over frames, with the operations.
    pub(crate) fn folds(&self) -> impl Iterator<Item = (PhysType, FrameOp)> {
        self.calls.iter().filter_map(|(call, ty)| match call {
            Call::Fold { op, .. } => Some((stored(ty)?, *op)),
            Call::Average { .. } => Some((stored(ty)?, FrameOp::Sum)),
            Call::Variance { .. } => Some((PhysType::F64, FrameOp::Spread)),
            _ => None,
        })
    }

    /// The keys, the partitions' first.
    pub(crate) fn keys(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        let order = self.order.iter().map(|o| &o.expr);
        self.partition.iter().chain(order).map(Arc::clone).collect()
    }

    /// How many functions there are.
    pub(crate) fn functions(&self) -> usize {
        self.calls.len()
    }
}

/// The type of a column of values that are computed with: decimals are 16 bytes, booleans numbers.
fn stored(ty: &DataType) -> Option<PhysType> {
    match ty {
        DataType::Decimal128(..) => Some(PhysType::I128),
        DataType::Boolean => Some(PhysType::U8),
        ty if is_string(ty) => None,
        ty => phys_type(ty).ok(),
    }
}

/// The rows of the partition before a row, and behind it.
const BEFORE: Frame = Frame { start: Bound::Partition, end: Bound::Before(1) };
const BEHIND: Frame = Frame { start: Bound::After(1), end: Bound::Partition };

fn no(reason: impl Into<String>) -> Unsupported {
    Unsupported::new(reason)
}

fn call(
    expr: &Arc<dyn WindowExpr>,
    schema: &arrow::datatypes::SchemaRef,
    ty: &DataType,
) -> Result<Call, Unsupported> {
    let frame = || Span::lower(expr.get_window_frame(), expr.order_by(), schema);
    let any = expr.as_any();
    if let Some(standard) = any.downcast_ref::<StandardWindowExpr>() {
        let function = standard.get_standard_func_expr().as_any();
        let Some(function) = function.downcast_ref::<WindowUDFExpr>() else {
            return Err(no("the function is not one of DataFusion's"));
        };
        let args = function.args();
        let name = function.fun().name();
        let picks = matches!(name, "lag" | "lead" | "first_value" | "last_value" | "nth_value");
        let (reversed, ignore_nulls) = settings(function)?;
        if !picks && (reversed || ignore_nulls) {
            return Err(no("it ignores nulls, or reads its rows in reverse order"));
        }
        let arg = || args.first().map(Arc::clone).ok_or_else(|| no("it has no argument"));
        return Ok(match name {
            "row_number" => Call::RowNumber,
            "rank" => Call::Rank,
            "dense_rank" => Call::DenseRank,
            "percent_rank" => Call::PercentRank,
            "cume_dist" => Call::CumeDist,
            "ntile" => match integer(args.first())? {
                Some(n) if n > 0 => Call::Ntile(n as u64),
                _ => return Err(no("its argument is not a positive number")),
            },
            "lag" | "lead" => {
                let offset = integer(args.get(1))?.unwrap_or(1);
                let back = (name == "lag") != reversed;
                let offset = if back { offset } else { -offset };
                let rows = u32::try_from(offset.unsigned_abs()).unwrap_or(u32::MAX);
                let default = match args.get(2) {
                    None => None,
                    Some(default) => {
                        let default = literal(default).ok_or_else(|| no("its default varies"))?;
                        let cast = default.cast_to(ty).map_err(|e| no(e.to_string()))?;
                        (!cast.is_null()).then_some(cast)
                    }
                };
                let (frame, pick) = match (ignore_nulls, offset) {
                    (true, 0) => return Err(no("IGNORE NULLS of the row itself is the CPU's")),
                    (true, 1..) => (BEFORE, Pick::FromLast(rows - 1)),
                    (true, _) => (BEHIND, Pick::FromFirst(rows - 1)),
                    (false, 1..) => (Frame::row(Bound::Before(rows)), Pick::FromFirst(0)),
                    (false, _) => (Frame::row(Bound::After(rows)), Pick::FromFirst(0)),
                };
                Call::Pick { arg: arg()?, frame: frame.into(), pick, ignore_nulls, default }
            }
            "first_value" => {
                let pick = Pick::FromFirst(0);
                Call::Pick { arg: arg()?, frame: frame()?, pick, ignore_nulls, default: None }
            }
            "last_value" => {
                let pick = Pick::FromLast(0);
                Call::Pick { arg: arg()?, frame: frame()?, pick, ignore_nulls, default: None }
            }
            "nth_value" => {
                let n = integer(args.get(1))?.unwrap_or(0);
                let n = if reversed { -n } else { n };
                let rows = u32::try_from(n.unsigned_abs()).unwrap_or(u32::MAX);
                let pick = match n {
                    0 => return Err(no("its row is not a number other than 0")),
                    1.. => Pick::FromFirst(rows - 1),
                    _ => Pick::FromLast(rows - 1),
                };
                Call::Pick { arg: arg()?, frame: frame()?, pick, ignore_nulls, default: None }
            }
            _ => return Err(no("the function has no device form")),
        });
    }
    let aggregate = if let Some(plain) = any.downcast_ref::<PlainAggregateWindowExpr>() {
        plain.get_aggregate_expr()
    } else if let Some(sliding) = any.downcast_ref::<SlidingAggregateWindowExpr>() {
        sliding.get_aggregate_expr()
    } else {
        return Err(no("the function is not one of DataFusion's"));
    };
    let name = aggregate.fun().name();
    if aggregate.is_distinct() {
        return Err(no(format!("{name} of DISTINCT values is the CPU's")));
    }
    // Where an aggregate passes over nulls its condition is part of the argument.
    // It can be read in no other way; a text that looks the same is refused too.
    if format!("{expr:?}").contains("filter: Some(") {
        return Err(no(format!("FILTER of {name} is the CPU's")));
    }
    let args = aggregate.expressions();
    let [arg] = args.as_slice() else { return Err(no("it has not one argument")) };
    let (arg, frame) = (Arc::clone(arg), frame()?);
    let given = arg.data_type(schema).map_err(|e| no(e.to_string()))?;
    let numbers = |t: &DataType| {
        let decimal = matches!(t, DataType::Decimal128(..));
        decimal || matches!(t, DataType::Int64 | DataType::UInt64 | DataType::Float64)
    };
    let extreme = |op| match stored(ty) {
        Some(_) if given == *ty => {
            Ok(Call::Fold { arg: Arc::clone(&arg), frame: frame.clone(), op })
        }
        _ => Err(no(format!("{name} of {given} over windows is the CPU's"))),
    };
    let variance = |sample, root| match *ty == DataType::Float64 && given.is_numeric() {
        true => Ok(Call::Variance { arg: Arc::clone(&arg), frame: frame.clone(), sample, root }),
        false => Err(no(format!("{name} of {given} over windows is the CPU's"))),
    };
    match name {
        "count" => Ok(Call::Count { arg, frame }),
        "sum" if numbers(ty) => Ok(Call::Fold { arg, frame, op: FrameOp::Sum }),
        "avg" if *ty == DataType::Float64 && given.is_numeric() => Ok(Call::Average { arg, frame }),
        "avg" if matches!((&given, ty), (DataType::Decimal128(..), DataType::Decimal128(..))) => {
            Ok(Call::Average { arg, frame })
        }
        "min" | "bool_and" => extreme(FrameOp::Min),
        "max" | "bool_or" => extreme(FrameOp::Max),
        "var" => variance(true, false),
        "var_pop" => variance(false, false),
        "stddev" => variance(true, true),
        "stddev_pop" => variance(false, true),
        name => Err(no(format!("{name} of {given} has no device form over windows"))),
    }
}

/// Whether a function reads its rows in reverse order, and whether it ignores nulls: its last two
/// fields, which can be read in no other way.
fn settings(function: &WindowUDFExpr) -> Result<(bool, bool), Unsupported> {
    let text = format!("{function:?}");
    match text.rsplit_once(", is_reversed: ").map(|(_, settings)| settings) {
        Some("false, ignore_nulls: false }") => Ok((false, false)),
        Some("false, ignore_nulls: true }") => Ok((false, true)),
        Some("true, ignore_nulls: false }") => Ok((true, false)),
        Some("true, ignore_nulls: true }") => Ok((true, true)),
        _ => Err(no("its settings cannot be read")),
    }
}

fn literal(expr: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    expr.downcast_ref::<Literal>().map(Literal::value)
}

/// A number that is written in the query; `None` where it is left out or null.
fn integer(expr: Option<&Arc<dyn PhysicalExpr>>) -> Result<Option<i64>, Unsupported> {
    let Some(expr) = expr else { return Ok(None) };
    let varies = || no(format!("{expr} is not a number written in the query"));
    let value = literal(expr).ok_or_else(varies)?;
    match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(n)) if n != Some(i64::MIN) => Ok(n),
        _ => Err(varies()),
    }
}
