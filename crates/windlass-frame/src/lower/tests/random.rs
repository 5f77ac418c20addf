//! Random expression trees over random data: the values of the lowered program against
//! those of DataFusion's expressions, and its errors row by row.
//!
//! An error must be on both sides or on neither, with these exceptions:
//!
//! - Over many rows DataFusion evaluates the right side of AND and OR in rows that do not
//!   need it, once the left side has a null. Rows are therefore compared one by one.
//! - An expression over one string is evaluated for every value of its dictionary, and one
//!   for which it fails sends the query back to the CPU, whether a row needs it or not.
//! - DataFusion computes a common subexpression, or a narrow projection, ahead of the CASE
//!   or the filter that needs it, and raises its errors in rows that do not.
//!
//! One kind of query is not compared: DataFusion takes an IN list for constant when a CASE
//! in it is constant over no rows, and then has the value of its first arm in every row.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use arrow::array::RecordBatch;
use datafusion::physical_plan::displayable;
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{TestCaseError, TestRunner},
};
use tokio::runtime::Runtime;
use windlass_kernels::KernelError;

use super::{Lowered, Query, data, difference, expected, leaf_of};

/// SQL text of one type.
type Text = BoxedStrategy<String>;

/// Expressions of each type of one depth and less.
#[derive(Clone)]
struct Trees {
    integer: Text,
    float: Text,
    decimal: Text,
    truth: Text,
    date: Text,
    time: Text,
    text: Text,
}

fn words(words: &'static [&'static str]) -> Text {
    select(words).prop_map(String::from).boxed()
}

fn leaves() -> Trees {
    let small = (-20i64..20).prop_map(|v| format!("({v})")).boxed();
    let columns =
        words(&["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "k", "k", "row % 7"]);
    Trees {
        integer: prop_oneof![3 => columns, 1 => small].boxed(),
        float: words(&["f64", "g64", "f32", "0.5e0", "-2.25e0", "0e0", "1e15"]),
        decimal: words(&[
            "d7",
            "d18",
            "d25",
            "d38",
            "CAST('1.25' AS DECIMAL(3, 2))",
            "CAST('-0.5' AS DECIMAL(2, 1))",
            "CAST('0' AS DECIMAL(5, 2))",
        ]),
        truth: words(&["b", "c", "b", "c", "true", "false", "CAST(NULL AS BOOLEAN)"]),
        date: words(&["date", "date", "DATE '2000-02-29'", "DATE '1969-12-31'"]),
        time: words(&["ts", "tms", "tus", "tns", "TIMESTAMP '2013-05-07T12:34:56'"]),
        text: words(&["s", "sv", "sn", "sl", "'late'", "'a'", "''"]),
    }
}

/// What can be made of any type.
fn any_type(t: &Text, all: &Trees) -> Text {
    let (truth, integer) = (&all.truth, &all.integer);
    prop_oneof![
        (truth.clone(), t.clone(), t.clone())
            .prop_map(|(c, x, y)| format!("CASE WHEN {c} THEN {x} ELSE {y} END")),
        (truth.clone(), t.clone()).prop_map(|(c, x)| format!("CASE WHEN {c} THEN {x} END")),
        (truth.clone(), t.clone(), truth.clone(), t.clone(), t.clone()).prop_map(
            |(c, x, d, y, z)| format!("CASE WHEN {c} THEN {x} WHEN {d} THEN {y} ELSE {z} END")
        ),
        (integer.clone(), integer.clone(), t.clone(), integer.clone(), t.clone()).prop_map(
            |(b, w, x, v, y)| { format!("CASE {b} WHEN {w} THEN {x} WHEN {v} THEN {y} END") }
        ),
        (t.clone(), t.clone(), t.clone()).prop_map(|(b, x, y)| {
            format!("CASE {b} WHEN {x} THEN {y} ELSE nullif({b}, {x}) END")
        }),
        (t.clone(), t.clone()).prop_map(|(x, y)| format!("coalesce({x}, {y})")),
        (t.clone(), t.clone(), t.clone()).prop_map(|(x, y, z)| format!("coalesce({x}, {y}, {z})")),
        (t.clone(), t.clone()).prop_map(|(x, y)| format!("nullif({x}, {y})")),
    ]
    .boxed()
}

fn infix(a: &Text, ops: &'static [&'static str], b: &Text) -> Text {
    (a.clone(), select(ops), b.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")).boxed()
}

fn call(functions: &'static [&'static str], a: &Text) -> Text {
    (select(functions), a.clone()).prop_map(|(f, a)| f.replace("{}", &a)).boxed()
}

/// One level more.
fn over(t: &Trees) -> Trees {
    let compared = |x: &Text| -> Text {
        let ops = &["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"];
        prop_oneof![
            4 => infix(x, ops, x),
            1 => call(&["{} IS NULL", "{} IS NOT NULL"], x),
            1 => (x.clone(), x.clone(), x.clone()).prop_map(|(a, b, c)| format!("({a} BETWEEN {b} AND {c})")),
            1 => (x.clone(), x.clone(), x.clone()).prop_map(|(a, b, c)| format!("({a} NOT BETWEEN {b} AND {c})")),
            2 => (x.clone(), x.clone(), x.clone(), select(&["", ", NULL"][..]), select(&["", "NOT "][..]))
                .prop_map(|(a, b, c, n, not)| format!("({a} {not}IN ({b}, {c}{n}))")),
            1 => (x.clone(), x.clone(), x.clone(), x.clone())
                .prop_map(|(a, b, c, d)| format!("({a} IN ({b}, {c}, {d}, {b}))")),
        ]
        .boxed()
    };
    let integer = prop_oneof![
        3 => t.integer.clone(),
        6 => infix(&t.integer, &["+", "-", "*", "/", "%", "&", "|"], &t.integer),
        3 => any_type(&t.integer, t),
        2 => call(&["(- {})", "abs({})", "({} << 3)", "({} >> 2)", "signum({})"], &t.integer),
        2 => call(
            &["TRY_CAST({} AS SMALLINT)", "CAST({} AS SMALLINT)", "TRY_CAST({} AS BIGINT UNSIGNED)",
              "CAST({} AS BIGINT)", "TRY_CAST({} AS TINYINT)", "CAST({} AS INT)"],
            &prop_oneof![t.integer.clone(), t.float.clone(), t.decimal.clone()].boxed(),
        ),
        1 => call(&["CAST({} AS INT)", "TRY_CAST({} AS BIGINT)"], &t.truth),
        1 => call(
            &["date_part('year', {})", "date_part('month', {})", "date_part('day', {})",
              "date_part('hour', {})", "date_part('dow', {})"],
            &prop_oneof![t.date.clone(), t.time.clone()].boxed(),
        ),
        1 => call(&["length({})", "strpos({}, 'l')", "TRY_CAST({} AS INT)"], &t.text),
        1 => infix(&t.date, &["-"], &t.date),
    ];
    let float = prop_oneof![
        3 => t.float.clone(),
        4 => infix(&t.float, &["+", "-", "*", "/", "%"], &t.float),
        1 => infix(&t.integer, &["+", "-", "*", "/", "%"], &t.float),
        3 => any_type(&t.float, t),
        3 => call(
            &["(- {})", "abs({})", "floor({})", "ceil({})", "round({})", "round({}, 2)",
              "round({}, -1)", "trunc({})", "signum({})", "sqrt({})", "sqrt(abs({}))", "ln({})",
              "log2({})", "log10({})", "exp({} / 100)", "power({}, 2)", "power({}, -1)"],
            &t.float,
        ),
        1 => (t.float.clone(), t.float.clone()).prop_map(|(a, b)| format!("power({a}, {b})")),
        1 => call(
            &["CAST({} AS DOUBLE)", "TRY_CAST({} AS REAL)"],
            &prop_oneof![t.integer.clone(), t.decimal.clone(), t.float.clone()].boxed(),
        ),
    ];
    let decimal = prop_oneof![
        3 => t.decimal.clone(),
        4 => infix(&t.decimal, &["+", "-", "*", "/", "%"], &t.decimal),
        1 => infix(&t.decimal, &["+", "-", "*", "/", "%"], &t.integer),
        3 => any_type(&t.decimal, t),
        2 => call(
            &["(- {})", "abs({})", "floor({})", "ceil({})", "round({})", "round({}, 1)",
              "trunc({}, 1)"],
            &t.decimal,
        ),
        2 => call(
            &["CAST({} AS DECIMAL(10, 4))", "TRY_CAST({} AS DECIMAL(5, 1))",
              "CAST({} AS DECIMAL(38, 6))", "TRY_CAST({} AS DECIMAL(18, 0))"],
            &prop_oneof![t.integer.clone(), t.decimal.clone()].boxed(),
        ),
    ];
    let truth = prop_oneof![
        2 => t.truth.clone(),
        3 => compared(&t.integer),
        1 => compared(&t.float),
        1 => compared(&t.decimal),
        1 => compared(&t.date),
        1 => compared(&t.time),
        1 => infix(&t.integer, &["=", "<", ">="], &prop_oneof![t.float.clone(), t.decimal.clone()].boxed()),
        1 => infix(&t.text, &["=", "<>", "IS DISTINCT FROM"], &t.text),
        1 => call(
            &["{} LIKE '%a%'", "{} NOT LIKE 'l%'", "{} IS NULL", "{} IN ('a', 'late', NULL)",
              "{} NOT IN ('', 'a')", "{} > 'b'"],
            &t.text,
        ),
        3 => infix(&t.truth, &["AND", "OR"], &t.truth),
        1 => infix(&t.truth, &["=", "<>", "IS DISTINCT FROM"], &t.truth),
        2 => call(
            &["(NOT {})", "({} IS TRUE)", "({} IS NOT FALSE)", "({} IS UNKNOWN)",
              "({} IS NOT NULL)"],
            &t.truth,
        ),
        1 => any_type(&t.truth, t),
        1 => call(&["CAST({} AS BOOLEAN)"], &prop_oneof![t.integer.clone(), t.float.clone()].boxed()),
    ];
    let moved: &'static [&'static str] = &[
        "({} + INTERVAL '1 month')",
        "({} - INTERVAL '13 months')",
        "({} + INTERVAL '40 days')",
        "({} - INTERVAL '1 year 2 days 3 hours')",
        "({} + INTERVAL '5 minutes')",
    ];
    let date = prop_oneof![
        3 => t.date.clone(),
        2 => call(moved, &t.date),
        2 => any_type(&t.date, t),
        1 => call(&["CAST({} AS DATE)"], &t.time),
    ];
    let time = prop_oneof![
        3 => t.time.clone(),
        2 => call(moved, &t.time),
        2 => any_type(&t.time, t),
        1 => call(&["date_trunc('month', {})", "date_trunc('hour', {})"], &t.time),
        1 => call(&["CAST({} AS TIMESTAMP)"], &prop_oneof![t.date.clone(), t.time.clone()].boxed()),
    ];
    let text = prop_oneof![
        3 => t.text.clone(),
        2 => call(
            &["upper({})", "lower({})", "substr({}, 2, 3)", "trim({})", "({} || '!')",
              "concat('<', {})", "replace({}, 'l', 'r')"],
            &t.text,
        ),
        2 => any_type(&t.text, t),
    ];
    Trees {
        integer: integer.boxed(),
        float: float.boxed(),
        decimal: decimal.boxed(),
        truth: truth.boxed(),
        date: date.boxed(),
        time: time.boxed(),
        text: text.boxed(),
    }
}

/// A query of two expressions and a condition.
fn queries() -> BoxedStrategy<String> {
    let t = (0..3).fold(leaves(), |t, _| over(&t));
    let any = prop_oneof![
        4 => t.integer,
        2 => t.float,
        2 => t.decimal,
        2 => t.truth.clone(),
        1 => t.date,
        1 => t.time,
        1 => t.text,
    ];
    let shallow = over(&leaves());
    let filter = prop_oneof![1 => Just("true".to_string()), 2 => shallow.truth, 1 => t.truth];
    (any.clone(), shallow.integer.clone(), filter.clone())
        .prop_map(|(e, f, c)| format!("SELECT {e} AS r, {f} AS q FROM t WHERE {c}"))
        .boxed()
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
});

/// The query, where DataFusion plans it as a chain of filters and projections: random
/// trees have types that do not fit, and what folds to no rows or constants has no chain.
fn plan(sql: &str, batch: &RecordBatch) -> Option<Query> {
    let planned = || RUNTIME.block_on(Query::try_plan(sql, batch, 1)).ok();
    let query = catch_unwind(AssertUnwindSafe(planned)).ok()??;
    let names = ["ProjectionExec", "FilterExec", "DataSourceExec"];
    let mut at = Some(&query.plan);
    while let Some(node) = at {
        if !names.contains(&node.name()) {
            return None;
        }
        at = node.children().first().copied();
    }
    Some(query)
}

/// DataFusion's answer; `None` where it panics (dates past the calendar).
fn answer(query: &Query, batch: &RecordBatch) -> Option<Result<RecordBatch, String>> {
    let run = || expected(&query.plan, batch).map_err(|e| e.to_string());
    catch_unwind(AssertUnwindSafe(run)).ok()
}

/// Whether the error is that of a string for which an expression fails.
fn of_a_dictionary(e: &KernelError) -> bool {
    !matches!(e, KernelError::DivideByZero | KernelError::Overflow(_))
        && e.to_string().contains("fails for a value")
}

/// Whether the query was compared, or what differs.
fn check(sql: &str, batch: &RecordBatch) -> Result<bool, String> {
    let Some(query) = plan(sql, batch) else { return Ok(false) };
    let Ok(lowered) = query.lower() else { return Ok(false) };
    let text = displayable(query.plan.as_ref()).indent(false).to_string();
    if text.split("IN (SET) (").skip(1).any(|list| list.contains("CASE")) {
        return Ok(false);
    }
    let ahead = text.lines().skip(1).any(|l| l.trim_start().starts_with("ProjectionExec"));
    let leaf = leaf_of(&query.plan, batch);
    let got = Lowered::new(lowered.clone()).run(&leaf);
    if let (Some(Ok(want)), Ok(got)) = (answer(&query, &leaf), &got) {
        return difference(&want, got, 0.0).map_or(Ok(true), Err);
    }
    let mut failed = false;
    for row in 0..leaf.num_rows() {
        let one = leaf.slice(row, 1);
        let ours = Lowered::new(lowered.clone()).run(&one);
        failed |= ours.is_err();
        let Some(theirs) = answer(&query, &one) else { continue };
        let what = match (theirs, ours) {
            (Ok(want), Ok(got)) => difference(&want, &got, 0.0),
            (Err(_), Err(_)) => None,
            (Ok(_), Err(e)) if of_a_dictionary(&e) => None,
            (Err(_), Ok(_)) if ahead => None,
            (Ok(want), Err(e)) => Some(format!("{e}, where DataFusion has {:?}", want.columns())),
            (Err(e), Ok(got)) => Some(format!("{:?}, where DataFusion has {e}", got.columns())),
        };
        if let Some(what) = what {
            return Err(format!("row {row} alone: {what}\nof {one:?}"));
        }
    }
    match got {
        Ok(_) if failed => Err("the rows together have no error, one alone has".into()),
        Err(e) if !failed && !of_a_dictionary(&e) => {
            Err(format!("the rows together have an error, none has alone: {e}"))
        }
        _ => Ok(true),
    }
}

fn run(cases: u32) {
    let compared = AtomicUsize::new(0);
    let config = ProptestConfig {
        cases,
        max_shrink_iters: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let strategy = (queries(), 0u64..1000, any::<bool>());
    let result = TestRunner::new(config).run(&strategy, |(sql, seed, wild)| {
        let done = check(&sql, &data(40, seed, wild))
            .map_err(|e| TestCaseError::fail(format!("{sql}\n{e}")))?;
        compared.fetch_add(usize::from(done), Ordering::Relaxed);
        Ok(())
    });
    if let Err(e) = result {
        panic!("{e}");
    }
    let compared = compared.into_inner();
    assert!(
        compared * 3 > cases as usize,
        "only {compared} of {cases} queries were lowered: the test shows little"
    );
}

#[test]
fn random_trees_have_datafusions_values_and_errors() {
    run(300);
}

/// The long mode: `WINDLASS_CASES` queries, 20,000 if it is not set.
#[test]
#[ignore = "takes minutes"]
fn many_random_trees() {
    run(std::env::var("WINDLASS_CASES").ok().and_then(|c| c.parse().ok()).unwrap_or(20_000));
}
