"""Random cases of positions that are arrays, of sets and of orders, for `numpy_cases.py`."""

import numpy as np

from cases import ALL, REAL, load


def orders(cases):
    rng = cases.rng
    name = cases.pick(["argtopk", "unique_part", "isin", "union1d", "intersect1d", "setdiff1d", "setxor1d", "long_sort", "long_argsort"])
    x, node = cases.array(cases.pick(REAL), cases.shape(low=1, empty=0), True)
    if name == "argtopk":
        axis = cases.axis(x)
        k = int(rng.integers(0, x.shape[axis] + 1))
        n = x.shape[axis]
        # The greatest first, of equal ones the first.
        order = np.flip(n - 1 - np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
        cases.add(name, [node], {"axis": axis, "k": k}, np.take(order, np.arange(k), axis=axis))
    elif name == "unique_part":
        values, positions, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True)
        part = cases.pick(["values", "positions", "counts", "inverse"])
        wanted = {"values": values, "positions": positions, "counts": counts, "inverse": inverse.reshape(x.shape)}[part]
        cases.add(name, [node], {"part": part}, wanted)
    elif name.startswith("long"):
        # More than a task brings into one chunk.
        dtype = cases.pick(["int32", "float64", "uint8", "float32"])
        n = 70_000 + int(rng.integers(0, 1000))
        shape = (n,) if rng.random() < 0.5 else (n, 2)
        y = rng.normal(0, 1000, shape).astype(dtype)
        if y.dtype.kind == "f" and rng.random() < 0.5:
            y[::1000] = np.nan
        if rng.random() < 0.3:
            y = np.sort(y, axis=0)[::-1]
        wanted = np.sort(y, axis=0) if name == "long_sort" else np.argsort(y, axis=0, kind="stable")
        leaf = load(cases, y)
        step = cases.pick([7_000, 20_000, 33_333, 70_000])
        leaf["chunks"][0] = [min(step, n - i) for i in range(0, n, step)]
        cases.add(name[5:], [leaf], {"axis": 0}, wanted)
    else:
        y, other = cases.array(x.dtype, cases.shape(low=1, empty=0), True)
        if name == "isin":
            wanted = np.isin(x, y)
        else:
            wanted = getattr(np, name)(x.ravel(), y.ravel())
        cases.add(name, [node, other], {}, wanted)


def positions(cases):
    rng = cases.rng
    name = cases.pick(["take_along_axis", "take_array", "fancy", "fancy", "fancy", "assign", "assign", "assign_fancy",
                       "assign_fancy", "put", "nonzero", "argwhere", "flatnonzero", "unravel_index",
                       "ravel_multi_index", "choose", "select", "insert", "delete"])
    x, node = cases.array(cases.pick(ALL), cases.shape(low=1, empty=0))
    axis = cases.axis(x)
    n = x.shape[axis]
    args, of, wanted = {}, [node], None
    if name == "take_along_axis":
        shape = list(x.shape)
        shape[axis] = int(rng.integers(1, 9))
        p = rng.integers(-n, n, shape).astype(cases.pick(["int64", "int32", "int8"]))
        of, args = [node, load(cases, p)], {"axis": axis}
        wanted = np.take_along_axis(x, p.astype("int64"), axis)
    elif name == "take_array":
        p = rng.integers(-n, n, cases.shape(high=2, empty=0))
        of, args = [node, load(cases, p)], {"axis": axis}
        wanted = np.take(x, p, axis=axis)
    elif name in ("fancy", "assign_fancy"):
        index, key = fancy_index(cases, x, of, name == "assign_fancy")
        args = {"index": index}
        try:
            part = x[key]
        except IndexError:
            return
        if name == "fancy":
            wanted = part
        else:
            value, operand = value_for(cases, x, part.shape)
            of.insert(1, operand)
            for i in index:
                if isinstance(i, dict) and "array" in i:
                    i["array"] += 1
            wanted = x.copy()
            wanted[key] = value
    elif name == "assign":
        index, key = slices(cases, x)
        value, operand = value_for(cases, x, x[key].shape)
        wanted = x.copy()
        wanted[key] = value
        of, args = [node, operand], {"index": index}
    elif name == "put":
        p = rng.integers(-x.size, x.size, int(rng.integers(0, 8)))
        v = np.asarray(cases.values(x.dtype, (int(rng.integers(1, 9)),), False))
        wanted = x.copy()
        np.put(wanted, p, v)
        of, args = [node, load(cases, v)], {"indices": p.tolist()}
    elif name in ("nonzero", "argwhere", "flatnonzero"):
        part = int(rng.integers(x.ndim))
        found = getattr(np, name)(x)
        args, wanted = {"part": part}, found[part] if name == "nonzero" else found
    elif name == "unravel_index":
        shape = [int(rng.integers(1, 6)) for _ in range(int(rng.integers(1, 4)))]
        p = rng.integers(0, int(np.prod(shape)), cases.shape(high=2, empty=0))
        part = int(rng.integers(len(shape)))
        of, args, wanted = [load(cases, p)], {"shape": shape, "part": part}, np.unravel_index(p, shape)[part]
    elif name == "ravel_multi_index":
        shape = [int(rng.integers(1, 6)) for _ in range(int(rng.integers(1, 4)))]
        where = cases.shape(high=2, empty=0)
        p = [rng.integers(0, k, where) for k in shape]
        of, args, wanted = [load(cases, a) for a in p], {"shape": shape}, np.ravel_multi_index(p, shape)
    elif name == "choose":
        k = int(rng.integers(1, 5))
        choices = [np.asarray(cases.values(x.dtype, cases.other_shape(x.shape), False)) for _ in range(k)]
        which = rng.integers(0, k, x.shape)
        of, wanted = [load(cases, which)] + [load(cases, c) for c in choices], np.choose(which, choices)
    elif name == "select":
        k = int(rng.integers(1, 4))
        conditions = [rng.random(x.shape) < 0.4 for _ in range(k)]
        choices = [np.asarray(cases.values(x.dtype, x.shape, False)) for _ in range(k)]
        of = [load(cases, c) for c in conditions + choices] + [{"scalar": False}]
        wanted = np.select(conditions, choices, x.dtype.type(0))
    elif name == "insert":
        k = int(rng.integers(0, 4))
        at = rng.integers(-n, n + 1, k).tolist()
        shape = list(x.shape)
        shape[axis] = k
        v = np.asarray(cases.values(x.dtype, tuple(shape), False))
        of, args = [node, load(cases, v)], {"at": at, "axis": axis}
        wanted = np.insert(x, np.array(at, int), v, axis=axis)
    elif name == "delete":
        at = rng.integers(-n, n, int(rng.integers(0, 4))).tolist()
        args, wanted = {"at": at, "axis": axis}, np.delete(x, np.array(at, int), axis=axis)
    cases.add(name, of, args, np.asarray(wanted))


def slices(cases, x):
    """A basic index, as JSON and as Python's."""
    rng, index = cases.rng, []
    for length in x.shape:
        kind = rng.random()
        if kind < 0.25 and length:
            index.append(int(rng.integers(-length, length)))
        else:
            if kind < 0.35:
                index.append("new")
            bound = lambda: None if rng.random() < 0.4 else int(rng.integers(-length - 2, length + 3))
            index.append([bound(), bound(), cases.pick([1, 1, 2, 3, -1, -2])])
    if rng.random() < 0.2 and len(index) == x.ndim:
        index = index[: int(rng.integers(len(index) + 1))] + ["..."]
    key = tuple(np.newaxis if i == "new" else Ellipsis if i == "..." else slice(*i) if isinstance(i, list) else i
                for i in index)
    return index, key


def fancy_index(cases, x, of, unique):
    """An index with lists, arrays and masks, as JSON and as Python's. Operands are added."""
    rng = cases.rng
    index, key, axis = [], [], 0
    common = tuple(int(rng.integers(1, 4)) for _ in range(int(rng.integers(0, 3))))
    while axis < x.ndim:
        n, kind = x.shape[axis], rng.random()
        if kind < 0.2:
            at = int(rng.integers(-n, n))
            index.append(at)
            key.append(at)
        elif kind < 0.45:
            s = [None, None, cases.pick([1, 2, -1])]
            if rng.random() < 0.2:
                index.append("new")
                key.append(np.newaxis)
            index.append(s)
            key.append(slice(*s))
        elif kind < 0.55 and rng.random() < 0.6:
            rank = int(rng.integers(1, x.ndim - axis + 1))
            mask = rng.random(x.shape[axis:axis + rank]) < 0.4
            if key and any(isinstance(k, (np.ndarray, int)) for k in key):
                continue
            index.append({"array": len(of)})
            of.append(load(cases, mask))
            key.append(mask)
            axis += rank
            # What follows is slices: masks have another length than lists.
            while axis < x.ndim:
                index.append([None, None, 1])
                key.append(slice(None))
                axis += 1
            break
        else:
            shape = tuple(1 if rng.random() < 0.2 else k for k in common)
            p = rng.integers(-n, n, shape)
            if rng.random() < 0.4:
                index.append({"array": len(of)})
                of.append(load(cases, p))
            else:
                index.append({"list": p.ravel().tolist(), "shape": list(shape)})
            key.append(p)
        axis += 1
        if rng.random() < 0.1:
            index.append("...")
            key.append(Ellipsis)
            break
    return index, tuple(key)


def value_for(cases, x, shape):
    """A value that broadcasts to a part, and its expression."""
    if cases.rng.random() < 0.3:
        return 1, {"scalar": 1}
    shape = tuple(1 if cases.rng.random() < 0.2 else n for n in shape)
    v = np.asarray(cases.values(x.dtype, shape, False))
    return v, load(cases, v)
