//! The session: tables, settings, memory, devices; where queries start.

use std::{sync::Arc, time::Duration};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    catalog::TableProvider,
    common::{TableReference, config::SpillCompression},
    datasource::provider_as_source,
    execution::{
        SessionState, SessionStateBuilder,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::MemoryPool,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    logical_expr::{DdlStatement, LogicalPlan, LogicalPlanBuilder, Statement as Setting},
    physical_optimizer::{PhysicalOptimizerRule, optimizer::PhysicalOptimizer},
    prelude::{SessionConfig, SessionContext},
    sql::{
        parser::{CopyToStatement, Statement as Parsed},
        sqlparser::ast::Value,
    },
};
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::{
    batch::KeptColumns,
    dataframe::DataFrame,
    error::{FrameError, Position, Result, nearest},
    execute::{self, Engine},
    memory::PeakPool,
    nodes::TellReaders,
    options::SessionOptions,
    persist,
    plan::{
        CompareResultsLast, DeviceSet, FilterInArgument, Footers, OrderJoins, PlaceOnDevice,
        PlacementOptions, ReadLate, SharingPlanner,
    },
    read,
    spill::SpillStore,
    statement::{self, Outcome, RunOptions, Statement},
    stats::{HostUse, JobStats},
    store::{self, Stores},
};

/// How long a server may say nothing before a read from it fails: the limit of a request in
/// the library of object stores.
const SILENCE: Duration = Duration::from_secs(30);

/// Tables, settings, memory and devices of one user. Clones share them.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    context: SessionContext,
    options: SessionOptions,
    pool: Arc<PeakPool>,
    stores: Arc<Stores>,
    spilled: Arc<SpillStore>,
    rule: Arc<PlaceOnDevice>,
    last: Mutex<Option<JobStats>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl Session {
    /// A session with default settings: every real GPU, no memory limit.
    ///
    /// # Errors
    /// As [`Session::with_options`].
    pub fn new() -> Result<Self> {
        Self::with_options(SessionOptions::default())
    }

    /// A session. No device is opened yet.
    ///
    /// # Errors
    /// [`FrameError::InvalidOption`] for a zero limit or an unknown setting of object stores;
    /// [`FrameError::Write`] when the folder for spilled data cannot be used.
    pub fn with_options(options: SessionOptions) -> Result<Self> {
        for (option, value) in [
            ("memory", options.memory),
            ("device_memory", options.device_memory),
            ("target_partitions", options.target_partitions),
            ("batch_rows", options.batch_rows),
        ] {
            if value == Some(0) {
                return Err(FrameError::InvalidOption {
                    option: option.to_string(),
                    expected: "a positive number".to_string(),
                    got: "0".to_string(),
                });
            }
        }
        let pool = Arc::new(PeakPool::new(options.memory));
        store::check_settings(&options.storage)?;
        let silence = options.storage_silence.unwrap_or(SILENCE);
        let stores = Arc::new(Stores::new(options.storage.clone(), silence));
        let folder = options.temp_dir.clone().unwrap_or_else(std::env::temp_dir);
        if options.temp_dir.is_some() {
            std::fs::create_dir_all(&folder).map_err(|e| FrameError::write(&folder, &e))?;
        }
        let spilled = Arc::new(SpillStore::new(folder, options.temp_limit));
        let runtime = runtime(&pool, &stores, &spilled)?;
        let (devices, mut placement) = devices(&options, &pool);
        placement.footers = Some(Footers(runtime.cache_manager.get_file_metadata_cache()));
        let rule = Arc::new(PlaceOnDevice::new(devices, placement));
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(config(&options))
            .with_runtime_env(runtime)
            .with_query_planner(Arc::new(SharingPlanner))
            .with_optimizer_rule(Arc::new(FilterInArgument))
            .with_physical_optimizer_rules(rules())
            .with_physical_optimizer_rule(Arc::new(read::CountRowsInMemory))
            .with_physical_optimizer_rule(Arc::new(ReadLate))
            .with_physical_optimizer_rule(Arc::clone(&rule) as _)
            .with_physical_optimizer_rule(Arc::new(TellReaders))
            .with_table_factories(read::table_factories())
            .build();
        let context = read::enable_paths(SessionContext::new_with_state(state));
        let last = Mutex::new(None);
        let inner = Inner { context, options, pool, stores, spilled, rule, last };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The settings it was made with.
    pub fn options(&self) -> &SessionOptions {
        &self.inner.options
    }

    /// The devices; opening them is up to their first use.
    pub fn devices(&self) -> &DeviceSet {
        self.inner.rule.devices()
    }

    /// The placement rule, which remembers its decisions.
    pub fn placement(&self) -> &Arc<PlaceOnDevice> {
        &self.inner.rule
    }

    /// The lazy frame of one SQL statement. A definition or setting takes effect at once
    /// and gives an empty frame; a `COPY` is run by collecting the frame.
    ///
    /// # Errors
    /// [`FrameError::Syntax`], [`FrameError::UnknownTable`], [`FrameError::UnknownColumn`]
    /// with line and column, and the errors of reading a file named in it.
    pub async fn sql(&self, text: &str) -> Result<DataFrame> {
        let mut statements = self.statements(text)?;
        let statement = match statements.len() {
            1 => statements.remove(0),
            n => {
                return Err(FrameError::Plan(format!(
                    "expected one SQL statement, got {n}; run several with `statements` and `run`"
                )));
            }
        };
        let plan = self.plan(&statement).await?;
        match &plan {
            LogicalPlan::Ddl(_) | LogicalPlan::Statement(_) => {
                let left = self.define(plan, &RunOptions::default()).await?;
                Ok(DataFrame::new(self.clone(), left))
            }
            _ => Ok(DataFrame::new(self.clone(), plan)),
        }
    }

    /// The statements of an SQL text, each with its place in it.
    ///
    /// # Errors
    /// [`FrameError::Syntax`] for the first that does not parse.
    pub fn statements(&self, text: &str) -> Result<Vec<Statement>> {
        statement::parse(text)
    }

    /// Runs one statement to its end. Its figures are then at [`Session::last_stats`].
    ///
    /// # Errors
    /// Any [`FrameError`]; [`FrameError::Cancelled`] when the token was cancelled.
    pub async fn run(&self, statement: &Statement, run: &RunOptions) -> Result<Outcome> {
        execute::statement(self, statement, run).await
    }

    /// The figures of the last query that ran, whether it was SQL or a frame, and whether it
    /// came to its end or failed on the way. `None` when a statement failed before it ran.
    pub fn last_stats(&self) -> Option<JobStats> {
        self.inner.last.lock().clone()
    }

    /// Names a frame, for SQL. Replaces a table of that name.
    ///
    /// # Errors
    /// [`FrameError::Plan`] for a name that is not one.
    pub fn register(&self, name: &str, frame: &DataFrame) -> Result<()> {
        let view = frame.view();
        let reference = TableReference::bare(name);
        self.context().deregister_table(reference.clone())?;
        self.context().register_table(reference, view)?;
        Ok(())
    }

    /// Forgets a table; whether there was one.
    ///
    /// # Errors
    /// [`FrameError::Plan`] when the catalog refuses.
    pub fn deregister(&self, name: &str) -> Result<bool> {
        let reference = TableReference::bare(name);
        let found = self.context().deregister_table(reference)?.is_some();
        self.sweep();
        Ok(found)
    }

    /// Frees what devices keep of tables that are gone.
    pub(crate) fn sweep(&self) {
        self.devices().inventory().extension::<KeptColumns>().sweep();
    }

    /// The frame of a registered table.
    ///
    /// # Errors
    /// [`FrameError::UnknownTable`] with the nearest names.
    pub async fn table(&self, name: &str) -> Result<DataFrame> {
        let source = provider_as_source(self.provider(name).await?);
        let plan = LogicalPlanBuilder::scan(TableReference::bare(name), source, None)?.build()?;
        Ok(DataFrame::new(self.clone(), plan))
    }

    /// The names of the registered tables, sorted.
    pub fn table_names(&self) -> Vec<String> {
        let context = self.context();
        let schema = context
            .catalog("datafusion")
            .and_then(|catalog| catalog.schema("public"))
            .map(|schema| schema.table_names());
        let mut names = schema.unwrap_or_default();
        names.sort();
        names
    }

    /// The schema of a registered table.
    ///
    /// # Errors
    /// [`FrameError::UnknownTable`] with the nearest names.
    pub async fn table_schema(&self, name: &str) -> Result<SchemaRef> {
        Ok(self.provider(name).await?.schema())
    }

    /// A frame over rows in memory.
    ///
    /// # Errors
    /// [`FrameError::Plan`] when the batches' schemas differ, or there is none.
    pub fn from_batches(&self, batches: Vec<RecordBatch>) -> Result<DataFrame> {
        let frame = self.context().read_batches(batches)?;
        Ok(DataFrame::new(self.clone(), frame.logical_plan().clone()))
    }

    /// DataFusion's context behind the session.
    pub fn context(&self) -> &SessionContext {
        &self.inner.context
    }

    /// DataFusion's state for what is to run a query.
    pub(crate) fn state(&self, engine: Engine) -> SessionState {
        let state = self.context().state();
        if engine == Engine::Devices {
            return state;
        }
        let mut rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> =
            state.physical_optimizers().to_vec();
        let placing = rules.iter().position(|rule| rule.name() == self.inner.rule.name());
        match placing {
            Some(at) if engine == Engine::Apart => {
                rules[at] = Arc::new(self.inner.rule.with_rows_on_the_host());
            }
            Some(at) => _ = rules.remove(at),
            None => {}
        }
        let mut config = state.config().clone();
        if engine == Engine::Frugal {
            frugal(&mut config, self.options().memory.unwrap_or(usize::MAX));
        }
        SessionStateBuilder::new_from_existing(state)
            .with_config(config)
            .with_physical_optimizer_rules(rules)
            .build()
    }

    pub(crate) fn pool(&self) -> &PeakPool {
        &self.inner.pool
    }

    /// What its operators hold now, in memory and in files of spilled rows.
    pub fn host_use(&self) -> HostUse {
        let spilling = self.context().runtime_env().disk_manager.spilling_progress();
        HostUse {
            reserved: self.pool().reserved() as u64,
            peak: self.pool().peak() as u64,
            limit: self.options().memory.map(|bytes| bytes as u64),
            spill_files: spilling.current_bytes,
        }
    }

    /// Bytes read from files and object stores since the session began.
    pub fn bytes_read(&self) -> u64 {
        self.inner.stores.bytes_read()
    }

    /// Bytes that operators have written to disk since the session began.
    pub fn bytes_spilled(&self) -> u64 {
        self.inner.spilled.written()
    }

    pub(crate) fn stores(&self) -> &Stores {
        &self.inner.stores
    }

    pub(crate) fn clear_stats(&self) {
        *self.inner.last.lock() = None;
    }

    pub(crate) fn set_stats(&self, stats: JobStats) {
        *self.inner.last.lock() = Some(stats);
    }

    /// Makes a definition or setting take effect; what is left of the plan.
    pub(crate) fn define<'a>(
        &'a self,
        plan: LogicalPlan,
        run: &'a RunOptions,
    ) -> BoxFuture<'a, Result<LogicalPlan>> {
        Box::pin(async move {
            if let LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(command)) = plan {
                persist::create(self, command, run).await?;
                return Ok(LogicalPlanBuilder::empty(false).build()?);
            }
            let setting = match &plan {
                LogicalPlan::Statement(Setting::SetVariable(set)) => {
                    Some(format!("cannot set {} to {:?}", set.variable, set.value))
                }
                _ => None,
            };
            let done = self.context().execute_logical_plan(plan).await;
            self.sweep();
            match (done, setting) {
                (Ok(frame), _) => Ok(frame.logical_plan().clone()),
                (Err(e), Some(what)) => {
                    Err(FrameError::Plan(format!("{what}: {}", FrameError::from(e))))
                }
                (Err(e), None) => Err(e.into()),
            }
        })
    }

    /// The provider of a table that is there.
    fn provider<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<dyn TableProvider>>> {
        Box::pin(async move {
            if !self.table_names().iter().any(|t| t == name) {
                return Err(self.unknown_table(name, None));
            }
            Ok(self.context().table_provider(TableReference::bare(name)).await?)
        })
    }

    /// The logical plan of a statement, with our own errors for unknown names.
    ///
    /// # Errors
    /// As [`Session::sql`].
    pub(crate) fn plan<'a>(
        &'a self,
        statement: &'a Statement,
    ) -> BoxFuture<'a, Result<LogicalPlan>> {
        Box::pin(async move {
            let state = self.context().state();
            let mut parsed = statement.parsed.clone();
            if let Parsed::CopyTo(copy) = &mut parsed {
                name_format(copy)?;
            }
            match state.statement_to_plan(parsed).await {
                Ok(plan) => Ok(plan),
                Err(e) => Err(self.name_tables(FrameError::from(e))),
            }
        })
    }

    /// Turns "table … not found" into an error with the nearest names.
    pub(crate) fn name_tables(&self, error: FrameError) -> FrameError {
        let FrameError::Plan(message) = &error else { return error };
        let Some((name, rest)) =
            message.strip_prefix("table '").and_then(|m| m.split_once("' not found"))
        else {
            return error;
        };
        let name = name.strip_prefix("datafusion.public.").unwrap_or(name);
        let position = rest.trim().strip_prefix("(line ").and_then(|r| {
            let (line, column) = r.trim_end_matches(')').split_once(", column ")?;
            Some(Position { line: line.parse().ok()?, column: column.parse().ok()? })
        });
        self.unknown_table(name, position)
    }

    fn unknown_table(&self, name: &str, position: Option<Position>) -> FrameError {
        let names = self.table_names();
        let nearest = nearest(name, names.iter().map(String::as_str));
        FrameError::UnknownTable { name: name.to_string(), nearest, position }
    }
}

/// The format and compression of a `COPY` without `STORED AS`, from the target's name.
fn name_format(copy: &mut CopyToStatement) -> Result<()> {
    let named = read::options::named(&copy.target);
    if copy.stored_as.is_none() {
        let format = named
            .map(|n| n.format)
            .ok_or_else(|| FrameError::UnknownFormat { path: copy.target.clone() })?;
        copy.stored_as = Some(format.name().to_ascii_uppercase());
    }
    let compression = named.map(|n| n.compression).filter(|c| c.is_compressed());
    let given = copy.options.iter().any(|(key, _)| key.ends_with("compression"));
    if let (Some(compression), false) = (compression, given) {
        let value = Value::SingleQuotedString(compression.to_string().to_ascii_lowercase());
        copy.options.push(("compression".to_string(), value));
    }
    Ok(())
}

/// DataFusion's physical rules, with ours that order joins and choose their keys behind the one
/// that chooses their build sides.
fn rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    let behind = rules.iter().position(|r| r.name() == "join_selection").map_or(0, |at| at + 1);
    let ours: [Arc<dyn PhysicalOptimizerRule + Send + Sync>; 2] =
        [Arc::new(OrderJoins), Arc::new(CompareResultsLast)];
    rules.splice(behind..behind, ours);
    rules
}

/// Least memory of a partition whose operators sort, for the runs that they merge. A guess.
const PARTITION_MEMORY: usize = 128 << 20;

/// DataFusion's settings for queries that went past a limit of host memory.
fn frugal(config: &mut SessionConfig, limit: usize) {
    let settings = config.options_mut();
    settings.optimizer.prefer_hash_join = false;
    // In one partition joins would not sort and merge.
    let partitions = settings.execution.target_partitions.min(limit / PARTITION_MEMORY).max(2);
    settings.execution.target_partitions = partitions;
    // What each sort keeps to merge with: a small part of what its partition has.
    let merge = settings.execution.sort_spill_reservation_bytes;
    settings.execution.sort_spill_reservation_bytes = merge.min(limit / partitions / 16);
}

/// DataFusion's settings.
fn config(options: &SessionOptions) -> SessionConfig {
    let mut config = SessionConfig::new().with_information_schema(true);
    if let Some(n) = options.target_partitions {
        config = config.with_target_partitions(n);
    }
    if let Some(n) = options.batch_rows {
        config = config.with_batch_size(n);
    }
    let settings = config.options_mut();
    settings.execution.spill_compression = SpillCompression::Lz4Frame;
    settings.sql_parser.collect_spans = true;
    // The check refuses sound plans: `b IS NOT TRUE`, which is never null, may be null by its
    // physical expression (DataFusion 55.2), so that a query whose group key and aggregate share
    // it fails.
    settings.execution.skip_physical_aggregate_schema_check = true;
    config
}

/// Memory, spill folder and object stores.
fn runtime(
    pool: &Arc<PeakPool>,
    stores: &Arc<Stores>,
    spilled: &Arc<SpillStore>,
) -> Result<Arc<RuntimeEnv>> {
    let mode = DiskManagerMode::Custom(Arc::clone(spilled) as _);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::clone(pool) as _)
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode))
        .with_object_list_cache_limit(0)
        .with_object_store_registry(Arc::clone(stores) as _)
        .build_arc()?;
    Ok(runtime)
}

/// The devices, unopened, and how placement uses them.
fn devices(options: &SessionOptions, pool: &Arc<PeakPool>) -> (DeviceSet, PlacementOptions) {
    let mut device = options.device.clone();
    device.memory_cap = options.device_memory.or(device.memory_cap);
    // Tables double when they grow, and are counted when they have.
    device.host_memory_cap = options.memory.map(|bytes| bytes / 2).or(device.host_memory_cap);
    device.host_budget = Some(Arc::clone(pool) as _);
    let placement = PlacementOptions {
        force_device: options.force_device.then(|| first_named(&options.devices)).flatten(),
        ..Default::default()
    };
    (DeviceSet::new(options.devices.clone(), device), placement)
}

/// The first device of a spec other than the host; the host if it names nothing else.
fn first_named(spec: &windlass_device::DeviceSpec) -> Option<windlass_device::DeviceName> {
    use windlass_device::{Backend, DeviceName, DeviceSpec, spec::SpecItem};
    let DeviceSpec::List(items) = spec else { return None };
    let names = items.iter().map(|item| match item {
        SpecItem::One(name) => name.clone(),
        SpecItem::All(backend) | SpecItem::First(backend, _) => DeviceName::new(*backend, 0),
    });
    let mut names: Vec<DeviceName> = names.collect();
    names.sort_by_key(|name| name.backend() == Backend::Cpu);
    names.into_iter().next()
}
