//! Each kind of expression that is no string, over ordinary and extreme values.

use super::{compare, data, refused};

/// Functions of the C library and of Rust's differ in the last bits: a relative bound of
/// a few units in the last place of a 64-bit float.
const LIBM: f64 = 1e-14;

async fn check_all(exprs: &[&str]) {
    let queries: Vec<String> = exprs.iter().map(|e| format!("SELECT {e} AS r FROM t")).collect();
    super::check_all(&queries, &[data(100, 1, false), data(150, 2, true)], 0.0).await;
}

#[tokio::test]
async fn integers() {
    check_all(&[
        "i32 + k",
        "i64 - i32",
        "i64 * 3",
        "i8 * i8",
        "i32 / k",
        "i64 % k",
        "i64 % -1",
        "i8 / -1",
        "u8 + u16",
        "u32 - 1",
        "u64 / 7",
        "u64 % u8",
        "-i32",
        "-i64",
        "i32 & 7",
        "i64 | k",
        "i32 << 2",
        "i64 >> 3",
        "u8 & u8",
        "i16 + i8",
        "i64 + 9223372036854775807",
    ])
    .await;
}

#[tokio::test]
async fn floats() {
    check_all(&[
        "f64 + g64",
        "f64 - g64",
        "f64 * g64",
        "f64 / g64",
        "f64 % g64",
        "f32 * 2",
        "f32 / f32",
        "-f64",
        "f64 + i32",
        "f64 = g64",
        "f64 < g64",
        "f64 >= g64",
        "f64 IS DISTINCT FROM g64",
        "f32 > 1.5",
        "f64 IN (1.0, 0.0, 0.5)",
        "f64 BETWEEN 0 AND 10",
        "f32 = f32",
    ])
    .await;
}

#[tokio::test]
async fn decimals() {
    check_all(&[
        "d7 + d7",
        "d7 + d18",
        "d7 - d25",
        "d18 * d7",
        "d25 * d7",
        "d38 + d38",
        "d38 - d7",
        "d7 * d7 * d7",
        "d7 / d7",
        "d18 / d7",
        "d38 / 3.0",
        "d7 % d7",
        "d18 % d7",
        "d25 % d18",
        "-d7",
        "-d38",
        "d7 + 1",
        "d7 * 2",
        "d7 * (1 - d7)",
        "d7 > d18",
        "d7 = d25",
        "d38 <= d7",
        "d7 = 1.25",
        "d18 BETWEEN -100 AND 100.5",
        "d7 IN (1.00, 2.50)",
        "d7 IS DISTINCT FROM d18",
        "d25 % 7",
        "d7 / 0.00",
        // The dividend overflows where it is scaled; that is no error beside a null.
        "d38 / d7",
        "d38 / nullif(d7, d7)",
        "nullif(d38, d38) % d25",
        "d38 + nullif(d25 * d7, d25 * d7)",
    ])
    .await;
}

#[tokio::test]
async fn logic_and_nulls() {
    check_all(&[
        "b AND c",
        "b OR c",
        "NOT b",
        "b IS NULL",
        "b IS NOT TRUE",
        "b IS TRUE",
        "b IS UNKNOWN",
        "i32 IS NULL",
        "i32 IS NOT NULL",
        "b = c",
        "b IS DISTINCT FROM c",
        "i32 IS DISTINCT FROM k",
        "i64 IS NOT DISTINCT FROM 5",
        "i32 > 3 AND i64 < 100",
        "k IN (1, 2, NULL)",
        "k NOT IN (1, 2, NULL)",
        "k IN (1, 2)",
        "i64 NOT IN (i32, 7, k)",
        "i32 BETWEEN k AND 100",
        "u8 > i8",
        "date > '2000-01-01'",
        "ts < '2013-05-07T12:00:00'",
        "coalesce(i32, k, 7)",
        "coalesce(i32, i64)",
        "nullif(k, 3)",
        "nullif(f64, 0.0)",
        "k > 2 OR 10 / k > 1",
    ])
    .await;
}

#[tokio::test]
async fn an_arm_that_is_not_taken_raises_nothing() {
    check_all(&[
        "CASE WHEN k <> 0 THEN i32 / k ELSE -1 END",
        "CASE WHEN k = 0 THEN 0 WHEN i32 / k > 10 THEN 1 END",
        "CASE k WHEN 0 THEN 1.5 WHEN 1 THEN f64 ELSE g64 END",
        "CASE WHEN b THEN CASE WHEN k > 0 THEN i64 / k END ELSE i64 % 5 END",
        "CASE WHEN k > 0 AND i32 / k > 1 THEN 'x' = 'x' END",
        "CASE k WHEN i32 THEN i32 WHEN 1 THEN NULL ELSE 3 END",
        "CASE WHEN k > 1 THEN d7 ELSE d18 END",
        "coalesce(nullif(k, 0), 1) + CASE WHEN k = 0 THEN 1 ELSE 100 / k END",
        "k <> 0 AND 10 / k > 1",
        "k = 0 OR 10 / k > 1",
        "CASE WHEN k > 0 THEN CAST(i64 AS SMALLINT) ELSE 0 END",
        // A null base is compared with no WHEN.
        "CASE i32 WHEN 10 / k THEN 1 WHEN i64 % k THEN 2 ELSE 3 END",
        "CASE nullif(k, 0) WHEN 10 / k THEN 1 ELSE 3 END",
        // The items of a list after the first that is equal are not evaluated.
        "k + 1 IN (1, 10 / k, 5)",
        "k + 1 NOT IN (k + 1, 10 / k, 7 % k)",
        "nullif(k, 0) + 1 IN (k + 1, 10 / k, NULL)",
    ])
    .await;
}

#[tokio::test]
async fn a_filter_hides_the_errors_of_what_is_above() {
    let queries = [
        "SELECT i64 / k AS r, s FROM t WHERE k <> 0",
        "SELECT i32 + 1 AS r FROM t WHERE b",
        "SELECT 10 / k AS r FROM (SELECT k, i32 FROM t WHERE k > 0) WHERE i32 / k > 3",
        "SELECT x * 2 AS r, x + 1 AS q FROM (SELECT i32 + 1 AS x, b FROM t WHERE c) WHERE x > 2 AND b",
        "SELECT s, d7, date, b, f32, sv, sd FROM t WHERE i8 > 0",
    ].map(String::from);
    super::check_all(&queries, &[data(100, 3, false), data(100, 4, true)], 0.0).await;
}

#[tokio::test]
async fn casts() {
    for cast in ["CAST", "TRY_CAST"] {
        let exprs = [
            "i64 AS INT",
            "i64 AS TINYINT",
            "i8 AS BIGINT",
            "i32 AS BIGINT UNSIGNED",
            "u64 AS BIGINT",
            "u8 AS INT",
            "i64 AS DOUBLE",
            "i32 AS REAL",
            "f64 AS INT",
            "f64 AS BIGINT",
            "f32 AS BIGINT",
            "f64 AS REAL",
            "f32 AS DOUBLE",
            "f64 AS TINYINT UNSIGNED",
            "b AS INT",
            "b AS DOUBLE",
            "i32 AS BOOLEAN",
            "f64 AS BOOLEAN",
            "d7 AS DECIMAL(10,4)",
            "d7 AS DECIMAL(5,1)",
            "d18 AS DECIMAL(7,2)",
            "d18 AS DECIMAL(18,0)",
            "d25 AS DECIMAL(18,4)",
            "d38 AS DECIMAL(20,2)",
            "d7 AS DECIMAL(38,10)",
            "d25 AS DECIMAL(38,20)",
            "d7 AS INT",
            "d25 AS BIGINT",
            "d38 AS TINYINT",
            "d7 AS DOUBLE",
            "d38 AS DOUBLE",
            "d18 AS REAL",
            "i32 AS DECIMAL(10,2)",
            "i64 AS DECIMAL(18,2)",
            "i64 AS DECIMAL(38,10)",
            "u64 AS DECIMAL(20,0)",
            "u8 AS DECIMAL(5,2)",
            "i8 AS DECIMAL(3,2)",
            "date AS TIMESTAMP",
            "ts AS DATE",
            "tns AS DATE",
            "tms AS DATE",
            "tus AS TIMESTAMP",
            "ts AS TIMESTAMP",
            "tns AS BIGINT",
            "i64 AS TIMESTAMP",
            "date AS INT",
        ];
        let exprs: Vec<String> = exprs
            .iter()
            .map(|e| format!("{cast}({e})"))
            // The floor of a time is an error when it is past the calendar, whatever the cast.
            .chain(["arrow_cast(tns, 'Timestamp(Second, None)')".to_string()])
            .collect();
        let exprs: Vec<&str> = exprs.iter().map(String::as_str).collect();
        check_all(&exprs).await;
    }
}

#[tokio::test]
async fn dates() {
    let mut exprs = Vec::new();
    for column in ["date", "ts", "tms", "tus", "tns"] {
        for part in [
            "year",
            "quarter",
            "month",
            "week",
            "day",
            "doy",
            "dow",
            "isodow",
            "isoyear",
            "hour",
            "minute",
            "second",
            "millisecond",
            "microsecond",
            "nanosecond",
            "epoch",
        ] {
            exprs.push(format!("date_part('{part}', {column})"));
        }
        exprs.push(format!("extract(year FROM {column}) * 100 + extract(month FROM {column})"));
    }
    for column in ["ts", "tms", "tus", "tns"] {
        for unit in [
            "year",
            "quarter",
            "month",
            "week",
            "day",
            "hour",
            "minute",
            "second",
            "millisecond",
            "microsecond",
        ] {
            exprs.push(format!("date_trunc('{unit}', {column})"));
        }
    }
    for column in ["date", "ts", "tms", "tus", "tns"] {
        for interval in ["1 month", "-13 months", "40 days", "1 year 2 days 3 hours", "5 minutes"] {
            exprs.push(format!("{column} + INTERVAL '{interval}'"));
            exprs.push(format!("{column} - INTERVAL '{interval}'"));
        }
    }
    exprs.extend(
        ["date - DATE '2000-01-01'", "INTERVAL '1 day' + ts", "tns - tns"].map(String::from),
    );
    let (trunc, others): (Vec<String>, Vec<String>) = exprs
        .into_iter()
        .map(|e| format!("SELECT {e} AS r FROM t"))
        .partition(|e| e.contains("date_trunc"));
    let (mild, wild) = (data(60, 5, false), data(40, 6, true));
    // DataFusion panics where date_trunc leaves the range of nanoseconds.
    super::check_all(&trunc, std::slice::from_ref(&mild), 0.0).await;
    super::check_all(&others, &[mild, wild], 0.0).await;
}

#[tokio::test]
async fn functions() {
    check_all(&[
        "abs(i32)",
        "abs(i64)",
        "abs(u8)",
        "abs(f64)",
        "abs(d7)",
        "abs(i8)",
        "round(f64)",
        "round(f64, 2)",
        "round(f64, -1)",
        "round(f32, 1)",
        "round(d7)",
        "round(d7, 1)",
        "round(d18, 2)",
        "round(d25, 3)",
        "round(i32)",
        "floor(f64)",
        "ceil(f32)",
        "floor(d7)",
        "ceil(d7)",
        "ceil(d25)",
        "floor(d38)",
        "trunc(f64)",
        "trunc(f32)",
        "signum(f64)",
        "signum(f64) > 1",
        "signum(f32)",
        "sqrt(f64)",
        "power(f64, 2)",
        "round(i64, 3)",
        "abs(d38)",
    ])
    .await;
    let (mild, wild) = (data(100, 1, false), data(150, 2, true));
    let mut failed = Vec::new();
    for e in [
        "exp(f64 / 100)",
        "ln(f64)",
        "log2(f64)",
        "log10(f64)",
        "log(f64)",
        "log(2.0, f64)",
        "power(f64, 0.5)",
        "power(g64, -2)",
        "ln(f32)",
        "exp(i8)",
    ] {
        let sql = format!("SELECT {e} AS r FROM t");
        // Single-precision functions differ by a few units in the last place.
        let tolerance = if e.contains("f32") { 1e-6 } else { LIBM };
        for batch in [&mild, &wild] {
            failed.extend(compare(&sql, batch, tolerance).await.err());
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn what_is_not_lowered_says_why() {
    let batch = data(5, 7, false);
    for (e, word) in [
        ("random()", "volatile"),
        ("concat(s, sv)", "no device form"),
        ("s < sv", "order of two strings"),
        ("CAST(i32 AS VARCHAR)", "cast"),
        ("sin(f64)", "no device form"),
        ("to_char(ts, '%Y')", "no device form"),
        ("round(f64, k)", "no device form"),
    ] {
        let reason = refused(&format!("SELECT {e} AS r FROM t"), &batch).await;
        assert!(reason.contains(word), "{e}: {reason}");
    }
}
