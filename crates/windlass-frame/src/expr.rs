//! Expressions: columns, literals, functions and aggregates, for use in frames.

pub use datafusion::{
    common::{JoinType, ScalarValue},
    functions::expr_fn::*,
    functions_aggregate::expr_fn::*,
    logical_expr::{Expr, ExprFunctionExt, SortExpr, cast, ident, lit, not, try_cast, when},
};

/// A column by its exact name: upper-case letters, spaces and points are kept. (In SQL an
/// unquoted name is taken in lower case.)
pub fn col(name: impl Into<String>) -> Expr {
    ident(name)
}
