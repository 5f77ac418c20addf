//! Scans that read the columns of a row only once a join is known to want it.

use std::sync::Arc;

use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    config::ConfigOptions,
    datasource::{
        physical_plan::{FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource},
        source::DataSourceExec,
    },
    error::Result,
    physical_expr::utils::{conjunction, split_conjunction},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ChildrenPropertiesMode, ExecutionPlan, PhysicalExpr, ReplaceChildrenOptions,
        joins::HashJoinExec,
    },
};

use super::{estimate::rows_of, order::kept_of_probe};

/// Share of a scan's rows that a join keeps up to which testing them first pays. A fifth: of a
/// page of a thousand values 200 are then read one by one, the rest skipped.
const FEW: f64 = 0.2;

/// Least rows of a scan for which that is worth the while: a guess, a few milliseconds.
const MANY: u64 = 100_000;

/// Makes scans of Parquet files test the key of each row against the build side of a join
/// first, and read its other columns only if it is there: where the join is expected to keep
/// few rows.
///
/// ```text
///   build side ── keys ──► set ─► scan: key column of all rows
///                                       │ rows whose key is in the set
///                                       ▼
///                                  other columns of these
/// ```
///
/// It stands behind the rule that tells scans the filters of joins, and before placement.
#[derive(Debug, Default)]
pub(crate) struct ReadLate;

impl PhysicalOptimizerRule for ReadLate {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite(&plan, &mut Vec::new())
    }

    fn name(&self) -> &'static str {
        "read_late"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A filter that a join tells the scans of its probe side at run time.
struct Told {
    id: u64,
    /// The share of rows that it keeps, as estimated.
    share: f64,
}

fn rewrite(plan: &Arc<dyn ExecutionPlan>, told: &mut Vec<Told>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        let many = rows_of(plan).is_none_or(|n| n >= MANY);
        let late = if many { late(scan, told) } else { None };
        return Ok(late.unwrap_or_else(|| Arc::clone(plan)));
    }
    let (old, before) = (plan.children(), told.len());
    let mut new = Vec::with_capacity(old.len());
    for (at, child) in old.iter().enumerate() {
        // A join's filter is for its probe side, the second input.
        if at == 1 {
            told.extend(plan.downcast_ref::<HashJoinExec>().and_then(tells));
        }
        new.push(rewrite(child, told)?);
    }
    told.truncate(before);
    if old.iter().zip(&new).all(|(a, b)| Arc::ptr_eq(a, b)) {
        return Ok(Arc::clone(plan));
    }
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(plan).replace_children(new, options)
}

/// The filter that a join tells, if it is to keep few rows.
fn tells(join: &HashJoinExec) -> Option<Told> {
    let id = join.dynamic_expressions_produced().first()?.expression_id()?;
    let share = kept_of_probe(join)?;
    (share <= FEW).then_some(Told { id, share })
}

/// The share of its probe side's rows that a join keeps, as estimated, where scans test them
/// against its keys; `None` where none does. Nothing more is known of it where inputs are placed
/// already.
pub(super) fn tested_by_scans(join: &HashJoinExec) -> Option<f64> {
    let id = join.dynamic_expressions_produced().first()?.expression_id()?;
    is_read_late(join.right(), id).then(|| kept_of_probe(join).unwrap_or(FEW).min(FEW))
}

/// A scan that tests keys first; `None` for one that no such join tells anything, or that is
/// no scan of Parquet.
fn late(scan: &DataSourceExec, told: &[Told]) -> Option<Arc<dyn ExecutionPlan>> {
    let config = scan.data_source().downcast_ref::<FileScanConfig>()?;
    let source = config.file_source().downcast_ref::<ParquetSource>()?;
    let predicate = source.filter()?;
    if source.table_parquet_options().global.pushdown_filters {
        return None;
    }
    // The strictest first: each one reads its columns for the rows that are left.
    let share = |e: &Arc<dyn PhysicalExpr>| {
        let id = e.expression_id();
        told.iter().find(|t| Some(t.id) == id).map(|t| t.share)
    };
    let mut parts: Vec<(f64, Arc<dyn PhysicalExpr>)> = split_conjunction(&predicate)
        .into_iter()
        .map(|e| (share(e).unwrap_or(1.0), Arc::clone(e)))
        .collect();
    parts.sort_by(|a, b| a.0.total_cmp(&b.0));
    if parts.first().is_none_or(|(share, _)| *share >= 1.0) {
        return None;
    }
    let predicate = conjunction(parts.into_iter().map(|(_, e)| e));
    let source = source.with_predicate(predicate).with_pushdown_filters(true);
    let config = FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(source)).build();
    Some(DataSourceExec::from_data_source(config))
}

/// Whether an operator below reads the filter with this number, if only to pass over parts of
/// files.
pub(crate) fn is_told(plan: &Arc<dyn ExecutionPlan>, id: u64) -> bool {
    let mut found = false;
    let walked = plan.apply(|node| {
        let mut of_node = |root: &Arc<dyn PhysicalExpr>| {
            found |= root.exists(|e| Ok(e.expression_id() == Some(id)))?;
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        };
        node.apply_expressions(&mut of_node)?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    // An expression that cannot be looked at may be the one.
    found || walked.is_err()
}

/// Whether a scan below tests its rows against the filter with this number.
pub(crate) fn is_read_late(plan: &Arc<dyn ExecutionPlan>, id: u64) -> bool {
    let Some(scan) = plan.downcast_ref::<DataSourceExec>() else {
        return plan.children().into_iter().any(|child| is_read_late(child, id));
    };
    let config = scan.data_source().downcast_ref::<FileScanConfig>();
    let source = config.and_then(|c| c.file_source().downcast_ref::<ParquetSource>());
    source.is_some_and(|source| {
        let tests = |predicate: Arc<dyn PhysicalExpr>| {
            split_conjunction(&predicate).iter().any(|e| e.expression_id() == Some(id))
        };
        source.table_parquet_options().global.pushdown_filters && source.filter().is_some_and(tests)
    })
}
