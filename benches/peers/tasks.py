"""Dask's schedulers on the graphs of `windlass bench tasks`: tasks that do nothing.

    python tasks.py SCHEDULER SHAPE TASKS RUNS

SCHEDULER is threaded, synchronous or distributed (a scheduler and one worker with a thread a
core, all in one process). Prints one JSON object: {"version", "seconds": […]}, or {"absent"} with
the reason. The time is from handing over the graph to having its results; making the graph is
not in it.
"""

import json
import random
import sys
import time


def nothing(*_):
    return None


def graph(shape, n):
    """The graph, and the tasks that no other takes."""
    rng = random.Random(1)
    tasks, used = {}, set()
    for i in range(n):
        inputs = []
        if shape == "chain" and i > 0:
            inputs = [i - 1]
        elif shape == "tree" and i > n // 2:
            first = 2 * (i - n // 2 - 1)
            inputs = [first, first + 1]
        elif shape == "random" and i > 0:
            inputs = [i - rng.randint(1, min(i, 1000)) for _ in range(rng.randint(0, 3))]
        used.update(inputs)
        tasks[("t", i)] = (nothing, *[("t", j) for j in inputs])
    return tasks, [("t", i) for i in range(n) if i not in used]


def main():
    scheduler, shape, n, runs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    try:
        import dask

        if scheduler == "threaded":
            from dask.threaded import get
        elif scheduler == "synchronous":
            from dask.local import get_sync as get
        else:
            from distributed import Client, LocalCluster

            cluster = LocalCluster(n_workers=1, processes=False, dashboard_address=None)
            get = Client(cluster).get
    except Exception as error:
        print(json.dumps({"absent": str(error)}))
        return
    tasks, wanted = graph(shape, n)
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        get(tasks, wanted)
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"version": dask.__version__, "seconds": seconds}), flush=True)
    # A cluster in this process takes seconds to close, and has nothing left to do.
    import os

    os._exit(0)


main()
