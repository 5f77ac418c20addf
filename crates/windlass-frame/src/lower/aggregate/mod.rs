//! Aggregations: calls of the device's accumulators, and their states and final values as
//! DataFusion has them.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, SchemaRef},
};
use datafusion::{
    physical_expr::{aggregate::AggregateFunctionExpr, expressions::Literal},
    physical_plan::{
        PhysicalExpr,
        aggregates::{AggregateExec, AggregateMode},
    },
};
use windlass_kernels::{
    KernelError, PhysType, Result as KernelResult,
    aggregate::{Accumulator, AggregateCall, BitOp, GroupByPlan, GroupByResult, Share},
    ir::ValueId,
};

use super::{
    DictionaryId, HostTables, InputPlan, Lowering, OutputColumn, Result, Unsupported,
    types::is_string,
};
use crate::batch::{DictionarySet, logical};

mod finish;
mod pairs;
mod pick;

pub(crate) use finish::decimal_average;
use pairs::Regression;

/// An aggregation with the filters and projections below it as one program.
#[derive(Debug, Clone)]
pub struct AggregatePlan {
    /// What the device runs.
    pub kernel: GroupByPlan,
    /// What it reads.
    pub input: InputPlan,
    /// What the host keeps for it.
    pub tables: Arc<HostTables>,
    /// What the keys are.
    pub keys: Vec<OutputColumn>,
    aggregates: Vec<Aggregate>,
}

/// One aggregate of the plan: the calls that accumulate it, and how it ends.
#[derive(Debug, Clone, PartialEq)]
struct Aggregate {
    name: String,
    kind: Kind,
    /// Indices of its calls, in the order of its states.
    calls: Vec<usize>,
    /// The type of its value.
    ty: DataType,
    /// The dictionary of its value's codes, for strings.
    dictionary: Option<DictionaryId>,
}

/// How an aggregate's states become its value.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// The only state is the value.
    State,
    /// Count and sum of floats.
    Average,
    /// Count and sum of decimals with this scale.
    DecimalAverage { scale: i8 },
    /// Count, mean and sum of squared deviations.
    Variance { population: bool, root: bool },
    /// Moments of pairs.
    Covariance { population: bool },
    /// Moments of pairs.
    Correlation,
    /// Moments of pairs: the dependent variable, then the independent one.
    Regression(Regression),
    /// Count of values and the two in the middle.
    Median,
    /// Count of values and the two around a share.
    Percentile(Share),
    /// A value that needs all rows: its partial states are lists.
    Whole,
    /// The argument of one row: its partial states hold that row's place in the order.
    Picked,
}

/// Lowers an aggregation at the end of a chain.
pub(super) fn lower_aggregate(mut chain: Lowering, exec: &AggregateExec) -> Result<AggregatePlan> {
    match exec.mode() {
        AggregateMode::Partial | AggregateMode::Single | AggregateMode::SinglePartitioned => {}
        mode => return Err(Unsupported::new(format!("aggregation of mode {mode:?}"))),
    }
    let group = exec.group_expr();
    if group.has_grouping_set() || !group.is_single() {
        return Err(Unsupported::new("GROUPING SETS, CUBE and ROLLUP have no device form"));
    }
    if exec.limit_options().is_some() {
        return Err(Unsupported::new("a group-by that stops at a limit has no device form"));
    }
    let (mut keys, mut outputs) = (Vec::new(), Vec::new());
    for (expr, name) in group.expr() {
        let lowered = chain
            .lower(expr)
            .map_err(|e| Unsupported::new(format!("group key {name}: {}", e.reason)))?;
        keys.push(lowered.value);
        outputs.push(chain.output(&lowered));
    }
    let mut calls = Calls::default();
    let mut aggregates = Vec::new();
    for (aggregate, filter) in exec.aggr_expr().iter().zip(exec.filter_expr()) {
        let filter = filter.as_ref().map(|f| chain.lower_bool(f)).transpose()?;
        let lowered = lower_one(&mut chain, aggregate, filter, &mut calls)
            .map_err(|e| Unsupported::new(format!("{}: {}", aggregate.name(), e.reason)))?;
        aggregates.push(lowered);
    }
    let (builder, filter) = chain.into_parts();
    let (program, input, tables) = builder.finish();
    program.check()?;
    let kernel = GroupByPlan { program, filter, keys, calls: calls.0 };
    Ok(AggregatePlan { kernel, input, tables, keys: outputs, aggregates })
}

/// The calls so far; equal ones are shared.
#[derive(Default)]
struct Calls(Vec<AggregateCall>);

impl Calls {
    fn add(&mut self, call: AggregateCall) -> usize {
        self.0.iter().position(|c| *c == call).unwrap_or_else(|| {
            self.0.push(call);
            self.0.len() - 1
        })
    }
}

fn lower_one(
    chain: &mut Lowering,
    aggregate: &AggregateFunctionExpr,
    filter: Option<ValueId>,
    calls: &mut Calls,
) -> Result<Aggregate> {
    let function = aggregate.fun().name();
    let distinct = aggregate.is_distinct();
    if distinct && function != "count" {
        return Err(Unsupported::new(format!("{function} of DISTINCT has no device form")));
    }
    if matches!(function, "first_value" | "last_value") {
        return pick::lower(chain, aggregate, filter, calls);
    }
    let percentile = function == "percentile_cont";
    if !percentile && !aggregate.order_bys().is_empty() {
        return Err(Unsupported::new("ORDER BY in an aggregate has no device form"));
    }
    let ty = aggregate.field().data_type().clone();
    let name = aggregate.name().to_string();
    let args = aggregate.expressions();
    let done = |kind, calls| {
        let (name, ty) = (name.clone(), ty.clone());
        Ok(Aggregate { name, kind, calls, ty, dictionary: None })
    };
    if let [x, y] = &args[..]
        && let Some(kind) = pairs::kind(function)
    {
        let (x, y) = (chain.lower_where(x, filter)?, chain.lower_where(y, filter)?);
        if (&x.ty, &y.ty) != (&DataType::Float64, &DataType::Float64) {
            let types = format!("{function} of {} and {} has no device form", x.ty, y.ty);
            return Err(Unsupported::new(types));
        }
        let accumulator = Accumulator::CoMoments { other: y.value };
        let call = AggregateCall { accumulator, argument: Some(x.value), filter };
        return done(kind, vec![calls.add(call)]);
    }
    let (args, share) = match (percentile, &args[..]) {
        (true, [values, share]) => {
            let share = pairs::share(share, aggregate.order_bys())?;
            (vec![Arc::clone(values)], Some(share))
        }
        _ => (args.clone(), None),
    };
    let [argument] = &args[..] else {
        return Err(Unsupported::new(format!("{function} of {} arguments", args.len())));
    };
    if function == "count" && is_constant(argument) && !distinct {
        let call = AggregateCall { accumulator: Accumulator::CountRows, argument: None, filter };
        return done(Kind::State, vec![calls.add(call)]);
    }
    let a = chain.lower_where(argument, filter)?;
    let phys = chain.builder().program.ty(a.value);
    let refuse = || Err(Unsupported::new(format!("{function} of {} has no device form", a.ty)));
    let mut call =
        |accumulator| calls.add(AggregateCall { accumulator, argument: Some(a.value), filter });
    let decimal = matches!(a.ty, DataType::Decimal128(..));
    match function {
        "count" if distinct => {
            let at = call(Accumulator::Distinct);
            done(Kind::Whole, vec![at])
        }
        "median" if a.ty == ty && (phys.is_float() || decimal) => {
            let at = call(Accumulator::Quantile(Share::HALF));
            done(Kind::Median, vec![at])
        }
        "percentile_cont" if a.ty == ty && phys.is_float() => {
            let Some(share) = share else { return refuse() };
            let at = call(Accumulator::Quantile(share));
            done(Kind::Percentile(share), vec![at])
        }
        "bit_and" | "bit_or" | "bit_xor" if a.ty == ty && a.ty.is_integer() => {
            let op = match function {
                "bit_and" => BitOp::And,
                "bit_or" => BitOp::Or,
                _ => BitOp::Xor,
            };
            let at = call(Accumulator::Bits(op));
            done(Kind::State, vec![at])
        }
        "count" => {
            let at = call(Accumulator::Count);
            done(Kind::State, vec![at])
        }
        "sum" => match phys {
            PhysType::I64 | PhysType::U64 | PhysType::I128 | PhysType::F64 => {
                let at = call(Accumulator::Sum { wide: decimal && phys == PhysType::I64 });
                done(Kind::State, vec![at])
            }
            _ => refuse(),
        },
        "min" | "max" if is_string(&a.ty) => {
            Err(Unsupported::new(format!("{function} of strings: codes are not in value order")))
        }
        "min" | "max" if a.ty == ty => {
            let accumulator = if function == "min" { Accumulator::Min } else { Accumulator::Max };
            let at = call(accumulator);
            done(Kind::State, vec![at])
        }
        "bool_and" | "bool_or" if a.ty == DataType::Boolean => {
            let all = function == "bool_and";
            let at = call(if all { Accumulator::Min } else { Accumulator::Max });
            done(Kind::State, vec![at])
        }
        "avg" => match &a.ty {
            DataType::Float64 => {
                let states = vec![call(Accumulator::Count), call(Accumulator::Sum { wide: false })];
                done(Kind::Average, states)
            }
            // A sum that may pass 128 bits is kept in 256 there.
            DataType::Decimal128(_, scale) if sums_in_128_bits(aggregate) => {
                let sum = Accumulator::Sum { wide: phys == PhysType::I64 };
                let states = vec![call(Accumulator::Count), call(sum)];
                done(Kind::DecimalAverage { scale: *scale }, states)
            }
            _ => refuse(),
        },
        "var" | "var_pop" | "stddev" | "stddev_pop" if a.ty == DataType::Float64 => {
            let at = call(Accumulator::Moments);
            let kind = Kind::Variance {
                population: function.ends_with("_pop"),
                root: function.starts_with("stddev"),
            };
            done(kind, vec![at])
        }
        _ => refuse(),
    }
}

/// Whether the sum of an average's states is a 128-bit decimal.
fn sums_in_128_bits(aggregate: &AggregateFunctionExpr) -> bool {
    let fields = aggregate.state_fields().unwrap_or_default();
    fields.get(1).is_some_and(|f| matches!(f.data_type(), DataType::Decimal128(..)))
}

/// Whether an expression is a constant that is not null: COUNT(1) counts rows.
fn is_constant(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Literal>().is_some_and(|l| !l.value().is_null())
}

fn invalid(expected: impl Into<String>, got: impl Into<String>) -> KernelError {
    KernelError::Invalid {
        operation: "aggregate result",
        expected: expected.into(),
        got: got.into(),
    }
}

impl AggregatePlan {
    /// Why it gives no partial states: the first aggregate whose states are lists of values or
    /// places in an order.
    pub fn whole_only(&self) -> Option<Unsupported> {
        let reason = |a: &Aggregate| match a.kind {
            Kind::Whole | Kind::Median | Kind::Percentile(_) => Some("are lists of values"),
            Kind::Picked => Some("hold a row's place in the order"),
            _ => None,
        };
        let (name, what) = self.aggregates.iter().find_map(|a| Some((&a.name, reason(a)?)))?;
        let stay = "which stays where the rows are";
        Some(Unsupported::new(format!("{name}: its partial states {what}, {stay}")))
    }

    /// The groups with their partial states, as an `AggregateExec` of mode Partial gives
    /// them: `schema` is that node's.
    ///
    /// # Errors
    /// `Invalid` when the result is not this plan's, or [`AggregatePlan::whole_only`] has a
    /// reason.
    pub fn partial(
        &self,
        result: &GroupByResult,
        dictionaries: &DictionarySet,
        schema: &SchemaRef,
    ) -> KernelResult<RecordBatch> {
        self.check(result)?;
        if let Some(reason) = self.whole_only() {
            return Err(invalid("aggregates with states of fixed size", reason.reason));
        }
        let mut states = Vec::new();
        for a in &self.aggregates {
            let mut own: Vec<ArrayRef> =
                a.calls.iter().flat_map(|c| result.states[*c].iter().cloned()).collect();
            if matches!(a.kind, Kind::Average | Kind::DecimalAverage { .. }) {
                // A count in the state marks the group as having a value.
                own[0] = finish::null_where_zero(&own[0])?;
            }
            states.extend(pairs::states(a.kind, own, !self.keys.is_empty())?);
        }
        let states = states.into_iter().map(|s| (s, None)).collect();
        self.batch(result, states, dictionaries, schema)
    }

    /// The groups with their final values, as an `AggregateExec` of mode Single, Final or
    /// FinalPartitioned gives them: `schema` is that node's.
    ///
    /// # Errors
    /// `Invalid` when the result is not this plan's; `Overflow` where DataFusion raises it.
    pub fn finals(
        &self,
        result: &GroupByResult,
        dictionaries: &DictionarySet,
        schema: &SchemaRef,
    ) -> KernelResult<RecordBatch> {
        self.check(result)?;
        let values = self.aggregates.iter().map(|a| {
            let states: Vec<&ArrayRef> = a.calls.iter().flat_map(|c| &result.states[*c]).collect();
            Ok((finish::value(a, &states)?, a.dictionary))
        });
        let values = values.collect::<KernelResult<Vec<_>>>()?;
        self.batch(result, values, dictionaries, schema)
    }

    fn check(&self, result: &GroupByResult) -> KernelResult<()> {
        let states = result.states.len() == self.kernel.calls.len();
        let lengths = result.keys.iter().chain(result.states.iter().flatten());
        if !states || result.keys.len() != self.keys.len() {
            return Err(invalid("the keys and states of the plan", "another number of them"));
        }
        match lengths.map(|a| a.len()).find(|n| *n != result.groups) {
            Some(n) => Err(invalid(format!("{} groups", result.groups), n.to_string())),
            None => Ok(()),
        }
    }

    fn batch(
        &self,
        result: &GroupByResult,
        values: Vec<(ArrayRef, Option<DictionaryId>)>,
        dictionaries: &DictionarySet,
        schema: &SchemaRef,
    ) -> KernelResult<RecordBatch> {
        if schema.fields().len() != self.keys.len() + values.len() {
            let got = self.keys.len() + values.len();
            return Err(invalid(format!("{} columns", schema.fields().len()), got.to_string()));
        }
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (key, output) in result.keys.iter().zip(&self.keys) {
            columns.push(logical(Arc::clone(key), output, dictionaries)?);
        }
        for ((value, dictionary), field) in
            values.into_iter().zip(&schema.fields()[self.keys.len()..])
        {
            let data_type = field.data_type().clone();
            let output = OutputColumn { data_type, ty: PhysType::I64, dictionary };
            columns.push(logical(value, &output, dictionaries)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(result.groups));
        RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
            .map_err(|e| invalid("columns of the schema", e.to_string()))
    }
}
