#!/usr/bin/env python3
"""db-benchmark's group-by questions on generated data: Windlass against DataFusion's own
Python package and DuckDB, in one run.

Data as in https://github.com/duckdblabs/db-benchmark (groupby-datagen.R): N rows, K groups,
columns id1..id3 (text), id4..id6 (integers), v1..v3. Every engine reads the same Parquet
file; a question is run --repeat times and the fastest counts. Prints a table with the
ratio to DataFusion and writes JSON.

  dbbench.py --windlass target/debug/windlass [--rows 10000000] [--device cpu] [--repeat 3]
"""

import argparse
import json
import math
import os
import pathlib
import platform
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

QUESTIONS = {
    "q1": "SELECT id1, sum(v1) AS v1 FROM x GROUP BY id1",
    "q2": "SELECT id1, id2, sum(v1) AS v1 FROM x GROUP BY id1, id2",
    "q3": "SELECT id3, sum(v1) AS v1, avg(v3) AS v3 FROM x GROUP BY id3",
    "q4": "SELECT id4, avg(v1) AS v1, avg(v2) AS v2, avg(v3) AS v3 FROM x GROUP BY id4",
    "q5": "SELECT id6, sum(v1) AS v1, sum(v2) AS v2, sum(v3) AS v3 FROM x GROUP BY id6",
    "q6": "SELECT id4, id5, median(v3) AS median_v3, stddev(v3) AS sd_v3 FROM x GROUP BY id4, id5",
    "q7": "SELECT id3, max(v1) - min(v2) AS range_v1_v2 FROM x GROUP BY id3",
    "q8": "SELECT id6, v3 FROM (SELECT id6, v3, row_number() OVER (PARTITION BY id6 ORDER BY v3 DESC) AS o "
          "FROM x WHERE v3 IS NOT NULL) t WHERE o <= 2",
    "q9": "SELECT id2, id4, power(corr(v1, v2), 2) AS r2 FROM x GROUP BY id2, id4",
    "q10": "SELECT id1, id2, id3, id4, id5, id6, sum(v3) AS v3, count(*) AS cnt FROM x "
           "GROUP BY id1, id2, id3, id4, id5, id6",
}


def generate(path, n, k):
    rng = np.random.default_rng(108)
    width = len(str(n // k))

    def text(count, digits):
        codes = rng.integers(0, count, n, dtype=np.int32)
        words = pa.array([f"id{i + 1:0{digits}}" for i in range(count)])
        return pa.DictionaryArray.from_arrays(pa.array(codes), words).dictionary_decode()

    t = pa.table(
        {
            "id1": text(k, 3),
            "id2": text(k, 3),
            "id3": text(n // k, max(10, width)),
            "id4": rng.integers(1, k + 1, n, dtype=np.int32),
            "id5": rng.integers(1, k + 1, n, dtype=np.int32),
            "id6": rng.integers(1, n // k + 1, n, dtype=np.int32),
            "v1": rng.integers(1, 6, n, dtype=np.int32),
            "v2": rng.integers(1, 16, n, dtype=np.int32),
            "v3": np.round(rng.uniform(0, 100, n), 6),
        }
    )
    pq.write_table(t, path)


def windlass(a, path, sql):
    """Seconds of the statement by the engine's own clock, and the process's peak memory."""
    run = subprocess.run(
        [a.windlass, "sql", sql, "--table", f"x={path}", "--device", a.device, "--format", "arrow",
         "--output", str(a.data / "out.arrow"), "--quiet", "--stats", "json"],
        capture_output=True, text=True,
    )
    if run.returncode:
        sys.exit(f"windlass: {run.stderr}")
    stats = json.loads(run.stderr.strip().splitlines()[-1])
    devices = sorted({f"{o['name']}@{o['device']}" for o in stats["operators"] if o["name"].startswith("Device")})
    return stats["seconds"], stats["peak_host_bytes"], devices


CHILD = """
import sys, time, json, resource
import pyarrow.ipc
path, sql, out, engine = sys.argv[1:5]
if engine == "datafusion":
    import datafusion
    ctx = datafusion.SessionContext()
    ctx.register_parquet("x", path)
    start = time.perf_counter()
    df = ctx.sql(sql)
    with pyarrow.ipc.new_file(out, df.schema()) as w:
        for b in df.execute_stream():
            w.write(b.to_pyarrow())
else:
    import duckdb
    con = duckdb.connect()
    con.execute("SET threads = 2")
    con.execute(f"CREATE VIEW x AS SELECT * FROM read_parquet('{path}')")
    start = time.perf_counter()
    r = con.sql(sql).to_arrow_reader(100000)
    with pyarrow.ipc.new_file(out, r.schema) as w:
        for b in r:
            w.write(b)
took = time.perf_counter() - start
print(json.dumps([took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""


def peer(a, path, sql, engine):
    run = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), sql, str(a.data / "out.arrow"), engine],
        capture_output=True, text=True,
    )
    if run.returncode:
        sys.exit(f"{engine}: {run.stderr}")
    took, peak = json.loads(run.stdout.strip().splitlines()[-1])
    return took, peak, []


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--windlass", required=True)
    ap.add_argument("--rows", type=int, default=10_000_000)
    ap.add_argument("--groups", type=int, default=100)
    ap.add_argument("--device", default="cpu")
    ap.add_argument("--repeat", type=int, default=3)
    ap.add_argument("--questions", default=",".join(QUESTIONS))
    ap.add_argument("--data", type=pathlib.Path, default=pathlib.Path("target/dbbench"))
    ap.add_argument("--json", type=pathlib.Path)
    a = ap.parse_args()
    a.windlass = os.path.abspath(os.path.expandvars(a.windlass))
    a.data.mkdir(parents=True, exist_ok=True)
    path = (a.data / f"groupby-{a.rows}-{a.groups}.parquet").absolute()
    if not path.exists():
        print(f"generating {path}", flush=True)
        generate(path, a.rows, a.groups)

    engines = {"windlass": lambda s: windlass(a, path, s),
               "datafusion": lambda s: peer(a, path, s, "datafusion"),
               "duckdb": lambda s: peer(a, path, s, "duckdb")}
    results = {}
    print(f"{'':4} {'windlass':>9} {'datafusion':>10} {'duckdb':>8} {'time/df':>8} {'time/dk':>8} {'mem/df':>7}  device operators")
    for q in a.questions.split(","):
        best = {}
        for _ in range(a.repeat):
            for name, run in engines.items():
                took, peak, ops = run(QUESTIONS[q])
                old = best.get(name)
                if old is None or took < old[0]:
                    best[name] = (took, peak, ops)
        w, d, k = best["windlass"], best["datafusion"], best["duckdb"]
        results[q] = {n: {"seconds": b[0], "peak_bytes": b[1]} for n, b in best.items()}
        print(f"{q:4} {w[0]:9.3f} {d[0]:10.3f} {k[0]:8.3f} {w[0] / d[0]:8.2f} {w[0] / k[0]:8.2f} "
              f"{w[1] / d[1]:7.2f}  {' '.join(w[2])}", flush=True)
    mean = {
        peer_name: math.exp(sum(math.log(r["windlass"]["seconds"] / r[peer_name]["seconds"]) for r in results.values())
                            / len(results))
        for peer_name in ["datafusion", "duckdb"]
    }
    print(f"geometric mean of time: {mean['datafusion']:.2f} of DataFusion's, {mean['duckdb']:.2f} of DuckDB's")
    if a.json:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
        a.json.write_text(json.dumps({"suite": "dbbench-groupby", "commit": commit, "device": a.device, "class": "host",
                                      "rows": a.rows, "cores": os.cpu_count(), "machine": platform.machine(),
                                      "results": results, "geometric_mean": mean}, indent=1) + "\n")


if __name__ == "__main__":
    main()
