//! Random expression trees over random data.

use proptest::prelude::*;

use super::{Lowered, Query, assert_same, data, expected, leaf_of};

/// A number as SQL text.
fn number() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("i32".to_string()),
        Just("k".to_string()),
        Just("i64".to_string()),
        Just("i8".to_string()),
        Just("u16".to_string()),
        Just("f64".to_string()),
        Just("d7".to_string()),
        Just("date_part('month', date)".to_string()),
        Just("length(s)".to_string()),
        (-20i64..20).prop_map(|v| v.to_string()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let op = prop::sample::select(vec!["+", "-", "*", "/", "%"]);
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            (condition_over(inner.clone()), inner.clone(), inner.clone())
                .prop_map(|(c, a, b)| format!("CASE WHEN {c} THEN {a} ELSE {b} END")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("coalesce({a}, {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("nullif({a}, {b})")),
            inner.clone().prop_map(|a| format!("abs({a})")),
            inner.prop_map(|a| format!("TRY_CAST({a} AS SMALLINT)")),
        ]
    })
}

/// A condition over numbers.
fn condition_over(
    number: impl Strategy<Value = String> + Clone + 'static,
) -> BoxedStrategy<String> {
    let compare = prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM"]);
    let leaf = prop_oneof![
        (number.clone(), compare, number.clone()).prop_map(|(a, o, b)| format!("{a} {o} {b}")),
        number.clone().prop_map(|a| format!("{a} IS NULL")),
        (number.clone(), number).prop_map(|(a, b)| format!("{a} IN (1, {b}, 3)")),
        Just("b".to_string()),
        Just("s LIKE '%a%'".to_string()),
        Just("sv = 'late'".to_string()),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Where DataFusion gives an answer for a row, ours is the same. (Where it raises an
    /// error ours may not: it also evaluates the right side of AND where that is decided.)
    #[test]
    fn trees(expr in number(), condition in condition_over(number().boxed()), seed in 0u64..1000) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let batch = data(40, seed, seed.is_multiple_of(3));
        let sql = format!("SELECT {expr} AS r FROM t WHERE {condition}");
        let planned = runtime.block_on(plan(&sql, &batch));
        let Some(query) = planned else { return Ok(()) };
        let Ok(plan) = query.lower() else { return Ok(()) };
        let lowered = Lowered::new(plan);
        let leaf = leaf_of(&query.plan, &batch);
        for row in 0..leaf.num_rows() {
            let one = leaf.slice(row, 1);
            let Ok(want) = expected(&query.plan, &one) else { continue };
            match lowered.run(&one) {
                Ok(got) => assert_same(&format!("{sql}, row {row}"), &want, &got, 0.0),
                Err(e) => prop_assert!(false, "{sql}, row {row}: {e} for {want:?}"),
            }
        }
    }
}

/// The query, where DataFusion plans it: random trees have types that do not fit.
async fn plan(sql: &str, batch: &arrow::array::RecordBatch) -> Option<Query> {
    let config = datafusion::prelude::SessionConfig::new().with_target_partitions(1);
    let context = datafusion::prelude::SessionContext::new_with_config(config);
    context.register_batch("t", batch.clone()).ok()?;
    let frame = context.sql(sql).await.ok()?;
    let plan = frame.create_physical_plan().await.ok()?;
    // What folds to no rows or constants has no chain.
    let names = ["ProjectionExec", "FilterExec", "DataSourceExec"];
    let mut at = Some(&plan);
    while let Some(node) = at {
        if !names.contains(&node.name()) {
            return None;
        }
        at = node.children().first().copied();
    }
    Some(Query { plan })
}
