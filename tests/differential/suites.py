#!/usr/bin/env python3
"""TPC-H and db-benchmark on several devices against DuckDB, row by row.

`windlass bench` generates small data and keeps its rows of every question; DuckDB answers
the same texts (benches/tpch, benches/dbbench) on the same files. Rows are compared exactly,
but floats within the tolerances of compare.py; in order where the question orders.

A device named with ! has placement forced to it, so that every operator that can run there
does. Exits with 1 and prints the question and the first rows that differ.

  suites.py --windlass target/debug/windlass [--devices cpu,cpu!,wgpu:0!,cuda-emulated:0!,cuda-emulated*4]
            [--scale 0.01] [--rows 20000] [--suites tpch,dbbench]
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import duckdb
import pyarrow as pa

from compare import differences, rows_of
from relational import Query

BENCHES = pathlib.Path(__file__).resolve().parents[2] / "benches"

# Leading columns that identify a row of a group-by question; a join's rows are whole.
DBBENCH_KEYS = {"q01": 1, "q02": 2, "q03": 1, "q04": 1, "q05": 1, "q06": 2, "q07": 1, "q08": 2, "q09": 2, "q10": 6,
                "j01": 9, "j02": 11, "j03": 11, "j04": 11, "j05": 13}

# Operators whose place is worth telling when they stay on the CPU.
TOLD = ["Aggregate", "Join", "Filter", "Sort", "TopK", "Window"]


def questions(suite, scale):
    out = {}
    for path in sorted((BENCHES / suite).glob("*.sql")):
        sql = path.read_text().strip().rstrip(";")
        if suite == "tpch":
            # Question 11's fraction is 0.0001 / scale factor.
            sql = sql.replace("0.0001000000", f"{0.0001 / scale:.10f}")
            # The questions without ORDER BY have one row.
            out[path.stem] = Query(sql, ordered=True)
        else:
            out[path.stem] = Query(sql, DBBENCH_KEYS[path.stem])
    return out


def reference(con, suite, name, query):
    """DuckDB's rows."""
    rows = rows_of(con.sql(query.sql).to_arrow_table(), query)
    if (suite, name) == ("dbbench", "q09"):
        # The correlation of one row is null, as in PostgreSQL; DuckDB answers NaN.
        rows = [tuple(None if v != v else v for v in row) for row in rows]
    return rows


def run(a, suite, device, data, results):
    """Runs the suite on a device; its figures."""
    name = device.rstrip("!")
    figures = results / "figures.json"
    size = ["--scale", str(a.scale)] if suite == "tpch" else ["--rows", str(a.rows)]
    force = ["--force-device"] if device.endswith("!") else []
    done = subprocess.run(
        [a.windlass, "bench", suite, *size, "--engines", "none", "--runs", "1", "--device", name, *force,
         "--data", str(data), "--results", str(results), "--json", str(figures)],
        capture_output=True, text=True,
    )
    if done.returncode:
        sys.exit(f"{suite} {device}: {done.stderr[-3000:]}")
    return json.loads(figures.read_text())


def check(suite, device, asked, expected, results, figures):
    """The number of questions that are wrong; prints each."""
    bad = 0
    places = collections.Counter()
    told = {q["question"]: q for q in figures["questions"]}
    for name, query in asked.items():
        question = told[name]
        ours = question["results"][0]
        problem = None
        if ours["error"]:
            problem = ours["error"]
        elif question["fallback"]:
            problem = f"ran again on the CPU: {question['fallback']}"
        else:
            with pa.memory_map(str(results / f"{name}.arrow")) as file:
                got = rows_of(pa.ipc.open_file(file).read_all(), query)
            problem = differences(got, expected[name])
        if problem:
            bad += 1
            print(f"{suite} {device}: {name} is wrong:\n{problem}", flush=True)
        for o in question["operators"]:
            if any(part in o["name"] for part in TOLD):
                places["on a device" if o["name"].startswith("Device") else o["name"]] += 1
    if device.endswith("!") and not places["on a device"]:
        bad += 1
        print(f"{suite} {device}: no operator ran there: {dict(places)}")
    print(f"{suite} {device}: {len(asked) - bad} of {len(asked)} right; {dict(places.most_common())}", flush=True)
    return bad


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--windlass", required=True)
    ap.add_argument("--devices", default="cpu,cpu!,wgpu:0!,cuda-emulated:0!,cuda-emulated*4")
    ap.add_argument("--suites", default="tpch,dbbench")
    ap.add_argument("--scale", type=float, default=0.01)
    ap.add_argument("--rows", type=int, default=20_000)
    a = ap.parse_args()
    a.windlass = os.path.abspath(os.path.expandvars(a.windlass))
    bad = 0
    with tempfile.TemporaryDirectory(prefix="windlass-suites-") as tmp:
        tmp = pathlib.Path(tmp)
        for suite in a.suites.split(","):
            asked = questions(suite, a.scale)
            expected = None
            for device in a.devices.split(","):
                results = tmp / f"{suite}-{device.replace(':', '-').replace('*', 'x')}"
                results.mkdir()
                start = time.time()
                figures = run(a, suite, device, tmp / "data", results)
                took = time.time() - start
                if expected is None:
                    (folder,) = (tmp / "data").glob(f"{suite}-*")
                    con = duckdb.connect()
                    for table in folder.glob("*.parquet"):
                        con.execute(f"CREATE VIEW {table.stem} AS SELECT * FROM read_parquet('{table}')")
                    expected = {n: reference(con, suite, n, q) for n, q in asked.items()}
                    empty = [n for n, rows in expected.items() if not rows]
                    if empty:
                        print(f"{suite}: no rows in {' '.join(empty)}")
                bad += check(suite, device, asked, expected, results, figures)
                print(f"{suite} {device}: {took:.1f} s", flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
