"""One engine of `windlass bench`, asked over standard input and output.

Started as `python - ENGINE FOLDER TABLE…`; FOLDER holds TABLE.parquet for each table. Prints
one JSON object with the engine's version, or with `absent` and the reason. Then, for each
line of JSON on standard input, runs that question and prints one line of JSON:

  in   {"suite", "question", "sql", "runs", "ours"}
  out  {"seconds": […], "cpu_seconds": […], "rows", "peak_bytes", "columns": […], "ours", "error"}

A result is complete when its rows lie in memory as Arrow tables or the engine's own. The
clock stops there. After it, `columns` gets one checksum a column, and `ours` the row count
and checksums of the Arrow file of that name, by the same code.
"""

import importlib.metadata
import json
import os
import sys
import time


class Absent(Exception):
    """Why an engine cannot take part."""


class NoForm(Exception):
    """The engine has no form of this question."""


# Engines: made with the folder and the tables; `ask` gives a result, `table` makes it Arrow.


class DuckDb:
    def __init__(self, folder, tables):
        import duckdb

        self.version = duckdb.__version__
        self.connection = duckdb.connect()
        for name in tables:
            path = f"{folder}/{name}.parquet".replace("'", "''")
            self.connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{path}')")

    def ask(self, suite, question, sql):
        return self.connection.sql(sql).to_arrow_table()

    def table(self, result):
        return result


class DataFusion:
    def __init__(self, folder, tables):
        import datafusion

        self.version = importlib.metadata.version("datafusion")
        self.context = datafusion.SessionContext()
        for name in tables:
            self.context.register_parquet(name, f"{folder}/{name}.parquet")

    def ask(self, suite, question, sql):
        frame = self.context.sql(sql)
        return frame.schema(), frame.collect()

    def table(self, result):
        import pyarrow

        schema, batches = result
        return pyarrow.Table.from_batches(batches, schema=schema)


class Polars:
    def __init__(self, folder, tables):
        import polars

        self.polars = polars
        self.version = polars.__version__
        self.tables = {name: polars.scan_parquet(f"{folder}/{name}.parquet") for name in tables}
        self.context = polars.SQLContext(self.tables)

    def ask(self, suite, question, sql):
        if suite == "dbbench":
            return DBBENCH_POLARS[question](self.polars, **self.tables).collect()
        return self.context.execute(sql).collect()

    def table(self, result):
        return result.to_arrow()


class Dask:
    def __init__(self, folder, tables):
        import dask
        import dask.dataframe

        # The scheduler that shares memory: what a user of one machine would take.
        dask.config.set(scheduler="threads")
        self.version = dask.__version__
        self.tables = {name: dask.dataframe.read_parquet(f"{folder}/{name}.parquet", split_row_groups=True)
                       for name in tables}

    def ask(self, suite, question, sql):
        if suite != "dbbench" or question not in DBBENCH_DASK:
            raise NoForm("no form of this question is written for Dask")
        return DBBENCH_DASK[question](**self.tables).compute()

    def table(self, result):
        import pyarrow

        index = [n for n in result.index.names if n is not None]
        return pyarrow.Table.from_pandas(result.reset_index() if index else result, preserve_index=False)


# db-benchmark as each engine's users write it; SQL engines take benches/dbbench/*.sql.


def largest_two(pl, x):
    largest = pl.col("v3").top_k(2).alias("largest2_v3")
    return x.drop_nulls("v3").group_by("id6").agg(largest).explode("largest2_v3")


def right(pl, table, key):
    """A right table with its columns named as the SQL names them."""
    frame, name = table
    columns = [c for c in frame.collect_schema().names() if c not in (key, "v2")]
    return frame.rename({c: f"{name}_{c}" for c in columns})


DBBENCH_POLARS = {
    "q01": lambda pl, x, **_: x.group_by("id1").agg(pl.col("v1").sum()),
    "q02": lambda pl, x, **_: x.group_by("id1", "id2").agg(pl.col("v1").sum()),
    "q03": lambda pl, x, **_: x.group_by("id3").agg(pl.col("v1").sum(), pl.col("v3").mean()),
    "q04": lambda pl, x, **_: x.group_by("id4").agg(pl.col("v1", "v2", "v3").mean()),
    "q05": lambda pl, x, **_: x.group_by("id6").agg(pl.col("v1", "v2", "v3").sum()),
    "q06": lambda pl, x, **_: x.group_by("id4", "id5").agg(
        pl.col("v3").median().alias("median_v3"), pl.col("v3").std().alias("sd_v3")),
    "q07": lambda pl, x, **_: x.group_by("id3").agg(
        (pl.col("v1").max() - pl.col("v2").min()).alias("range_v1_v2")),
    "q08": lambda pl, x, **_: largest_two(pl, x),
    "q09": lambda pl, x, **_: x.group_by("id2", "id4").agg((pl.corr("v1", "v2") ** 2).alias("r2")),
    "q10": lambda pl, x, **_: x.group_by("id1", "id2", "id3", "id4", "id5", "id6").agg(
        pl.col("v3").sum(), pl.len().alias("count")),
    "j01": lambda pl, j, small, **_: j.join(
        small.rename({"id4": "small_id4"}), on="id1"),
    "j02": lambda pl, j, medium, **_: j.join(right(pl, (medium, "medium"), "id2"), on="id2"),
    "j03": lambda pl, j, medium, **_: j.join(right(pl, (medium, "medium"), "id2"), on="id2", how="left"),
    "j04": lambda pl, j, medium, **_: j.join(right(pl, (medium, "medium"), "id5"), on="id5"),
    "j05": lambda pl, j, big, **_: j.join(right(pl, (big, "big"), "id3"), on="id3"),
}


def dask_right(frame, name, key):
    return frame.rename(columns={c: f"{name}_{c}" for c in frame.columns if c not in (key, "v2")})


def dask_range(x):
    g = x.groupby("id3").agg({"v1": "max", "v2": "min"}).reset_index()
    return g.assign(range_v1_v2=g["v1"] - g["v2"])[["id3", "range_v1_v2"]]


DBBENCH_DASK = {
    "q01": lambda x, **_: x.groupby("id1").agg({"v1": "sum"}),
    "q02": lambda x, **_: x.groupby(["id1", "id2"]).agg({"v1": "sum"}),
    "q03": lambda x, **_: x.groupby("id3").agg({"v1": "sum", "v3": "mean"}),
    "q04": lambda x, **_: x.groupby("id4").agg({"v1": "mean", "v2": "mean", "v3": "mean"}),
    "q05": lambda x, **_: x.groupby("id6").agg({"v1": "sum", "v2": "sum", "v3": "sum"}),
    "q06": lambda x, **_: x.groupby(["id4", "id5"]).agg({"v3": ["median", "std"]}, shuffle_method="tasks"),
    "q07": lambda x, **_: dask_range(x),
    "q10": lambda x, **_: x.groupby(["id1", "id2", "id3", "id4", "id5", "id6"]).agg({"v3": "sum", "v1": "size"}),
    "j01": lambda j, small, **_: j.merge(dask_right(small, "small", "id1"), on="id1"),
    "j02": lambda j, medium, **_: j.merge(dask_right(medium, "medium", "id2"), on="id2"),
    "j03": lambda j, medium, **_: j.merge(dask_right(medium, "medium", "id2"), on="id2", how="left"),
    "j04": lambda j, medium, **_: j.merge(dask_right(medium, "medium", "id5"), on="id5"),
    "j05": lambda j, big, **_: j.merge(dask_right(big, "big", "id3"), on="id3"),
}

ENGINES = {"duckdb": DuckDb, "datafusion": DataFusion, "polars": Polars, "dask": Dask}


# Checksums: one a column, whatever the order of rows.

# Odd constants of 64 bits, so that products spread over all bits (splitmix64's).
MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9)
# Rows of text looked at together: the arrays of positions stay below about 100 MB.
TEXT_ROWS = 1 << 20


def checksum(column):
    """{"nulls", "sum", "size"} of numbers, dates and booleans; {"nulls", "text"} of text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    t = column.type
    if pa.types.is_dictionary(t):
        column = column.cast(t.value_type)
        t = t.value_type
    out = {"nulls": column.null_count}
    if pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t):
        out["text"] = str(text_sum(column))
        return out
    if pa.types.is_date32(t):
        column = column.cast(pa.int32())
    elif pa.types.is_date64(t) or pa.types.is_timestamp(t):
        # Dates by the day, whichever of the types an engine has for them.
        column = column.cast(pa.timestamp("us")).cast(pa.date32()).cast(pa.int32())
    values = column.cast(pa.float64())
    # Some engines answer NaN where SQL answers null, as for the correlation of one row.
    nan = pc.is_nan(values)
    out["nulls"] += pc.sum(nan).as_py() or 0
    values = pc.if_else(nan, 0.0, values)
    out["sum"] = pc.sum(values).as_py() or 0.0
    out["size"] = pc.sum(pc.abs(values)).as_py() or 0.0
    return out


def text_sum(column):
    """The sum over all strings of a sum over their bytes, each mixed with its place."""
    import numpy as np
    import pyarrow as pa

    total = 0
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        for at in range(0, len(chunk), TEXT_ROWS):
            part = chunk.slice(at, TEXT_ROWS).cast(pa.large_string()).fill_null("")
            offsets = np.frombuffer(part.buffers()[1], dtype=np.int64)[part.offset:part.offset + len(part) + 1]
            if offsets[-1] == offsets[0]:
                continue
            data = np.frombuffer(part.buffers()[2], dtype=np.uint8)[offsets[0]:offsets[-1]]
            place = np.arange(len(data), dtype=np.int64) - np.repeat(offsets[:-1] - offsets[0], np.diff(offsets))
            weight = place.astype(np.uint64) * np.uint64(MIX[0]) + np.uint64(MIX[1])
            total += int(((data.astype(np.uint64) + np.uint64(1)) * weight).sum(dtype=np.uint64))
    return total % 2**64


def summary(table):
    return {"rows": table.num_rows, "columns": [checksum(c) for c in table.columns]}


def reset_peak():
    """Makes the kernel count the peak of resident memory from now on."""
    try:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
    except OSError:
        pass


def peak():
    try:
        with open("/proc/self/status") as f:
            line = next(line for line in f if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return None


def answer(engine, ask):
    import pyarrow as pa

    seconds, cpu_seconds = [], []
    reset_peak()
    for _ in range(ask["runs"]):
        result = None
        start, cpu = time.perf_counter(), time.process_time()
        result = engine.ask(ask["suite"], ask["question"], ask["sql"])
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu)
    out = {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak(), "error": None, "ours": None}
    out.update(summary(engine.table(result)))
    if ask.get("ours"):
        with pa.memory_map(ask["ours"]) as file:
            out["ours"] = summary(pa.ipc.open_file(file).read_all())
    return out


def main():
    name, folder, tables = sys.argv[1], sys.argv[2], sys.argv[3:]
    # Whatever an engine prints goes to standard error: standard output carries answers.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        import numpy  # noqa: F401
        import pyarrow.ipc

        pyarrow.RecordBatch
        engine = ENGINES[name](folder, tables)
    except ImportError as e:
        print(json.dumps({"absent": str(e)}), file=out)
        return
    print(json.dumps({"version": engine.version}), file=out)
    for line in sys.stdin:
        ask = json.loads(line)
        try:
            reply = answer(engine, ask)
        except NoForm as e:
            reply = {"error": None, "no_form": str(e)}
        except Exception as e:  # an engine's own errors are many, and one question is not the suite
            reply = {"error": f"{type(e).__name__}: {e}"[:500]}
        print(json.dumps(reply), file=out)


if __name__ == "__main__":
    main()
