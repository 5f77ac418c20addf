"""The operations of `windlass bench kernels` by CuPy and cuDF on the same GPU.

    python benches/peers/kernels.py FIGURES.json

FIGURES.json is what `windlass bench kernels --device cuda:N --json` wrote. For each bench of a
CUDA device that a library has a form of, the same rows are made in the GPU's memory, the
operation runs once to warm up and then as often as ours did, and the fastest run counts. The
bench gets a list `peers` of {name, version, seconds, ratio} in the file (ratio: our time as a
multiple of theirs), or {name, error}. A library that is not installed is named once on standard
error and left out. CuPy's sums, scans and sorts are CUB's and Thrust's device-wide algorithms.

Results stay in the GPU's memory, as ours do. Memory comes from pools (CuPy's own, RMM's for
cuDF), as ours does. Data are drawn from the same ranges as in `windlass_kernels::bench`, not
the same numbers.

This script has not been run on a GPU yet: only its reading, writing and choosing were, by
`--dry-run`, which times nothing.
"""

import argparse
import importlib
import json
import os
import sys
import tempfile
import time

GOLDEN = 0x9E3779B97F4A7C15
K = 100
WINDOW = 100


class Gpu:
    """The libraries that are here, and the data of benches."""

    def __init__(self, index):
        self.cupy = self.module("cupy")
        self.cudf = self.module("cudf")
        if self.cupy is not None:
            self.cupy.cuda.Device(index).use()
        if self.cudf is not None:
            import rmm

            rmm.reinitialize(pool_allocator=True, devices=index)
            if self.cupy is not None:
                from rmm.allocators.cupy import rmm_cupy_allocator

                self.cupy.cuda.set_allocator(rmm_cupy_allocator)

    @staticmethod
    def module(name):
        try:
            return importlib.import_module(name)
        except Exception as error:  # a CUDA library that is missing raises what it likes
            print(f"{name} is not in this run: {error}", file=sys.stderr)
            return None

    def integers(self, n, low=None, high=None, dtype="int64", seed=1):
        generator = self.cupy.random.default_rng(seed)
        info = self.cupy.iinfo(dtype)
        low = int(info.min) if low is None else low
        high = int(info.max) if high is None else high
        return generator.integers(low, high, size=n, dtype=dtype)

    def floats(self, n, seed=1):
        return self.cupy.random.default_rng(seed).random(n, dtype="float64") * 1842.0

    def keys(self, n, groups, spread=True, seed=1):
        numbers = self.integers(n, 0, groups, "uint64", seed)
        # Unsigned products wrap, as in the bench.
        return (numbers * self.cupy.uint64(GOLDEN)).view("int64") if spread else numbers.view("int64")

    def series(self, values, nulls=False):
        column = self.cudf.Series(values)
        if nulls:
            rows = self.cupy.arange(len(values))
            column = column.mask(self.cudf.Series(rows % 10 == 3))
        return column


# Each form is made with the GPU and the rows, and gives a function that is timed.


def scan_sum(g, n):
    values = g.integers(n)
    return lambda: g.cupy.cumsum(values)


def scan_max(g, n):
    values = g.series(g.integers(n))
    return lambda: values.cummax()


def reduce_by(name, floats=False):
    def make(g, n):
        values = g.floats(n) if floats else g.integers(n)
        return lambda: getattr(values, name)()

    return make


def reduce_nulls(name):
    def make(g, n):
        values = g.series(g.integers(n), nulls=True)
        return lambda: getattr(values, name)()

    return make


def moments(g, n):
    values = g.floats(n)
    return lambda: (values.mean(), values.var())


def truth(all_true):
    def make(g, n):
        values = g.cupy.full(n, all_true)
        return (lambda: values.all()) if all_true else (lambda: values.any())

    return make


def gather_random(dtype):
    def make(g, n):
        values = g.integers(n) if dtype == "int64" else g.integers(n, 0, 2, "uint8").astype(bool)
        indices = g.integers(n, 0, n, "int32", 7)
        return lambda: g.cupy.take(values, indices)

    return make


def gather_ascending(g, n):
    values = g.integers(n)
    kept = g.integers(n, 0, 2, "uint8", 7).astype(bool)
    indices = g.cupy.flatnonzero(kept).astype("int32")
    return lambda: g.cupy.take(values, indices)


def gather_nulls(g, n):
    values = g.series(g.integers(n), nulls=True)
    indices = g.series(g.integers(n, 0, n, "int32", 7))
    return lambda: values.take(indices)


def scatter(g, n):
    values = g.integers(n)
    places = g.cupy.random.default_rng(7).permutation(n).astype("int32")
    out = g.cupy.empty_like(values)

    def run():
        out[places] = values

    return run


def concat(nulls):
    def make(g, n):
        values = g.series(g.integers(n), nulls)
        parts = [values.iloc[at : at + 65536] for at in range(0, n, 65536)]
        return lambda: g.cudf.concat(parts)

    return make


def hash_rows(columns):
    def make(g, n):
        data = {"a": g.integers(n), "b": g.integers(n, dtype="int32", seed=2)}
        frame = g.cudf.DataFrame({name: data[name] for name in columns})
        return lambda: frame.hash_values(method="xxhash64")

    return make


def partition_hash(g, n):
    frame = g.cudf.DataFrame({"a": g.integers(n)})
    return lambda: frame.partition_by_hash(["a"], nparts=16)


def filter_rows(percent, nulls=False):
    def make(g, n):
        keys = g.series(g.integers(n, 0, 100, "int32"))
        values = g.series(g.integers(n, seed=2), nulls)
        return lambda: values[keys < percent]

    return make


def filter_sum(g, n):
    keys, values = g.integers(n, 0, 100, "int32"), g.integers(n, seed=2)
    kernel = g.cupy.ReductionKernel(
        "int32 k, int64 v", "int64 s", "k < 50 ? v : 0", "a + b", "s = a", "0", "filter_sum"
    )
    return lambda: kernel(keys, values)


def multiply_add(g, n):
    a, b = g.integers(n), g.integers(n, seed=2)
    kernel = g.cupy.ElementwiseKernel("int64 a, int64 b", "int64 c", "c = a * b + a", "multiply_add")
    return lambda: kernel(a, b)


def group_sum(groups, spread=True):
    def make(g, n):
        keys = g.keys(n, min(groups, n), spread)
        frame = g.cudf.DataFrame({"k": keys, "v": g.integers(n, seed=2)})
        return lambda: frame.groupby("k", sort=False).agg({"v": ["sum", "count"]})

    return make


def group_one(call):
    def make(g, n):
        keys = g.keys(n, 10_000, spread=False)
        values = g.integers(n, 0, 10_000, seed=2).astype("float64")
        frame = g.cudf.DataFrame({"k": keys, "v": values})
        return lambda: frame.groupby("k", sort=False).agg({"v": call})

    return make


def join(build_rows=None, skewed=False, times=1):
    def make(g, n):
        rows = min(build_rows or n, n)
        build = g.cupy.random.default_rng(1).permutation(rows).astype("uint64") // g.cupy.uint64(times)
        probe = g.integers(n, 0, max(rows // times, 1), "uint64", 2)
        if skewed:
            probe[::2] = 0
        golden = g.cupy.uint64(GOLDEN)
        left = g.cudf.DataFrame({"k": (probe * golden).view("int64"), "p": g.cupy.arange(n, dtype="int32")})
        right = g.cudf.DataFrame(
            {"k": (build * golden).view("int64"), "b": g.cupy.arange(rows, dtype="int32")}
        )
        return lambda: left.merge(right, on="k", how="inner")

    return make


def semi_join(g, n):
    build, probe = g.keys(n, n, seed=1), g.keys(n, n + n // 2, seed=2)
    left, right = g.cudf.DataFrame({"k": probe}), g.cudf.DataFrame({"k": build})
    return lambda: left.merge(right, on="k", how="leftsemi")


def argsort(kind):
    def make(g, n):
        values = {
            "u32": lambda: g.integers(n, dtype="uint32"),
            "codes": lambda: g.integers(n, 0, 1000, "uint32"),
            "i64": lambda: g.integers(n),
            "sorted": lambda: g.cupy.arange(n, dtype="int64"),
            "f64": lambda: g.floats(n),
        }[kind]()
        return lambda: g.cupy.argsort(values)

    return make


def sort_two(g, n):
    frame = g.cudf.DataFrame({"a": g.integers(n, 0, 1000, "uint32"), "b": g.floats(n)})
    return lambda: frame.argsort(by=["a", "b"])


def sort_nulls(g, n):
    values = g.series(g.integers(n), nulls=True)
    return lambda: values.argsort()


def top_k(g, n):
    values = g.series(g.integers(n))
    return lambda: values.nsmallest(K)


def rolling(call):
    def make(g, n):
        values = g.series(g.integers(n, -1 << 40, 1 << 40))
        window = values.rolling(WINDOW, min_periods=1)
        return lambda: getattr(window, call)()

    return make


# Bench: the library, and the form.
FORMS = {
    "scan/inclusive/sum_i64": ("cupy", scan_sum),
    "scan/exclusive/sum_i64": ("cupy", scan_sum),
    "scan/inclusive/max_i64": ("cudf", scan_max),
    "reduce/sum/i64": ("cupy", reduce_by("sum")),
    "reduce/sum/f64": ("cupy", reduce_by("sum", floats=True)),
    "reduce/sum/i64_nulls": ("cudf", reduce_nulls("sum")),
    "reduce/count/nulls": ("cudf", reduce_nulls("count")),
    "reduce/min/i64": ("cupy", reduce_by("min")),
    "reduce/max/f64": ("cupy", reduce_by("max", floats=True)),
    "reduce/arg_min/i64": ("cupy", reduce_by("argmin")),
    "reduce/arg_max/i64": ("cupy", reduce_by("argmax")),
    "reduce/any/bool": ("cupy", truth(False)),
    "reduce/all/bool": ("cupy", truth(True)),
    "reduce/moments/f64": ("cupy", moments),
    "gather/gather/random_i64": ("cupy", gather_random("int64")),
    "gather/gather/random_bool": ("cupy", gather_random("bool")),
    "gather/gather/random_i64_nulls": ("cudf", gather_nulls),
    "gather/gather/ascending_i64": ("cupy", gather_ascending),
    "gather/scatter/permutation_i64": ("cupy", scatter),
    "gather/concat/i64": ("cudf", concat(False)),
    "gather/concat/i64_nulls": ("cudf", concat(True)),
    "hash/hash_rows/i64": ("cudf", hash_rows(["a"])),
    "hash/hash_rows/i64_i32": ("cudf", hash_rows(["a", "b"])),
    "partition/by_hash/16": ("cudf", partition_hash),
    "filter/filter/i64_1_percent": ("cudf", filter_rows(1)),
    "filter/filter/i64_50_percent": ("cudf", filter_rows(50)),
    "filter/filter/i64_99_percent": ("cudf", filter_rows(99)),
    "filter/filter/i64_nulls_50_percent": ("cudf", filter_rows(50, True)),
    "filter/filter_sum/i64_50_percent": ("cupy", filter_sum),
    "filter/evaluate/multiply_add": ("cupy", multiply_add),
    "group_by/sum/100_groups": ("cudf", group_sum(100)),
    "group_by/sum/100k_groups": ("cudf", group_sum(100_000)),
    "group_by/sum/10m_groups": ("cudf", group_sum(10_000_000)),
    "group_by/sum/100k_groups_dense": ("cudf", group_sum(100_000, False)),
    "group_by/min/10k_groups": ("cudf", group_one("min")),
    "group_by/moments/10k_groups": ("cudf", group_one(["count", "mean", "var"])),
    "group_by/distinct/10k_groups": ("cudf", group_one("nunique")),
    "group_by/median/10k_groups": ("cudf", group_one("median")),
    "join/inner/small_build": ("cudf", join(10_000)),
    "join/inner/large_build": ("cudf", join()),
    "join/inner/large_build_twice": ("cudf", join(times=2)),
    "join/inner/large_build_half_probe_one_key": ("cudf", join(skewed=True)),
    "join/exists/large_build": ("cudf", semi_join),
    "sort/sort_indices/u32": ("cupy", argsort("u32")),
    "sort/sort_indices/codes_1000": ("cupy", argsort("codes")),
    "sort/sort_indices/i64": ("cupy", argsort("i64")),
    "sort/sort_indices/i64_sorted": ("cupy", argsort("sorted")),
    "sort/sort_indices/f64": ("cupy", argsort("f64")),
    "sort/sort_indices/i64_nulls": ("cudf", sort_nulls),
    "sort/sort_indices/codes_then_f64": ("cudf", sort_two),
    "sort/top_k/i64_100": ("cudf", top_k),
    "window/aggregate/sum_i64_100_rows": ("cudf", rolling("sum")),
    "window/aggregate/min_i64_100_rows": ("cudf", rolling("min")),
    "window/count/100_rows": ("cudf", rolling("count")),
}


def best(gpu, run, runs):
    wait = gpu.cupy.cuda.Device().synchronize
    run()
    wait()
    least = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        result = run()
        wait()
        least = min(least, time.perf_counter() - start)
        del result
    return least


def measure(gpu, bench, runs):
    """The bench's peers; none where no library here has a form of it."""
    form = FORMS.get(bench["name"])
    if form is None or not bench.get("seconds"):
        return []
    name, make = form
    module = getattr(gpu, name)
    # cuDF's data are made by CuPy.
    if module is None or gpu.cupy is None:
        return []
    try:
        run = make(gpu, bench["rows"])
        seconds = best(gpu, run, runs)
    except Exception as error:  # one operation that fails does not end the others
        return [{"name": name, "error": f"{type(error).__name__}: {error}"}]
    finally:
        if gpu.cupy is not None:
            gpu.cupy.get_default_memory_pool().free_all_blocks()
    ratio = bench["seconds"] / seconds
    return [{"name": name, "version": module.__version__, "seconds": seconds, "ratio": ratio}]


def write(path, figures):
    """Under a name of its own first, so that a reader sees all or nothing."""
    folder = os.path.dirname(os.path.abspath(path))
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
        json.dump(figures, file, indent=2)
        file.write("\n")
    os.replace(file.name, path)


def main():
    parser = argparse.ArgumentParser(description="CuPy and cuDF beside windlass bench kernels")
    parser.add_argument("figures", help="what --json wrote")
    parser.add_argument("--dry-run", action="store_true", help="say what would be run")
    arguments = parser.parse_args()
    with open(arguments.figures) as file:
        figures = json.load(file)
    if figures.get("suite") != "kernels":
        sys.exit(f"error: {arguments.figures} has no figures of windlass bench kernels")
    for device in figures["devices"]:
        name = device["name"]
        if not name.startswith("cuda:"):
            print(f"{name}: not a CUDA device, no peers", file=sys.stderr)
            continue
        if arguments.dry_run:
            for bench in device["benches"]:
                print(f"{bench['name']:45} {FORMS.get(bench['name'], ('-',))[0]}")
            continue
        gpu = Gpu(int(name.split(":")[1]))
        for bench in device["benches"]:
            bench["peers"] = measure(gpu, bench, figures["runs"])
            for peer in bench["peers"]:
                if "error" in peer:
                    print(f"{bench['name']:45} {peer['name']}: {peer['error']}")
                else:
                    print(
                        f"{bench['name']:45} {bench['seconds'] * 1e3:10.3f} ms  {peer['name']} "
                        f"{peer['seconds'] * 1e3:10.3f} ms  ratio {peer['ratio']:.2f}"
                    )
    if not arguments.dry_run:
        write(arguments.figures, figures)


if __name__ == "__main__":
    main()
