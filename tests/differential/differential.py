#!/usr/bin/env python3
"""Random queries over random data: Windlass on several devices against DuckDB.

Writes random tables as Parquet, makes random queries (filters with nulls, CASE, dates,
decimals, strings, group-bys of 1 to 10^6 groups; joins, windows, sorts, top-k and set
operations of relational.py), runs each on DuckDB and, by `windlass run`, on every device
named, and compares the rows: exactly, but floats within REL_TOL; in order where the query
orders. Exits with 1 and prints the query, the seed and the first rows that differ.

  differential.py --windlass target/debug/windlass [--devices cpu,wgpu:0,cuda-emulated:0,cuda-emulated*3]
                  [--queries 240] [--relational 260] [--seed 1] [--rows 20000] [--minutes 0]

The long mode is `--minutes 600`: it goes on with new tables and queries until the time is up.
"""

import argparse
import decimal
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import relational
from compare import differences, rows_of
from relational import Query

INTS = ["i8", "i16", "i32", "i64", "u8", "u16", "u32"]
STRINGS = ["s", "t"]


def table(rng, rows):
    """A table with a column of every supported type, nulls in each, skewed keys."""

    def col(make, typ, nulls=0.1):
        return pa.array(
            [None if rng.random() < nulls else make() for _ in range(rows)], type=typ
        )

    words = ["", "a", "Abc", "abcdef", "NA", "ünïcode", "x%y", "日本", "longer text here"]
    names = {f"n{i:03}" for i in range(200)}
    names = sorted(names)
    day0 = -3000
    return pa.table(
        {
            "i8": col(lambda: rng.choice([-128, 127, 0, rng.randint(-100, 100)]), pa.int8()),
            "i16": col(lambda: rng.randint(-300, 300), pa.int16()),
            "i32": col(lambda: rng.randint(-(10**6), 10**6), pa.int32()),
            "i64": col(lambda: rng.randint(-(10**12), 10**12), pa.int64()),
            "u8": col(lambda: rng.randint(0, 255), pa.uint8()),
            "u16": col(lambda: rng.randint(0, 1000), pa.uint16()),
            "u32": col(lambda: rng.randint(0, 10**6), pa.uint32()),
            "k": col(lambda: int(rng.random() ** 3 * 1000), pa.int32(), 0.02),
            "f32": col(lambda: rng.choice([0.0, 0.5, -2.25, rng.randint(-64, 64) / 8]), pa.float32()),
            "f64": col(lambda: rng.uniform(-1e3, 1e3), pa.float64()),
            "b": col(lambda: rng.random() < 0.4, pa.bool_()),
            "d": col(lambda: day0 + rng.randint(0, 30000), pa.date32()),
            "ts": col(lambda: rng.randint(-(10**15), 2 * 10**15), pa.timestamp("us")),
            "m": col(lambda: decimal.Decimal(rng.randint(-(10**7), 10**7)).scaleb(-2), pa.decimal128(12, 2)),
            "w": col(lambda: decimal.Decimal(rng.randint(-(10**22), 10**22)).scaleb(-4), pa.decimal128(30, 4)),
            "s": col(lambda: rng.choice(words), pa.string()),
            "t": col(lambda: rng.choice(names), pa.string(), 0.05),
            "id": pa.array(range(rows), type=pa.int64()),
        }
    )


TABLES = ["data", "big", "side"]


class Gen:
    """Random expressions whose meaning is the same in both dialects."""

    def __init__(self, rng):
        self.r = rng

    def num(self, depth):
        r = self.r
        if depth <= 0 or r.random() < 0.3:
            return r.choice(
                ["CAST(i32 AS BIGINT)", "CAST(i16 AS BIGINT)", "CAST(i8 AS BIGINT)", "CAST(u8 AS BIGINT)",
                 "CAST(k AS BIGINT)", "CAST(u16 AS BIGINT)", str(r.randint(-50, 50))]
            )
        a, b = self.num(depth - 1), self.num(depth - 1)
        return r.choice(
            [
                lambda: f"({a} + {b})",
                lambda: f"({a} - {b})",
                lambda: f"({a} * {r.randint(-9, 9)})",
                lambda: f"({a} % {r.randint(1, 97)})",
                lambda: f"abs({a})",
                lambda: f"coalesce({a}, {b})",
                lambda: f"nullif({a}, {r.randint(-3, 3)})",
                lambda: f"CASE WHEN {self.cond(depth - 1)} THEN {a} WHEN {self.cond(depth - 1)} THEN {b} END",
                lambda: f"CASE WHEN {self.cond(depth - 1)} THEN {a} ELSE {b} END",
                lambda: f"CAST(extract({r.choice(['year', 'month', 'day', 'doy', 'quarter'])} FROM d) AS BIGINT)",
                lambda: f"CAST(extract({r.choice(['year', 'month', 'day', 'hour', 'minute'])} FROM ts) AS BIGINT)",
                lambda: f"CAST(length({r.choice(STRINGS)}) AS BIGINT)",
            ]
        )()

    def flt(self, depth):
        r = self.r
        if depth <= 0 or r.random() < 0.3:
            return r.choice(["f64", "CAST(f32 AS DOUBLE)", "CAST(k AS DOUBLE)", "CAST(m AS DOUBLE)"])
        a = self.flt(depth - 1)
        return r.choice(
            [
                lambda: f"({a} + {self.flt(depth - 1)})",
                lambda: f"({a} * 0.5)",
                lambda: f"sqrt(abs({a}))",
                lambda: f"floor({a})",
                lambda: f"ceil({a})",
                lambda: f"abs({a})",
                lambda: f"({a} / (abs({self.flt(depth - 1)}) + 1.0))",
                lambda: f"CAST({self.num(depth - 1)} AS DOUBLE)",
                lambda: f"coalesce({a}, 0.25)",
            ]
        )()

    def text(self):
        r = self.r
        c = r.choice(STRINGS)
        return r.choice(
            [c, c, f"upper({c})", f"substr({c}, 1, 2)", f"coalesce({c}, 'none')",
             f"CASE WHEN {c} LIKE 'n0%' THEN 'low' WHEN {c} IS NULL THEN 'null' ELSE 'high' END"]
        )

    def cond(self, depth):
        r = self.r
        if depth > 0 and r.random() < 0.4:
            a, b = self.cond(depth - 1), self.cond(depth - 1)
            return r.choice([f"({a} AND {b})", f"({a} OR {b})", f"(NOT {a})"])
        return r.choice(
            [
                lambda: f"{self.num(depth - 1)} {r.choice(['<', '<=', '>', '>=', '=', '<>'])} {self.num(depth - 1)}",
                lambda: f"{r.choice(INTS)} IS {r.choice(['', 'NOT '])}NULL",
                lambda: "b",
                lambda: "b IS NOT TRUE",
                                # One column in one list only: DataFusion 55 turns "a NOT IN (1) OR a NOT IN (2)"
                # into true also where a is null.
                lambda: f"(k + {r.randint(1, 200)} - 100) IN ({r.randint(0, 9)}, {r.randint(10, 99)}, {r.randint(100, 999)})",
                lambda: f"(i16 + {r.randint(1, 200)}) NOT IN ({r.randint(-9, 9)}, {r.randint(10, 99)})",
                lambda: f"i32 BETWEEN {r.randint(-10**6, 0)} AND {r.randint(0, 10**6)}",
                lambda: f"f64 > {r.uniform(-900, 900):.3f}",
                lambda: f"m >= {r.randint(-50000, 50000)}.25",
                lambda: f"w < {r.randint(-10**9, 10**9)}.5",
                lambda: f"d >= DATE '{r.randint(1965, 2040)}-0{r.randint(1, 9)}-15'",
                lambda: f"ts < TIMESTAMP '{r.randint(1965, 2030)}-0{r.randint(1, 9)}-10 12:34:56'",
                lambda: f"s {r.choice(['=', '<>', '<', '>='])} '{r.choice(['abc', 'a', 'NA', 'x%y'])}'",
                lambda: f"t LIKE '{r.choice(['n0%', '%5', 'n_1%', '%'])}'",
                lambda: f"s IN ('a', 'NA', '日本')",
                lambda: "(CAST(i8 AS INT) IS DISTINCT FROM CAST(u8 AS INT))",
            ]
        )()

    def agg(self):
        r = self.r
        d = r.randint(0, 2)
        kind = r.choice(["int", "flt", "dec", "cnt", "min", "var"])
        where = f" FILTER (WHERE {self.cond(1)})" if r.random() < 0.15 else ""
        if kind == "int":
            return f"{r.choice(['sum', 'min', 'max', 'avg'])}({self.num(d)}){where}"
        if kind == "flt":
            return f"{r.choice(['sum', 'avg', 'min', 'max'])}({self.flt(d)}){where}"
        if kind == "dec":
            return f"{r.choice(['sum', 'min', 'max'])}({r.choice(['m', 'w', 'm * 2'])}){where}"
        if kind == "cnt":
            return r.choice([f"count(*){where}", f"count({r.choice(INTS + STRINGS + ['b', 'd'])}){where}"])
        if kind == "min":
            return f"{r.choice(['min', 'max'])}({r.choice(INTS + ['f32', 'd', 'ts', 'k'])}){where}"
        return f"{r.choice(['stddev_samp', 'var_samp', 'var_pop', 'stddev_pop'])}({self.flt(d)}){where}"

    def key(self):
        r = self.r
        return r.choice(
            [lambda: r.choice(INTS[:6] + ["k", "b", "d", "s", "t", "m"]), self.text, lambda: f"({self.num(1)} % 7)",
             lambda: f"extract(year FROM d)", lambda: f"{self.cond(1)}"]
        )()

    def query(self):
        r = self.r
        where = f" WHERE {self.cond(2)}" if r.random() < 0.8 else ""
        if r.random() < 0.25:
            cols = [self.num(2), self.flt(2), self.text(), self.cond(2), "d", "ts", "m"]
            r.shuffle(cols)
            cols = ["id"] + cols[: r.randint(1, 4)]
            return ", ".join(f"{c} AS c{i}" for i, c in enumerate(cols)), where, ""
        keys = distinct_names([self.key() for _ in range(r.choice([0, 1, 1, 1, 2, 2, 3]))])
        aggs = distinct_names([self.agg() for _ in range(r.randint(1, 4))])
        cols = ", ".join(f"{c} AS c{i}" for i, c in enumerate(keys + aggs))
        group = f" GROUP BY {', '.join(str(i + 1) for i in range(len(keys)))}" if keys else ""
        return cols, where, group


def distinct_names(expressions):
    """One of each name that DataFusion 55 gives: it leaves out casts, and then refuses max(a)
    beside max(CAST(a AS BIGINT)) as two columns of one name."""
    names = {}
    for e in expressions:
        names.setdefault(re.sub(r"CAST\(| AS (BIGINT|DOUBLE|INT)\)", "", e), e)
    return list(names.values())


FIXED = [
    "SELECT count(*) AS c0 FROM data WHERE false",
    "SELECT sum(i32) AS c0, avg(f64) AS c1, min(s) AS c2, max(t) AS c3 FROM data WHERE id < 0",
    "SELECT k AS c0, count(*) AS c1 FROM data WHERE id < 0 GROUP BY k",
    "SELECT id % 1 AS c0, count(*) AS c1, sum(i64) AS c2 FROM data GROUP BY 1",
    "SELECT id % 128 AS c0, count(*) AS c1, sum(i32) AS c2, max(f64) AS c3 FROM data GROUP BY 1",
    "SELECT id % 129 AS c0, count(*) AS c1, sum(i32) AS c2, max(f64) AS c3 FROM data GROUP BY 1",
    "SELECT id AS c0, sum(m) AS c1, count(i8) AS c2 FROM data GROUP BY 1",
    "SELECT s AS c0, t AS c1, b AS c2, i8 AS c3, count(*) AS c4 FROM data GROUP BY 1, 2, 3, 4",
    "SELECT i16 AS c0, count(*) AS c1 FROM data WHERE i16 NOT IN (1, 2, 3) GROUP BY 1",
    "SELECT count(*) AS c0 FROM data WHERE i16 NOT IN (1, NULL)",
    "SELECT d AS c0, sum(w) AS c1 FROM data GROUP BY 1",
    "SELECT big.g AS c0, count(*) AS c1, sum(v) AS c2, min(v) AS c3 FROM big GROUP BY 1",
    "SELECT g % 100000 AS c0, avg(v) AS c1 FROM big WHERE v IS NOT NULL GROUP BY 1",
]


def big_table(rng, rows=1_000_000):
    """As many groups as rows: 10^6 groups."""
    i = np.arange(rows)
    g = np.random.default_rng(rng.randrange(2**32)).permutation(rows)
    return pa.table({"g": pa.array(g, type=pa.int64()), "v": pa.array(i * 0.5, mask=i % 13 == 0)})


def n_keys(sql):
    """Number of leading columns that identify a row."""
    if "GROUP BY" in sql:
        return sql.rsplit("GROUP BY", 1)[1].count(",") + 1
    return 1


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--windlass", required=True)
    ap.add_argument("--devices", default="cpu,wgpu:0,cuda-emulated:0,cuda-emulated*3")
    ap.add_argument("--queries", type=int, default=240, help="random filters and group-bys")
    ap.add_argument("--relational", type=int, default=260, help="random joins, windows, sorts and set operations")
    ap.add_argument("--seed", type=int, default=None)
    ap.add_argument("--rows", type=int, default=20_000)
    ap.add_argument("--minutes", type=float, default=0, help="go on with other seeds for so long")
    a = ap.parse_args()
    seed = a.seed if a.seed is not None else int(time.time())
    end = time.time() + 60 * a.minutes
    failed = check(a, seed)
    while not failed and time.time() < end:
        seed += 2
        failed = check(a, seed)
    sys.exit(1 if failed else 0)


def check(a, seed):
    """Compares the queries of one seed; how many of them failed."""
    print(f"seed {seed}: repeat with --seed {seed} --queries {a.queries} --relational {a.relational} "
          f"--rows {a.rows}", flush=True)
    rng = random.Random(seed)
    windlass = os.path.abspath(os.path.expandvars(a.windlass))

    with tempfile.TemporaryDirectory(prefix="windlass-differential-") as tmp:
        tmp = pathlib.Path(tmp)
        pq.write_table(table(rng, a.rows), tmp / "data.parquet", row_group_size=max(1, a.rows // 3))
        pq.write_table(big_table(rng), tmp / "big.parquet")
        # Another stream of random numbers: the other table and its queries do not change
        # what a seed meant before.
        rng_relational = random.Random(seed + 1)
        pq.write_table(relational.side_table(rng_relational), tmp / "side.parquet", row_group_size=1000)
        gen = Gen(rng)
        queries = [Query(sql, n_keys(sql)) for sql in FIXED]
        for _ in range(a.queries):
            cols, where, group = gen.query()
            sql = f"SELECT {cols} FROM data{where}{group}"
            queries.append(Query(sql, n_keys(sql)))
        queries += relational.FIXED
        more = relational.Relational(Gen(rng_relational))
        queries += [more.query() for _ in range(a.relational)]

        con = duckdb.connect()
        con.execute("SET threads = 2")
        for name in TABLES:
            con.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{tmp}/{name}.parquet')")
        expected = []
        for query in queries:
            expected.append(rows_of(con.sql(query.duckdb or query.sql).to_arrow_table(), query))

        failed = 0
        for device in a.devices.split(","):
            out = tmp / device.replace(":", "-").replace("*", "x")
            out.mkdir()
            job = tmp / f"{out.name}.sql"
            lines = [
                f"CREATE EXTERNAL TABLE {t} STORED AS PARQUET LOCATION '{tmp}/{t}.parquet';" for t in TABLES
            ]
            lines += [f"COPY ({q.sql}) TO '{out}/q{i}.parquet' STORED AS PARQUET;" for i, q in enumerate(queries)]
            job.write_text("\n".join(lines))
            start = time.time()
            run = subprocess.run(
                [windlass, "run", str(job), "--device", device, "--quiet", "--stats", "json"],
                capture_output=True, text=True,
            )
            took = time.time() - start
            bad = 0
            for i, query in enumerate(queries):
                sql = query.sql
                path = out / f"q{i}.parquet"
                if not path.exists():
                    print(f"{device}: query {i} was not written: {sql}\n{run.stderr[-3000:]}")
                    # Nor were those behind it.
                    bad += len(queries) - i
                    break
                told = differences(rows_of(pq.read_table(path), query), expected[i])
                if not told:
                    continue
                bad += 1
                if bad <= 3:
                    print(f"{device}: query {i} differs from DuckDB: {sql}\n{told}")
            failed += bad
            used = {}
            try:
                stats = json.loads(run.stderr.strip().splitlines()[-1])
                for op in stats["operators"]:
                    used[op["device"]] = used.get(op["device"], 0) + 1
            except (ValueError, KeyError, IndexError):
                print(f"{device}: no stats on stderr: {run.stderr[-500:]}")
                failed += 1
            if device != "cpu" and not used.get(device):
                print(f"{device}: no operator ran there: {used}")
                failed += 1
            print(f"{device}: {len(queries) - bad} of {len(queries)} queries equal, {took:.1f} s, operators {used}", flush=True)
    return failed


if __name__ == "__main__":
    main()
