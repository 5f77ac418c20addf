//! Window expressions of DataFusion as what a device computes, or the reason why not.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::ScalarValue,
    logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits},
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
    /// A value of one row of the frame; the default where there is no such row.
    Pick {
        arg: Arc<dyn PhysicalExpr>,
        frame: Frame,
        pick: Pick,
        default: Option<ScalarValue>,
    },
    /// A sum, the argument cast to the result's type, or an extreme.
    Fold {
        arg: Arc<dyn PhysicalExpr>,
        frame: Frame,
        op: FrameOp,
    },
    /// Of an argument that is an `f64`.
    Average {
        arg: Arc<dyn PhysicalExpr>,
        frame: Frame,
    },
    Count {
        arg: Arc<dyn PhysicalExpr>,
        frame: Frame,
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
            Call::Average { .. } => Some((PhysType::F64, FrameOp::Sum)),
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

/// The type of a column of values that are computed with; decimals are 16 bytes.
fn stored(ty: &DataType) -> Option<PhysType> {
    match ty {
        DataType::Decimal128(..) => Some(PhysType::I128),
        ty if is_string(ty) => None,
        ty => phys_type(ty).ok(),
    }
}

fn no(reason: impl Into<String>) -> Unsupported {
    Unsupported::new(reason)
}

fn call(
    expr: &Arc<dyn WindowExpr>,
    schema: &arrow::datatypes::SchemaRef,
    ty: &DataType,
) -> Result<Call, Unsupported> {
    let frame = || frame(expr.get_window_frame());
    let any = expr.as_any();
    // These settings can be read in no other way; the tests of windows ask for each of them.
    let settings = format!("{expr:?}");
    if let Some(standard) = any.downcast_ref::<StandardWindowExpr>() {
        let function = standard.get_standard_func_expr().as_any();
        let Some(function) = function.downcast_ref::<WindowUDFExpr>() else {
            return Err(no("the function is not one of DataFusion's"));
        };
        let args = function.args();
        let refuse = |what: &str, why| if settings.contains(what) { Err(no(why)) } else { Ok(()) };
        refuse("ignore_nulls: true", "IGNORE NULLS is the CPU's")?;
        refuse("is_reversed: true", "it reads its rows in reverse order")?;
        let arg = || args.first().map(Arc::clone).ok_or_else(|| no("it has no argument"));
        let name = function.fun().name();
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
                let offset = if name == "lag" { offset } else { -offset };
                let rows = u32::try_from(offset.unsigned_abs()).unwrap_or(u32::MAX);
                let at = if offset > 0 { Bound::Before(rows) } else { Bound::After(rows) };
                let default = match args.get(2) {
                    None => None,
                    Some(default) => {
                        let default = literal(default).ok_or_else(|| no("its default varies"))?;
                        let cast = default.cast_to(ty).map_err(|e| no(e.to_string()))?;
                        (!cast.is_null()).then_some(cast)
                    }
                };
                let (frame, pick) = (Frame::row(at), Pick::FromFirst(0));
                Call::Pick { arg: arg()?, frame, pick, default }
            }
            "first_value" => {
                let pick = Pick::FromFirst(0);
                Call::Pick { arg: arg()?, frame: frame()?, pick, default: None }
            }
            "last_value" => {
                let pick = Pick::FromLast(0);
                Call::Pick { arg: arg()?, frame: frame()?, pick, default: None }
            }
            "nth_value" => {
                let n = integer(args.get(1))?.unwrap_or(0);
                let rows = u32::try_from(n.unsigned_abs()).unwrap_or(u32::MAX);
                let pick = match n {
                    0 => return Err(no("its row is not a number other than 0")),
                    1.. => Pick::FromFirst(rows - 1),
                    _ => Pick::FromLast(rows - 1),
                };
                Call::Pick { arg: arg()?, frame: frame()?, pick, default: None }
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
    if aggregate.is_distinct() || settings.contains("filter: Some(") {
        return Err(no("DISTINCT and FILTER are the CPU's"));
    }
    let args = aggregate.expressions();
    let [arg] = args.as_slice() else { return Err(no("it has not one argument")) };
    let (arg, frame) = (Arc::clone(arg), frame()?);
    let given = arg.data_type(schema).map_err(|e| no(e.to_string()))?;
    let numbers = |t: &DataType| {
        let decimal = matches!(t, DataType::Decimal128(..));
        decimal || matches!(t, DataType::Int64 | DataType::UInt64 | DataType::Float64)
    };
    match aggregate.fun().name() {
        "count" => Ok(Call::Count { arg, frame }),
        "sum" if numbers(ty) => Ok(Call::Fold { arg, frame, op: FrameOp::Sum }),
        "avg" if *ty == DataType::Float64 && given.is_numeric() => Ok(Call::Average { arg, frame }),
        name @ ("min" | "max") if given == *ty => match stored(ty) {
            None | Some(PhysType::Bool) => Err(no(format!("{name} of {ty} is the CPU's"))),
            Some(_) if name == "min" => Ok(Call::Fold { arg, frame, op: FrameOp::Min }),
            Some(_) => Ok(Call::Fold { arg, frame, op: FrameOp::Max }),
        },
        name => Err(no(format!("{name} of {given} has no device form over windows"))),
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

fn frame(frame: &WindowFrame) -> Result<Frame, Unsupported> {
    let bound = |bound: &WindowFrameBound| {
        let (rows, before) = match bound {
            WindowFrameBound::CurrentRow if frame.units == WindowFrameUnits::Rows => {
                return Ok(Bound::After(0));
            }
            WindowFrameBound::CurrentRow => return Ok(Bound::Peers),
            WindowFrameBound::Preceding(rows) => (rows, true),
            WindowFrameBound::Following(rows) => (rows, false),
        };
        if rows.is_null() {
            return Ok(Bound::Partition);
        }
        if frame.units != WindowFrameUnits::Rows {
            let units = frame.units;
            return Err(no(format!("{units} frames by a distance are the CPU's")));
        }
        match rows.cast_to(&DataType::UInt64) {
            Ok(ScalarValue::UInt64(Some(n))) => {
                let n = u32::try_from(n).unwrap_or(u32::MAX);
                Ok(if before { Bound::Before(n) } else { Bound::After(n) })
            }
            _ => Err(no(format!("{rows} rows of a frame"))),
        }
    };
    Ok(Frame { start: bound(&frame.start_bound)?, end: bound(&frame.end_bound)? })
}
