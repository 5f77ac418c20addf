//! `FILTER` of window aggregates as part of their argument.

use datafusion::{
    common::tree_node::{Transformed, TreeNode},
    error::Result,
    logical_expr::{
        Case, Expr, LogicalPlan, WindowFunctionDefinition, expr_rewriter::NamePreserver,
    },
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

/// Aggregates that pass over nulls, and that devices compute over frames.
const PASS_OVER_NULLS: [&str; 11] = [
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "var",
    "var_pop",
    "stddev",
    "stddev_pop",
    "bool_and",
    "bool_or",
];

/// Turns `sum(x) FILTER (WHERE p) OVER w` into `sum(CASE WHEN p THEN x END) OVER w`, for
/// aggregates that pass over nulls: DataFusion's physical expression does not give its condition
/// away, and devices take the argument as it is. The column keeps its name.
#[derive(Debug)]
pub(crate) struct FilterInArgument;

impl OptimizerRule for FilterInArgument {
    fn name(&self) -> &'static str {
        "window_filter_in_argument"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        if !matches!(plan, LogicalPlan::Window(_)) {
            return Ok(Transformed::no(plan));
        }
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(in_argument)?.update_data(|expr| name.restore(expr)))
        })
    }
}

fn in_argument(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::WindowFunction(mut window) = expr else { return Ok(Transformed::no(expr)) };
    let WindowFunctionDefinition::AggregateUDF(function) = &window.fun else {
        return Ok(Transformed::no(Expr::WindowFunction(window)));
    };
    let known = PASS_OVER_NULLS.contains(&function.name());
    let params = &mut window.params;
    if let [arg] = params.args.as_mut_slice()
        && known
        && let Some(filter) = params.filter.take()
    {
        let value = Box::new(std::mem::take(arg));
        *arg = Expr::Case(Case::new(None, vec![(filter, value)], None));
        return Ok(Transformed::yes(Expr::WindowFunction(window)));
    }
    Ok(Transformed::no(Expr::WindowFunction(window)))
}
