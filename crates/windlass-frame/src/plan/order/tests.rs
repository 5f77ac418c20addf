//! Tests of the order of joins: figures, orders, and rows that stay the same.

use std::sync::Arc;

use arrow::{
    array::{Int64Array, RecordBatch, StringArray},
    util::pretty::pretty_format_batches,
};
use datafusion::{
    execution::SessionStateBuilder,
    physical_plan::displayable,
    prelude::{SessionConfig, SessionContext},
};
use proptest::prelude::*;

use super::*;

/// A context with the rule where DataFusion has chosen build sides, or without.
fn context(ordered: bool) -> SessionContext {
    let mut rules = datafusion::physical_optimizer::optimizer::PhysicalOptimizer::new().rules;
    let at = rules.iter().position(|r| r.name() == "join_selection").expect("a rule") + 1;
    if ordered {
        rules.insert(at, Arc::new(OrderJoins));
    }
    let config = SessionConfig::new().with_target_partitions(2);
    let state = SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_physical_optimizer_rules(rules)
        .build();
    SessionContext::new_with_state(state)
}

/// A table of `rows` rows: its number, and columns that repeat after so many rows.
fn table(context: &SessionContext, name: &str, rows: i64, columns: &[(&str, i64)]) {
    let id: Vec<i64> = (0..rows).collect();
    let mut arrays = vec![("id".to_string(), Arc::new(Int64Array::from(id)) as _)];
    for (column, values) in columns {
        // Every eleventh row has no value.
        let of = |i: i64| (i % 11 != 10).then_some((i * 7 + 3) % values);
        let array = Int64Array::from_iter((0..rows).map(of));
        arrays.push(((*column).to_string(), Arc::new(array) as _));
    }
    let names = StringArray::from_iter_values((0..rows).map(|i| format!("{name}{}", i % 5)));
    arrays.push(("name".to_string(), Arc::new(names) as _));
    let batch = RecordBatch::try_from_iter(arrays).expect("columns of a length");
    context.register_batch(name, batch).expect("a new name");
}

fn tables(context: &SessionContext) {
    table(context, "item", 6_000, &[("orders", 1_500), ("supplier", 100), ("part", 200)]);
    table(context, "orders", 1_500, &[("customer", 150), ("part", 200)]);
    table(context, "customer", 150, &[("nation", 25)]);
    table(context, "supplier", 100, &[("nation", 25)]);
    table(context, "nation", 25, &[("region", 5)]);
    table(context, "region", 5, &[]);
    table(context, "offer", 800, &[("part", 200), ("supplier", 100)]);
}

async fn rows(context: &SessionContext, sql: &str) -> Vec<String> {
    let batches = context.sql(sql).await.expect(sql).collect().await.expect(sql);
    let text = pretty_format_batches(&batches).expect("a table").to_string();
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    lines.sort_unstable();
    lines
}

async fn plan(context: &SessionContext, sql: &str) -> String {
    let plan = context.sql(sql).await.expect(sql).create_physical_plan().await.expect(sql);
    displayable(&*plan).indent(false).to_string()
}

/// Asserts that the rows stay, and tells whether the plan changed.
async fn same(sql: &str) -> bool {
    let (ours, theirs) = (context(true), context(false));
    tables(&ours);
    tables(&theirs);
    assert_eq!(rows(&ours, sql).await, rows(&theirs, sql).await, "{sql}");
    plan(&ours, sql).await != plan(&theirs, sql).await
}

const REGION: &str = "select n.name, count(*) c, sum(i.id) s from customer c \
    join orders o on c.id = o.customer join item i on i.orders = o.id \
    join supplier s on i.supplier = s.id and c.nation = s.nation \
    join nation n on s.nation = n.id join region r on n.region = r.id \
    where r.name = 'region1' group by n.name";

#[tokio::test]
async fn small_relations_are_joined_first() {
    assert!(same(REGION).await);
    let context = context(true);
    tables(&context);
    let plan = plan(&context, REGION).await;
    // Nations are not what is joined last, as it is written.
    let lines: Vec<&str> = plan.lines().filter(|l| l.contains("HashJoinExec")).collect();
    assert_eq!(lines.len(), 5, "{plan}");
    assert!(!lines[0].contains("region@"), "{plan}");
}

#[tokio::test]
async fn rows_stay_with_predicates_tests_and_projections() {
    let queries = [
        "select * from item i join orders o on i.orders = o.id join customer c on \
         o.customer = c.id join nation n on c.nation = n.id where n.name <> c.name and i.id < 90",
        "select i.id, n1.name, n2.name from item i join orders o on i.orders = o.id \
         join customer c on o.customer = c.id join supplier s on i.supplier = s.id \
         join nation n1 on s.nation = n1.id join nation n2 on c.nation = n2.id \
         where (n1.name = 'nation1' and n2.name = 'nation2') or (n1.name = 'nation2' and \
         n2.name = 'nation1')",
        "select count(*) from item i join orders o on i.orders = o.id join customer c on \
         o.customer = c.id where c.nation in (select id from nation where region = 1)",
        "select o.id, i.id from orders o join item i on i.orders = o.id join customer c on \
         o.customer = c.id where o.id in (select orders from item group by orders having \
         sum(id) > 11000) and not exists (select 1 from offer f where f.supplier = i.supplier \
         and f.id > i.id + 600)",
        "select f.id, i.id, p.name from item i join offer f on f.part = i.part and \
         f.supplier = i.supplier join supplier s on s.id = f.supplier join orders p on \
         p.part = f.part where s.nation = 3",
        "select i.id + 1 as next, o.id * 2 as twice, c.name from item i join orders o on \
         i.orders = o.id left join customer c on o.customer = c.id join supplier s on \
         i.supplier = s.id join nation n on n.id = s.nation where n.region = 2",
        "select count(*) from item a join item b on a.id = b.orders join orders o on o.id = \
         a.orders join customer c on c.id = o.customer and c.nation < a.supplier",
    ];
    for sql in queries {
        same(sql).await;
    }
}

#[tokio::test]
async fn two_equal_keys_of_a_relation_are_both_compared() {
    let sql = "select count(*) from item i join orders o on i.orders = o.id and i.part = o.id \
               join customer c on o.customer = c.id join nation n on c.nation = n.id";
    same(sql).await;
}

#[tokio::test]
async fn a_chain_without_statistics_or_gain_stays() {
    let sql = "select count(*) from nation n join region r on n.region = r.id";
    assert!(!same(sql).await, "two relations have one order");
    let (ours, plain) = (context(true), context(false));
    tables(&ours);
    let off = "set datafusion.optimizer.join_reordering = false";
    ours.sql(off).await.expect("a setting");
    let with = plan(&ours, REGION).await;
    tables(&plain);
    plain.sql(off).await.expect("a setting");
    assert_eq!(with, plan(&plain, REGION).await, "the setting turns it off");
}

#[tokio::test]
async fn many_relations_are_ordered_by_their_smallest_results() {
    let mut sql = "select count(*) from item i0".to_string();
    for n in 1..13 {
        sql += &format!(" join orders i{n} on i{n}.id = i{}.id", n - 1);
    }
    sql += " join nation n on n.id = i3.id where n.region = 1";
    same(&sql).await;
}

#[test]
fn a_filter_on_keys_leaves_few_of_them_however_many_rows_each_has() {
    use figures::{ColumnFigures, Figures, met};
    let key = |distinct| ColumnFigures { distinct: Some(distinct), ..Default::default() };
    let of = |rows, base, key: ColumnFigures| Figures { rows, base, columns: vec![key] };
    let (part, offer) = (of(20.0, 200.0, key(200.0)), of(800.0, 800.0, key(200.0)));
    let met = met(&part, &key(200.0), &offer, &key(200.0));
    assert!((met.0 - 0.1).abs() < 1e-9 && (met.1 - 0.1).abs() < 1e-9, "{met:?}");
    // Of the offers a tenth is left: four each of a tenth of the parts.
    let joined = ColumnFigures { left: Some(met.1), ..key(200.0) };
    let offers = of(80.0, 800.0, joined);
    assert!((offers.left_of(&joined) - 0.1).abs() < 1e-9);
    assert!(offers.left_of(&key(200.0)) > 0.3, "any tenth of the rows has more of them");
}

#[test]
fn figures_of_predicates() {
    use datafusion::{
        logical_expr::Operator,
        physical_expr::expressions::{BinaryExpr, Column, Literal},
        physical_plan::PhysicalExpr,
    };
    use figures::{ColumnFigures, selectivity};

    let column = ColumnFigures {
        distinct: Some(50.0),
        range: Some((0.0, 100.0)),
        nulls: Some(0.25),
        left: None,
    };
    let of = |c: usize| (c == 0).then_some(column);
    let a = Arc::new(Column::new("a", 0)) as Arc<dyn PhysicalExpr>;
    let test = |op, v: i64| {
        let literal = Arc::new(Literal::new(v.into()));
        Arc::new(BinaryExpr::new(Arc::clone(&a), op, literal)) as Arc<dyn PhysicalExpr>
    };
    let share = |e: &Arc<dyn PhysicalExpr>| selectivity(e, &of);
    assert!((share(&test(Operator::Eq, 3)) - 0.02).abs() < 1e-9);
    assert!((share(&test(Operator::NotEq, 3)) - 0.98).abs() < 1e-9);
    assert!((share(&test(Operator::Lt, 30)) - 0.3).abs() < 1e-9);
    assert!((share(&test(Operator::Gt, 30)) - 0.7).abs() < 1e-9);
    assert!(share(&test(Operator::Gt, 300)).abs() < 1e-9);
    let both = |x, y, op| Arc::new(BinaryExpr::new(x, op, y)) as Arc<dyn PhysicalExpr>;
    let between = both(test(Operator::GtEq, 20), test(Operator::Lt, 30), Operator::And);
    assert!((share(&between) - 0.1).abs() < 1e-9, "{}", share(&between));
    let either = both(test(Operator::Lt, 20), test(Operator::Gt, 90), Operator::Or);
    assert!((share(&either) - 0.28).abs() < 1e-9, "{}", share(&either));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Chains of joins in any written order, with tests and predicates between them.
    #[test]
    fn any_chain_keeps_its_rows(
        seed in proptest::collection::vec(0usize..7, 3..7),
        semi in any::<bool>(),
        bound in 0i64..40,
    ) {
        // Each relation meets an earlier one by a column that both have.
        let links = [
            ("item", "orders", "orders", "id"),
            ("orders", "customer", "customer", "id"),
            ("item", "supplier", "supplier", "id"),
            ("customer", "nation", "nation", "id"),
            ("supplier", "nation", "nation", "id"),
            ("item", "offer", "part", "part"),
            ("offer", "supplier", "supplier", "id"),
        ];
        let mut sql = "select count(*) c, sum(t0.id) s, min(t0.name) m from item t0".to_string();
        let mut tables = vec!["item"];
        for s in seed {
            let able = |l: &&(&str, &str, &str, &str)| tables.contains(&l.0);
            let able: Vec<_> = links.iter().filter(able).collect();
            let (from, to, key, other) = able[s % able.len()];
            let at = tables.iter().position(|t| t == from).expect("it is able");
            let n = tables.len();
            sql += &format!(" join {to} t{n} on t{at}.{key} = t{n}.{other}");
            tables.push(to);
        }
        let last = tables.len() - 1;
        sql += &format!(" where t{last}.id < {bound}");
        if semi {
            sql += " and t1.id in (select id from nation where region < 3)";
        }
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        runtime.block_on(same(&sql));
    }
}
