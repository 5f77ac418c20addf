//! Columns in the names of folders, `column=value`: their types, and the name that means
//! null.

use std::{borrow::Cow, sync::Arc};

use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session as EngineSession, TableProvider},
    common::{Column, ScalarValue},
    datasource::{
        ViewTable,
        listing::{ListingTable, ListingTableConfig},
        provider_as_source,
    },
    error::{DataFusionError, Result as EngineResult},
    functions::core::expr_fn::nullif,
    logical_expr::{
        Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, TableType, cast, lit,
    },
    physical_plan::ExecutionPlan,
};

use crate::error::{FrameError, Result};

/// What a folder's name says for null, as Hive has it.
pub(crate) const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// The columns in the folders' names of files (paths below the table): whole numbers, dates
/// or text; and whether a name means null.
///
/// # Errors
/// [`FrameError::Plan`] for files in folders of different columns.
pub(super) fn infer(
    files: impl Iterator<Item = String>,
    written: &str,
) -> Result<(Vec<(String, DataType)>, bool)> {
    let mut names: Option<Vec<String>> = None;
    let mut kinds: Vec<Option<DataType>> = Vec::new();
    let mut nulls = false;
    for path in files {
        let pairs: Vec<(&str, &str)> = path.split('/').filter_map(|s| s.split_once('=')).collect();
        let keys: Vec<String> = pairs.iter().map(|(k, _)| k.to_string()).collect();
        match &names {
            None => {
                kinds = vec![None; keys.len()];
                names = Some(keys);
            }
            Some(first) if *first == keys => {}
            Some(first) => {
                return Err(FrameError::Plan(format!(
                    "{written} is partitioned by ({}) in one place and by ({}) in another",
                    first.join(", "),
                    keys.join(", ")
                )));
            }
        }
        for (kind, (_, value)) in kinds.iter_mut().zip(&pairs) {
            if *value == NULL_FOLDER {
                nulls = true;
                continue;
            }
            let this = kind_of(value);
            *kind = Some(match kind.take() {
                None => this,
                Some(k) if k == this => k,
                Some(_) => DataType::Utf8,
            });
        }
    }
    let kinds = kinds.into_iter().map(|k| k.unwrap_or(DataType::Utf8));
    Ok((names.unwrap_or_default().into_iter().zip(kinds).collect(), nulls))
}

fn kind_of(value: &str) -> DataType {
    use arrow::{compute::kernels::cast_utils::Parser, datatypes::Date32Type};
    if value.parse::<i64>().is_ok_and(|n| n.to_string() == value) {
        DataType::Int64
    } else if value.len() == 10 && Date32Type::parse(value).is_some() {
        DataType::Date32
    } else {
        DataType::Utf8
    }
}

/// A table over files whose columns in the folders' names may be null. The engine takes such
/// columns as never null and knows no name for it: so a view makes them nullable, and where
/// a name means null, reads the names as text and turns them into values.
#[derive(Debug)]
pub(crate) struct NullableFolders {
    files: Arc<ListingTable>,
    view: ViewTable,
    /// Whether it knows the name for null.
    named: bool,
}

impl NullableFolders {
    /// The same table with columns that may be null. `named`: a name may stand for null; no
    /// other name is read as such without.
    ///
    /// # Errors
    /// The engine's.
    pub(crate) fn new(table: &ListingTable, named: bool) -> Result<Self> {
        let columns = table.options().table_partition_cols.clone();
        let mut options = table.options().clone();
        let read = |kind: &DataType| if named { DataType::Utf8 } else { kind.clone() };
        options.table_partition_cols =
            columns.iter().map(|(name, kind)| (name.clone(), read(kind))).collect();
        let all = TableProvider::schema(table);
        let in_files: Vec<usize> = (0..all.fields().len() - columns.len()).collect();
        let config = ListingTableConfig::new_with_multi_paths(table.table_paths().clone())
            .with_listing_options(options)
            .with_schema(Arc::new(all.project(&in_files)?));
        let files = Arc::new(ListingTable::try_new(config)?);
        let source = provider_as_source(Arc::clone(&files) as _);
        let scan = LogicalPlanBuilder::scan("files", source, None)?;
        let value = |name: &str| {
            let column = Expr::Column(Column::new(Some("files"), name));
            Ok::<_, DataFusionError>(match columns.iter().find(|(n, _)| n == name) {
                Some((name, kind)) if named => {
                    cast(nullif(column, lit(NULL_FOLDER)), kind.clone()).alias(name)
                }
                Some((name, kind)) => {
                    let none = ScalarValue::try_from(kind)?;
                    nullif(column, Expr::Literal(none, None)).alias(name)
                }
                None => column,
            })
        };
        let exprs: EngineResult<Vec<Expr>> = all.fields().iter().map(|f| value(f.name())).collect();
        let view = ViewTable::new(scan.project(exprs?)?.build()?, None);
        Ok(Self { files, view, named })
    }

    /// Whether it reads the name for null as null.
    pub(crate) fn is_named(&self) -> bool {
        self.named
    }

    /// The same table, where a name may stand for null from now on.
    ///
    /// # Errors
    /// The engine's.
    pub(crate) fn with_name(&self) -> Result<Self> {
        let mut options = self.files.options().clone();
        let typed = TableProvider::schema(self);
        for (name, kind) in &mut options.table_partition_cols {
            *kind = typed.field_with_name(name)?.data_type().clone();
        }
        let columns = options.table_partition_cols.len();
        let in_files: Vec<usize> = (0..typed.fields().len() - columns).collect();
        let config = ListingTableConfig::new_with_multi_paths(self.files.table_paths().clone())
            .with_listing_options(options)
            .with_schema(Arc::new(typed.project(&in_files)?));
        Self::new(&ListingTable::try_new(config)?, true)
    }
}

#[async_trait]
impl TableProvider for NullableFolders {
    fn schema(&self) -> SchemaRef {
        self.view.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        self.view.get_logical_plan()
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        self.view.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn EngineSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        self.view.scan(state, projection, filters, limit).await
    }
}

/// The files behind a table, where it is one over files and not a view of one.
pub(crate) fn files_of(provider: &Arc<dyn TableProvider>) -> Option<Arc<ListingTable>> {
    let any = Arc::clone(provider) as Arc<dyn std::any::Any + Send + Sync>;
    match any.downcast::<NullableFolders>() {
        Ok(table) => Some(Arc::clone(&table.files)),
        Err(any) => any.downcast::<ListingTable>().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inferred(files: &[&str]) -> (Vec<DataType>, bool) {
        let files = files.iter().map(|f| f.to_string());
        let (columns, nulls) = infer(files, "x").expect("columns");
        (columns.into_iter().map(|(_, kind)| kind).collect(), nulls)
    }

    #[test]
    fn values_have_types() {
        assert_eq!(kind_of("12"), DataType::Int64);
        assert_eq!(kind_of("012"), DataType::Utf8);
        assert_eq!(kind_of("2013-01-31"), DataType::Date32);
        assert_eq!(kind_of("AA"), DataType::Utf8);
    }

    #[test]
    fn null_has_every_type() {
        let null = format!("k={NULL_FOLDER}/1.csv");
        assert_eq!(inferred(&["k=1/1.csv", &null]), (vec![DataType::Int64], true));
        assert_eq!(inferred(&[&null, "k=1/1.csv"]), (vec![DataType::Int64], true));
        assert_eq!(inferred(&[&null]), (vec![DataType::Utf8], true));
        assert_eq!(inferred(&["k=1/1.csv", "k=x/1.csv"]), (vec![DataType::Utf8], false));
    }
}
