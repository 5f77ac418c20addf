//! FIRST_VALUE and LAST_VALUE as aggregates: the argument of one row of each group.

use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use windlass_kernels::{
    aggregate::{Accumulator, AggregateCall, MAX_ORDER_KEYS, Order, OrderKey},
    ir::ValueId,
};

use super::{Aggregate, Calls, Kind};
use crate::lower::{Lowering, Result, Unsupported, types::is_string};

/// Lowers one of the two.
///
/// # Errors
/// `Unsupported` for an order that the device has no form of.
pub(super) fn lower(
    chain: &mut Lowering,
    aggregate: &AggregateFunctionExpr,
    filter: Option<ValueId>,
    calls: &mut Calls,
) -> Result<Aggregate> {
    let args = aggregate.expressions();
    let [argument] = &args[..] else {
        let function = aggregate.fun().name();
        return Err(Unsupported::new(format!("{function} of {} arguments", args.len())));
    };
    let a = chain.lower_where(argument, filter)?;
    let mut keys = Vec::new();
    for key in aggregate.order_bys() {
        let lowered = chain.lower_where(&key.expr, filter)?;
        if is_string(&lowered.ty) {
            let reason = format!("ORDER BY {} of strings: codes are not in value order", key.expr);
            return Err(Unsupported::new(reason));
        }
        let (descending, nulls_first) = (key.options.descending, key.options.nulls_first);
        keys.push(OrderKey { value: lowered.value, descending, nulls_first });
    }
    let order = Order::new(&keys).ok_or_else(|| {
        Unsupported::new(format!("ORDER BY {} keys, of at most {MAX_ORDER_KEYS}", keys.len()))
    })?;
    let last = aggregate.fun().name() == "last_value";
    let ignore_nulls = aggregate.ignore_nulls();
    let accumulator = Accumulator::Pick { last, ignore_nulls, order };
    let at = calls.add(AggregateCall { accumulator, argument: Some(a.value), filter });
    let output = chain.output(&a);
    let ty = aggregate.field().data_type().clone();
    if output.data_type != ty {
        return Err(Unsupported::new(format!("{} as {ty} has no device form", output.data_type)));
    }
    let (name, kind, calls) = (aggregate.name().to_string(), Kind::Picked, vec![at]);
    Ok(Aggregate { name, kind, calls, ty, dictionary: output.dictionary })
}
