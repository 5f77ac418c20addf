//! The CPU operators that a device node stands for.

use std::{fmt, sync::Arc};

use arrow::array::RecordBatch;
use datafusion::{
    common::{Statistics, tree_node::TreeNodeRecursion},
    datasource::memory::MemorySourceConfig,
    error::Result,
    execution::TaskContext,
    physical_plan::{
        ChildrenPropertiesMode, ExecutionPlan, PhysicalExpr, ReplaceChildrenOptions, collect,
        displayable, execution_plan::reset_plan_states, statistics::StatisticsArgs,
    },
};

/// Operators of one input each, the lowest first, without what lies below them. They serve
/// as templates: for properties, statistics, EXPLAIN, and for running them.
#[derive(Clone)]
pub struct HostChain {
    nodes: Vec<Arc<dyn ExecutionPlan>>,
}

impl HostChain {
    /// The chain of `nodes`, the lowest first; at least one.
    ///
    /// # Panics
    /// When a node has not exactly one input, or there is no node.
    pub fn new(nodes: Vec<Arc<dyn ExecutionPlan>>) -> Self {
        assert!(!nodes.is_empty() && nodes.iter().all(|n| n.children().len() == 1));
        Self { nodes }
    }

    /// The nodes, the lowest first.
    pub fn nodes(&self) -> &[Arc<dyn ExecutionPlan>] {
        &self.nodes
    }

    /// The uppermost node.
    pub fn top(&self) -> &Arc<dyn ExecutionPlan> {
        self.nodes.last().expect("checked when it was made")
    }

    /// New nodes over `source`.
    ///
    /// # Errors
    /// DataFusion's, when `source` does not suit the nodes.
    pub fn over(&self, source: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let recompute = || ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.nodes.iter().try_fold(source, |plan, node| {
            Arc::clone(node).replace_children(vec![plan], recompute())
        })
    }

    /// New nodes over a copy of `source` that reads its input from the start.
    ///
    /// # Errors
    /// DataFusion's.
    pub fn again(&self, source: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        self.over(reset_plan_states(Arc::clone(source))?)
    }

    /// The rows for one batch of input, in which texts may be codes. Only for chains of
    /// filters and projections.
    ///
    /// # Errors
    /// DataFusion's.
    pub async fn evaluate(
        &self,
        batch: &RecordBatch,
        context: &Arc<TaskContext>,
    ) -> Result<Vec<RecordBatch>> {
        let schema = self.nodes[0].children()[0].schema();
        let batch = super::coded::decoded(batch, &schema)?;
        let source = MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None)?;
        collect(self.over(source)?, Arc::clone(context)).await
    }

    /// Statistics of the uppermost node for those of the source.
    ///
    /// # Errors
    /// DataFusion's.
    pub fn statistics(
        &self,
        source: &Arc<Statistics>,
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.nodes.iter().try_fold(Arc::clone(source), |statistics, node| {
            node.statistics_from_inputs(&[statistics], args)
        })
    }

    /// Visits the expressions of all nodes.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for node in &self.nodes {
            if node.apply_expressions(f)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    /// Each node as EXPLAIN prints it, the lowest first.
    pub fn lines(&self) -> Vec<String> {
        self.nodes.iter().map(|n| one_line(&**n)).collect()
    }
}

impl fmt::Debug for HostChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lines()).finish()
    }
}

/// A node as EXPLAIN prints it.
pub(crate) fn one_line(plan: &dyn ExecutionPlan) -> String {
    displayable(plan).one_line().to_string().trim().to_string()
}
