"""NumPy, Dask and CuPy on the operations of `windlass bench arrays`.

    python arrays.py ENGINE SIZE CHUNKS RUNS [ONLY [MATRIX ROWS]]

ENGINE is numpy, dask (its threaded scheduler, one thread a core) or cupy, whose arrays lie in the
GPU's memory before and after. Prints one JSON object a line,
as each operation is done: {"name", "seconds": […], "value"}, where the value is a number of the
result that all engines must agree on; first {"version"}, or {"absent"} with the reason.
"""

import functools
import json
import os
import sys
import tempfile
import time


def say(**what):
    print(json.dumps(what), flush=True)


def main():
    engine, n, chunks, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    only = sys.argv[5] if len(sys.argv) > 5 else ""
    side, rows = map(int, sys.argv[6:8]) if len(sys.argv) > 7 else (4000, 1_000_000)
    try:
        import numpy as np

        if engine == "dask":
            import dask
            import dask.array as xp

            version = dask.__version__
        elif engine == "cupy":
            import cupy as xp

            version = xp.__version__
        else:
            xp, version = np, np.__version__
    except ImportError as e:
        return say(absent=str(e))
    say(version=version)

    def numbers(rows, columns):
        i, j = np.arange(rows, dtype=np.int64)[:, None], np.arange(columns, dtype=np.int64)
        return ((i * 7919 + j * 104729) % 1000003) / 1000003.0

    memory = numbers(n, n)
    # Where functions of what is computed are.
    here = xp if engine == "cupy" else np
    # Chunks of the size that Dask chooses by itself.
    x = xp.from_array(memory) if engine == "dask" else here.asarray(memory)

    def done(*results):
        return dask.compute(*results) if engine == "dask" else results

    def chain():
        y = xp.sqrt(xp.absolute(xp.exp(x * 2.0 + 1.0) - 0.5))
        (result,) = done((y * 3.0 + x - 1.0) / 7.0)
        return float(result[n // 2, n // 3])

    def mean_and_std():
        mean, std = done(x.mean(axis=0), x.std(axis=1))
        return float(mean.sum() + std.sum())

    def transposed():
        return float(done((x + x.T).mean())[0])

    def small_chunks():
        return float(xp.ones(chunks, chunks=1).sum().compute())

    def normalised(folder, codec):
        import zarr

        shape, chunks = (40 * n, 768), (2000, 768)
        compressors = [zarr.codecs.ZstdCodec(level=1)] if codec else None
        made = f"{folder}/{codec}.zarr"
        if not os.path.exists(made):
            source = zarr.create_array(made, shape=shape, chunks=chunks, dtype="float32", compressors=compressors)
            for begin in range(0, shape[0], chunks[0]):
                i = np.arange(begin, min(begin + chunks[0], shape[0]), dtype=np.int64)[:, None]
                source[begin : begin + chunks[0]] = ((i * 7919 + np.arange(768) * 104729) % 1000003 % 8).astype("f4")

        def run():
            x = xp.from_zarr(made)
            unit = x / xp.sqrt((x * x).sum(axis=1, keepdims=True))
            result = zarr.create_array(f"{folder}/result.zarr", shape=shape, chunks=chunks, dtype="float32",
                                       compressors=compressors, overwrite=True)
            xp.store(unit, result, lock=False)
            return float(result[20 * n, 7])

        return run

    def rechunked():
        rows, columns, height, width = 4 * n, 2 * n, -(-n // 20), -(-n // 40)

        def block(block_info=None):
            (a, b), (c, d) = block_info[None]["array-location"]
            i = np.arange(a, b, dtype=np.int64)[:, None]
            return (i * 7919 % 100003).astype("float64") + np.arange(c, d, dtype="float64")

        heights = [min(height, rows - i) for i in range(0, rows, height)]
        made = xp.map_blocks(block, chunks=(tuple(heights), (columns,)), dtype="float64")
        centred = made.rechunk((rows, width)).map_blocks(lambda b: b - b.mean(axis=0), dtype="float64")
        return float(centred.max().compute())

    # Made when the first run needs them; of the tall ones Dask has a chunk of rows for each
    # sixteenth, as we have tasks.
    @functools.cache
    def square():
        x = numbers(side, side)
        return xp.from_array(x) if engine == "dask" else here.asarray(x)

    def by_rows(x):
        return xp.from_array(x, chunks=(-(-rows // 16), -1)) if engine == "dask" else here.asarray(x)

    @functools.cache
    def tall():
        return by_rows(numbers(rows, 64))

    @functools.cache
    def low():
        x = numbers(rows, 64)
        return by_rows(x[:, :10] @ x[:10])

    def matmul():
        (result,) = done(square() @ square())
        return float(result[side // 2, side // 3])

    def qr():
        q, r = done(*xp.linalg.qr(tall()))
        return float(here.abs(here.diag(r)).sum())

    def compressed_svd():
        if engine == "dask":
            u, s, v = done(*xp.linalg.svd_compressed(low(), 10, seed=1))
        else:
            # NumPy and CuPy have no such function: all singular values.
            u, s, v = here.linalg.svd(low(), full_matrices=False)
        return float(s[:10].sum())

    operations = {
        "chain of ten": chain,
        "mean and std": mean_and_std,
        "(x + x.T).mean()": transposed,
        "matmul": matmul,
        "qr": qr,
        "compressed svd": compressed_svd,
    }
    if engine == "dask":
        operations["sum of chunks of one"] = small_chunks
        # What they read is written before they are timed.
        scratch = tempfile.TemporaryDirectory()
        for name, codec in [("zarr read, norm, write", None), ("zarr read, norm, write, zstd", "zstd")]:
            if only in name:
                try:
                    operations[name] = normalised(scratch.name, codec)
                except ImportError as e:
                    print(f"{name} is not in this run: {e}", file=sys.stderr)
        operations["rechunk"] = rechunked
    for name, operation in operations.items():
        if only not in name:
            continue
        seconds, value = [], None
        for _ in range(runs):
            begin = time.perf_counter()
            value = operation()
            seconds.append(time.perf_counter() - begin)
        say(name=name, seconds=seconds, value=value)


main()
