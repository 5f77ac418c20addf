//! Seconds of db-benchmark's group-by questions and of some filters on rows in memory, by
//! DataFusion's operators and by the CPU twins: where the constants of placement come from.
//! Prints one JSON object a query. `cpu_s` is the time of all threads, which other work on
//! the machine does not disturb much.
//!
//! `cargo run -p windlass-frame --example operator_rates -- [ROWS [GROUPS [QUERY]]]`

use std::{sync::Arc, time::Instant};

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::{
    datasource::MemTable,
    error::Result,
    execution::session_state::SessionStateBuilder,
    physical_plan::collect,
    prelude::{SessionConfig, SessionContext},
};
use windlass_device::{DeviceName, DeviceOptions, DeviceSpec};
use windlass_frame::plan::{DeviceSet, PlaceOnDevice, PlacementOptions};

const QUERIES: [(&str, &str); 34] = [
    ("q1", "select id1, sum(v1) from x group by id1"),
    ("q2", "select id1, id2, sum(v1) from x group by id1, id2"),
    ("q3", "select id3, sum(v1), avg(v3) from x group by id3"),
    ("q4", "select id4, avg(v1), avg(v2), avg(v3) from x group by id4"),
    ("q5", "select id6, sum(v1), sum(v2), sum(v3) from x group by id6"),
    ("q7", "select id3, max(v1) - min(v2) from x group by id3"),
    (
        "q10",
        "select id1, id2, id3, id4, id5, id6, sum(v3), count(*) from x group by id1, id2, id3, id4, id5, id6",
    ),
    ("int", "select id4, sum(v1) from x group by id4"),
    ("two", "select id4, id5, sum(v1), avg(v3) from x group by id4, id5"),
    ("three", "select id4, id5, id6, sum(v3), count(*) from x group by id4, id5, id6"),
    ("wide", "select id6, sum(v1), avg(v2), min(v3), max(v3), stddev(v3) from x group by id6"),
    ("sum", "select sum(v1), count(*), min(v3) from x where v2 > 7"),
    ("filter", "select id6, v1 + v2, v3 * 2 from x where v3 > 90"),
    ("project", "select id6, v1 * 3 + v2 - id4, v3 * v3 + 1.5 from x"),
    ("case", "select case when v2 > 7 then v1 else v2 end c, sum(v3) from x group by 1"),
    ("decimal_sum", "select sum(v4 * v5) from x where v2 > 7 and v4 between 100 and 900"),
    (
        "decimal_groups",
        "select id4, sum(v4), sum(v4 * (1 - v5)), sum(v4 * (1 - v5) * (1 + v5)), avg(v4) from x group by id4",
    ),
    ("join_1e2", "select id6, v1, w from x join d on id4 = d.id where d.id <= 100"),
    ("join_id6", "select id4, v1, w from x join d on id6 = d.id where d.id <= 100000"),
    ("join_rows", "select v1, w from x join d on id6 * 100 + id4 = d.id"),
    ("join_half", "select v1, w from x join d on id6 * 200 + id4 = d.id"),
    ("join_semi", "select id4, v1 from x where id6 in (select id from d where w > 0.5)"),
    ("join_text", "select v1, t.w from x join t on id3 = t.id"),
    ("join_text_few", "select v1, t.w from x join t on id1 = t.short"),
    ("sort_float", "select v3, id6, v1 from x order by v3"),
    ("sort_two", "select id4, id6, v1 from x order by id4, id6 desc"),
    ("sort_text", "select id3, v1 from x order by id3"),
    (
        "first_two",
        "select id6, v3 from (select id6, v3, row_number() over (partition by id6 order by v3 desc) n from x) where n <= 2",
    ),
    ("window_sort", "select id4, id6, v1 from x order by id4, id6"),
    ("window_sum", "select id4, v1, sum(v1) over (partition by id4 order by id6) from x"),
    (
        "window_slide",
        "select id4, v3, avg(v3) over (partition by id4 order by id6 rows 100 preceding) from x",
    ),
    ("window_lag", "select id4, v1, lag(v1) over (partition by id4 order by id6) from x"),
    ("window_rank", "select id4, v1, rank() over (partition by id4 order by id6) from x"),
    ("top_100", "select id6, v1, v3 from x order by v3 desc limit 100"),
];

/// A table `d` of unique numbers, one for each row of the other table, and a table `t` of
/// texts: those of `id3`, and those of `id1`.
const TABLES: [&str; 2] = [
    "create table d as select value as id, random() as w from generate_series(1, ROWS)",
    "create table t as select 'id' || lpad(value::text, 10, '0') as id, random() as w, \
     case when value <= K then 'id' || lpad(value::text, 3, '0') end as short \
     from generate_series(1, MANY)",
];

/// Seconds that all threads of this process have run; wall time where it is not told.
fn cpu_seconds(began: Instant) -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return began.elapsed().as_secs_f64();
    };
    let nanoseconds = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.flatten().filter_map(nanoseconds).sum::<u64>() as f64 / 1e9
}

/// db-benchmark's table: `k` groups in the low-cardinality columns, `rows / k` in the others.
fn table(rows: usize, k: u64, partitions: usize) -> Result<MemTable> {
    let mut seed = 108_u64;
    let mut next = move |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let many = (rows as u64 / k).max(1);
    let mut data = Vec::new();
    for _ in 0..partitions {
        let mut batches = Vec::new();
        let mut left = rows / partitions;
        while left > 0 {
            let n = left.min(8192);
            left -= n;
            let mut text = |prefix: &str, of: u64, width: usize| -> ArrayRef {
                let value = |_| Some(format!("{prefix}{:0width$}", next(of) + 1));
                Arc::new((0..n).map(value).collect::<StringArray>())
            };
            let (id1, id2) = (text("id", k, 3), text("id", k, 3));
            let id3 = text("id", many, 10);
            let mut int = |of: u64| -> ArrayRef {
                Arc::new((0..n).map(|_| Some(next(of) as i64 + 1)).collect::<Int64Array>())
            };
            let columns = [
                ("id1", id1),
                ("id2", id2),
                ("id3", id3),
                ("id4", int(k)),
                ("id5", int(k)),
                ("id6", int(many)),
                ("v1", int(5)),
                ("v2", int(15)),
            ];
            let v3: Float64Array = (0..n).map(|_| Some(next(100_000_000) as f64 / 1e6)).collect();
            let mut decimal = |of: u64| -> Result<ArrayRef> {
                let cents = (0..n).map(|_| Some(i128::from(next(of))));
                let values = cents.collect::<Decimal128Array>();
                Ok(Arc::new(values.with_precision_and_scale(15, 2)?))
            };
            let (v4, v5) = (decimal(100_000)?, decimal(11)?);
            let floats = [("v3", Arc::new(v3) as ArrayRef), ("v4", v4), ("v5", v5)];
            let all = columns.into_iter().chain(floats);
            batches.push(RecordBatch::try_from_iter(all)?);
        }
        data.push(batches);
    }
    MemTable::try_new(data[0][0].schema(), data)
}

fn session(twins: bool, partitions: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions);
    let mut builder = SessionStateBuilder::new_with_default_features().with_config(config);
    if twins {
        let spec: DeviceSpec = "cpu".parse().expect("a device's name");
        let options =
            PlacementOptions { force_device: Some(DeviceName::cpu()), ..Default::default() };
        let devices = DeviceSet::new(spec, DeviceOptions::default());
        builder =
            builder.with_physical_optimizer_rule(Arc::new(PlaceOnDevice::new(devices, options)));
    }
    SessionContext::new_with_state(builder.build())
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        |default: u64| arguments.next().and_then(|a| a.parse().ok()).unwrap_or(default);
    let (rows, k) = (number(2_000_000) as usize, number(100));
    let only = std::env::args().nth(3);
    let partitions = std::thread::available_parallelism().map_or(1, usize::from);
    let table = Arc::new(table(rows, k, partitions)?);
    let sessions =
        [("datafusion", session(false, partitions)), ("twins", session(true, partitions))];
    for (_, s) in &sessions {
        s.register_table("x", Arc::clone(&table) as _)?;
        for text in TABLES {
            let text = text.replace("ROWS", &rows.to_string()).replace("K ", &format!("{k} "));
            let many = (rows as u64 / k).max(1).to_string();
            s.sql(&text.replace("MANY", &many)).await?.collect().await?;
        }
    }
    for (name, sql) in QUERIES.iter().filter(|(n, _)| only.as_ref().is_none_or(|o| o == n)) {
        for (engine, session) in &sessions {
            let (mut best, mut wall, mut out) = (f64::MAX, f64::MAX, 0);
            for _ in 0..3 {
                let plan = session.sql(sql).await?.create_physical_plan().await?;
                let began = Instant::now();
                let before = cpu_seconds(began);
                let batches = collect(plan, session.task_ctx()).await?;
                best = best.min(cpu_seconds(began) - before);
                wall = wall.min(began.elapsed().as_secs_f64());
                out = batches.iter().map(RecordBatch::num_rows).sum();
            }
            let ns = best * 1e9 / rows as f64;
            println!(
                "{{\"query\":\"{name}\",\"engine\":\"{engine}\",\"rows\":{rows},\"out\":{out},\
                 \"cpu_s\":{best:.3},\"wall_s\":{wall:.3},\"ns_per_row\":{ns:.1}}}"
            );
        }
    }
    Ok(())
}
