//! The plan of a statement without running it: its text, and where each operator would run.

use std::sync::Arc;

use datafusion::{logical_expr::LogicalPlan, physical_plan::displayable};

use crate::{
    error::{FrameError, Result},
    execute::Engine,
    plan::Decision,
    session::Session,
    statement::Statement,
};

/// A plan that was made and not run.
#[derive(Debug, Clone)]
pub struct Explained {
    /// The optimized logical plan, as an indented tree.
    pub logical: String,
    /// The physical plan with device nodes, as an indented tree.
    pub physical: String,
    /// What was decided about each operator before placement; empty where the placement
    /// rule did not run.
    pub decisions: Vec<Decision>,
}

impl Session {
    /// Plans a query, `COPY` or `INSERT`, and runs nothing. Devices of the session are
    /// opened where an operator could run on one. An `EXPLAIN` before the query is ignored.
    ///
    /// # Errors
    /// As [`Session::sql`]; [`FrameError::Plan`] for a statement without a plan, such as a
    /// definition.
    pub async fn explain(&self, statement: &Statement) -> Result<Explained> {
        let plan = match self.plan(statement).await? {
            LogicalPlan::Explain(e) => Arc::unwrap_or_clone(e.plan),
            LogicalPlan::Analyze(a) => Arc::unwrap_or_clone(a.input),
            plan => plan,
        };
        if matches!(plan, LogicalPlan::Ddl(_) | LogicalPlan::Statement(_)) {
            let what = "a definition or setting has no plan to explain; give a query";
            return Err(FrameError::Plan(what.to_string()));
        }
        let state = self.state(Engine::Devices);
        let logical = state.optimize(&plan)?;
        let physical = state.create_physical_plan(&plan).await?;
        Ok(Explained {
            logical: logical.display_indent().to_string(),
            physical: displayable(physical.as_ref()).indent(false).to_string(),
            decisions: self
                .placement()
                .decisions(&physical)
                .map(|d| d.to_vec())
                .unwrap_or_default(),
        })
    }
}
