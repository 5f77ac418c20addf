"""More random cases for `numpy_cases.py`: positions that are arrays, sets, quantiles, filters,
statistics and shapes, beside NumPy's and SciPy's results."""

import numpy as np
import scipy.ndimage
import scipy.signal
import scipy.special

from families import ALL, COMPLEX, FLOATS, INTEGERS, REAL, ULP_COMPLEX, ULP_ELEMENTWISE, ULP_REDUCTION

# Filters and covariances: sums in another order, relative to the sum of the magnitudes.
ULP_SUMS = 64
# Slopes and interpolation: a few operations more, relative to the magnitudes that they are of.
ULP_STEPS = 64

MODES = ["reflect", "mirror", "nearest", "wrap", "constant"]
PADS = ["constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "maximum", "minimum", "mean", "median"]
METHODS = ["linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf", "averaged_inverted_cdf",
           "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull", "median_unbiased",
           "normal_unbiased"]


def load(cases, x):
    """An expression that reads these elements."""
    x = np.asarray(x)
    name = f"{cases.arrays}.npy"
    cases.arrays += 1
    np.save(cases.folder / name, x)
    return {"array": name, "chunks": cases.chunks(x.shape)}


def finite(x):
    return x.dtype.kind not in "fc" or bool(np.isfinite(x).all())


def magnitude(x):
    return np.abs(x.astype("complex128" if x.dtype.kind == "c" else float))


def nan_reductions(cases):
    rng = cases.rng
    name = cases.pick(["nanargmin", "nanargmax", "nancumsum", "nancumprod", "count", "logsumexp", "average"])
    cases.nan_allowed = True
    x, node = cases.array(cases.pick(REAL), cases.shape(low=1, empty=0), True)
    cases.nan_allowed = False
    axis = cases.axis(x)
    if name.startswith("nanarg"):
        args = {"axis": axis} if rng.random() < 0.7 else {}
        try:
            wanted = np.asarray(getattr(np, name)(x, **args))
        except ValueError:
            wanted = None
        cases.add(name, [node], args, wanted)
    elif name.startswith("nancum"):
        wanted = getattr(np, name)(x, axis=axis)
        scale = getattr(np, name)(magnitude(x), axis=axis)
        cases.add(name, [node], {"axis": axis}, wanted, ULP_REDUCTION, scale)
    elif name == "count":
        cases.add(name, [node], {"axis": [axis]}, (~np.isnan(x.astype(float))).sum(axis=axis))
    elif name == "logsumexp":
        x, node = cases.array(cases.pick(FLOATS), cases.shape(low=1, empty=0), True)
        axis = cases.axis(x)
        keep = bool(rng.random() < 0.5)
        wanted = np.asarray(scipy.special.logsumexp(x, axis=axis, keepdims=keep))
        cases.add(name, [node], {"axis": [axis], "keepdims": keep}, wanted, ULP_REDUCTION, np.abs(wanted) + 1)
    else:
        shape = x.shape if rng.random() < 0.5 else (x.shape[axis],)
        w = np.asarray(cases.values(cases.pick(["float64", "float32", "int32"]), shape, True))
        w = np.abs(w) + np.asarray(1, w.dtype)
        wanted = np.asarray(np.average(x, axis=axis, weights=w))
        size = np.average(magnitude(x), axis=axis, weights=w)
        cases.add(name, [node, load(cases, w)], {"axis": axis}, wanted, ULP_REDUCTION, size)


def quantiles(cases):
    name = cases.pick(["nanmedian", "quantile_by", "nanquantile_by"])
    cases.nan_allowed = True
    x, node = cases.array(cases.pick(["int16", "int32", "uint8", "float32", "float64"]), cases.shape(low=1, empty=0), True)
    cases.nan_allowed = False
    axis = cases.axis(x)
    args = {"axis": axis} if cases.rng.random() < 0.7 else {}
    if name == "nanmedian":
        wanted = np.asarray(np.nanmedian(x, **args))
        kw = {}
    else:
        kw = {"q": cases.pick([0.0, 0.1, 0.25, 0.3, 0.5, 0.77, 1.0]), "method": cases.pick(METHODS)}
        wanted = np.asarray(getattr(np, name[:-3])(x, **kw, **args))
    if wanted.dtype == np.float16:
        return
    scale = np.nanmax(magnitude(x), **args)
    if wanted.dtype == np.float32:
        # Ours are computed in 64 bits, NumPy's in 32.
        wanted = wanted.astype("float32")
    cases.add(name, [node], {**args, **kw}, wanted, ULP_REDUCTION, scale)


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


def filters(cases):
    rng = cases.rng
    name = cases.pick(["pad_with", "pad_with", "gaussian_filter", "uniform_filter", "median_filter", "minimum_filter",
                       "maximum_filter", "sobel", "prewitt", "laplace", "correlate1d", "correlate_nd", "convolve",
                       "correlate", "convolve_nd", "map_overlap"])
    if name == "pad_with":
        pad(cases)
        return
    if name in ("convolve", "correlate", "convolve_nd"):
        convolution(cases, name)
        return
    if name == "map_overlap":
        overlap(cases)
        return
    integers = name in ("median_filter", "minimum_filter", "maximum_filter")
    x, node = cases.array(cases.pick(INTEGERS + FLOATS if integers else ["int32", "int64"] + FLOATS), cases.shape(low=1, high=3, empty=0), True)
    mode = cases.pick(MODES)
    args, kw = {"mode": mode}, {"mode": mode}
    if mode == "constant":
        args["cval"] = kw["cval"] = cases.pick([0, 2])
    of, tolerance, scale = [node], 0, None
    sums = np.full(x.shape, magnitude(x).max() + 2) if x.dtype.kind == "f" else None
    if name == "gaussian_filter":
        args["sigma"] = cases.pick([[0.7], [1.5], [cases.pick([0.0, 0.5, 1.2]) for _ in x.shape]])
        if x.dtype.kind != "f":
            # What is cut hangs on the last place.
            return
        wanted = scipy.ndimage.gaussian_filter(x, args["sigma"] if len(args["sigma"]) > 1 else args["sigma"][0], **kw)
        tolerance, scale = ULP_SUMS, sums
    elif name in ("uniform_filter", "median_filter", "minimum_filter", "maximum_filter"):
        args["size"] = [int(rng.integers(1, 5)) for _ in x.shape]
        wanted = getattr(scipy.ndimage, name)(x, args["size"], **kw)
        if name == "uniform_filter":
            tolerance, scale = ULP_SUMS, sums
    elif name in ("sobel", "prewitt"):
        args["axis"] = axis = cases.axis(x)
        wanted = getattr(scipy.ndimage, name)(x, axis, **kw)
        tolerance, scale = ULP_SUMS, sums if sums is None else sums * 16
    elif name == "laplace":
        wanted = scipy.ndimage.laplace(x, **kw)
        tolerance, scale = ULP_SUMS, sums if sums is None else sums * 16
    elif name == "correlate1d":
        args["axis"] = axis = cases.axis(x)
        args["weights"] = rng.integers(-3, 4, int(rng.integers(1, 6))).astype(float).tolist()
        wanted = scipy.ndimage.correlate1d(x, args["weights"], axis, **kw)
        tolerance, scale = ULP_SUMS, sums if sums is None else sums * 16
    else:
        k = rng.integers(-3, 4, [int(rng.integers(1, 4)) for _ in x.shape]).astype(x.dtype)
        of = [node, load(cases, k)]
        wanted = scipy.ndimage.correlate(x, k, **kw)
        tolerance, scale = ULP_SUMS, sums if sums is None else sums * 64
    cases.add(name, of, args, wanted, tolerance, scale)


def pad(cases):
    rng = cases.rng
    mode = cases.pick(PADS)
    exact = mode not in ("linear_ramp", "mean", "median")
    x, node = cases.array(cases.pick(ALL if exact else ["int16", "int32", "float32", "float64"]), cases.shape(low=1, empty=0), not exact)
    if mode == "median" and x.dtype.kind != "f":
        return
    widths = rng.integers(0, cases.pick([3, 3, 12]), (x.ndim, 2)).tolist()
    args, kw = {"mode": mode, "widths": widths}, {}
    if mode == "constant":
        args["value"] = kw["constant_values"] = 1
    elif mode == "linear_ramp":
        args["value"] = kw["end_values"] = int(rng.integers(-5, 6))
    elif mode in ("maximum", "minimum", "mean", "median") and rng.random() < 0.5:
        args["stat"] = kw["stat_length"] = int(rng.integers(1, 6))
    elif mode in ("reflect", "symmetric") and rng.random() < 0.5:
        args["odd"], kw["reflect_type"] = True, "odd"
    if mode in ("maximum", "minimum") and x.dtype.kind == "c":
        return
    wanted = np.pad(x, widths, mode, **kw)
    tolerance = 0 if exact or x.dtype.kind != "f" else ULP_STEPS
    cases.add("pad_with", [node], args, wanted, tolerance, np.abs(wanted) + np.abs(x).max() + 5)


def convolution(cases, name):
    rng = cases.rng
    dtype = cases.pick(["int32", "int64", "uint8", "float32", "float64", "complex128"])
    mode = cases.pick(["full", "same", "valid"])
    if name == "convolve_nd":
        x, node = cases.array(cases.pick(["int32", "float64"]), cases.shape(low=1, high=3, empty=0), True)
        k = np.asarray(cases.values(x.dtype, tuple(int(rng.integers(1, n + 1)) for n in x.shape), True))
        wanted = scipy.signal.convolve(x, k, mode, method="direct")
        scale = scipy.signal.convolve(magnitude(x), magnitude(k), mode, method="direct")
    else:
        x, node = cases.array(dtype, (int(rng.integers(1, 50)),), True)
        k = np.asarray(cases.values(x.dtype, (int(rng.integers(1, 12 if rng.random() < 0.8 else 60)),), True))
        wanted = getattr(np, name)(x, k, mode)
        scale = getattr(np, name)(magnitude(x), magnitude(k), mode)
    tolerance = ULP_SUMS if wanted.dtype.kind in "fc" else 0
    cases.add(name, [node, load(cases, k)], {"mode": mode}, wanted, tolerance, scale)


def overlap(cases):
    rng = cases.rng
    x, node = cases.array("float64", cases.shape(low=1, high=3, empty=0), True)
    depth = rng.integers(0, 4, (x.ndim, 2)).tolist()
    mode = cases.pick(["none", *MODES])
    trim = mode == "none" or bool(rng.random() < 0.5)
    args = {"depth": depth, "mode": mode, "trim": trim}
    before, behind = depth[0]
    names = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge", "wrap": "wrap", "constant": "constant"}
    widths = [(before, behind)] + [(0, 0)] * (x.ndim - 1)
    y = x if mode == "none" else np.pad(x, widths, names[mode])
    shift = 0 if mode == "none" else before
    wanted = np.zeros_like(x)
    for i in range(x.shape[0]):
        at = i + shift
        wanted[i] = y[max(at - before, 0):at + behind + 1].sum(axis=0)
    cases.add("map_overlap", [node], args, wanted, ULP_SUMS, np.full(x.shape, np.abs(x).sum() + 1))


def statistics(cases):
    rng = cases.rng
    name = cases.pick(["cov", "corrcoef", "gradient", "trapezoid", "interp", "digitize", "diff_with", "ediff1d",
                       "histogramdd", "histogram_between", "bincount_weighted", "blockwise"])
    x, node = cases.array(cases.pick(["int32"] + FLOATS), cases.shape(low=1, empty=0), True)
    axis = cases.axis(x)
    args, of, tolerance, scale = {}, [node], ULP_STEPS, None
    if name in ("cov", "corrcoef"):
        rows = bool(rng.random() < 0.6)
        shape = (int(rng.integers(1, 6)), int(rng.integers(3, 30)))
        x, node = cases.array(cases.pick(["float64", "int32", "complex128"]), shape if rows else shape[::-1], True, False)
        of, args, kw = [node], {"rowvar": rows}, {"rowvar": rows}
        if name == "cov":
            args["ddof"] = kw["ddof"] = cases.pick([0, 1])
            if rng.random() < 0.4:
                kw["fweights"] = rng.integers(1, 5, shape[1])
                args["fweights"] = len(of)
                of.append(load(cases, kw["fweights"]))
            if rng.random() < 0.4:
                kw["aweights"] = rng.random(shape[1]) + 0.1
                args["aweights"] = len(of)
                of.append(load(cases, kw["aweights"]))
        elif shape[0] == 1:
            return
        wanted = np.asarray(getattr(np, name)(x, **kw))
        scale = np.full(wanted.shape, np.abs(np.cov(x, rowvar=rows)).max() + 1)
        if name == "corrcoef":
            scale = np.full(wanted.shape, 16.0)
    elif name == "gradient":
        order = cases.pick([1, 2])
        if x.shape[axis] < order + 1:
            return
        args = {"axis": axis, "order": order}
        if rng.random() < 0.5:
            h = cases.pick([1.0, 0.5, 3.0])
            args["h"] = h
            wanted = np.gradient(x, h, axis=axis, edge_order=order)
        else:
            places = np.cumsum(rng.integers(1, 5, x.shape[axis])).astype(float)
            of = [node, load(cases, places)]
            wanted = np.gradient(x, places, axis=axis, edge_order=order)
        scale = np.full(wanted.shape, np.abs(x).max() * 8 + 1)
    elif name == "trapezoid":
        args = {"axis": axis}
        if rng.random() < 0.5:
            args["h"] = 0.5
            wanted = np.trapezoid(x, dx=0.5, axis=axis)
        else:
            places = np.cumsum(rng.integers(1, 5, x.shape[axis])).astype(float)
            of = [node, load(cases, places)]
            wanted = np.trapezoid(x, places, axis=axis)
        if x.dtype == np.float32:
            wanted = np.asarray(wanted)
            tolerance = 256
        scale = np.full(np.shape(wanted), np.abs(x).sum() * 4 + 1)
    elif name == "interp":
        k = int(rng.integers(1, 9))
        places, values = np.sort(rng.normal(0, 3, k)), rng.normal(0, 3, k)
        of = [node, load(cases, places), load(cases, values)]
        if rng.random() < 0.3:
            args = {"left": -1.5, "right": 2.5}
        wanted = np.interp(x, places, values, **args)
        scale = np.full(wanted.shape, 64.0)
    elif name == "digitize":
        bins = np.sort(np.round(rng.normal(0, 3, int(rng.integers(1, 6)))))
        bins = bins[::-1] if rng.random() < 0.4 else bins
        args = {"bins": bins.tolist(), "right": bool(rng.random() < 0.5)}
        wanted, tolerance = np.digitize(x, bins, right=args["right"]), 0
    elif name == "diff_with":
        args, kw = {"n": int(rng.integers(1, 3)), "axis": axis}, {}
        for side in ("prepend", "append"):
            if rng.random() < 0.6:
                shape = list(x.shape)
                shape[axis] = int(rng.integers(1, 4))
                kw[side] = np.asarray(cases.values(x.dtype, tuple(shape), True))
                args[side] = len(of)
                of.append(load(cases, kw[side]))
        wanted, tolerance = np.diff(x, args["n"], axis, **kw), ULP_ELEMENTWISE
        scale = np.full(wanted.shape, 32.0)
    elif name == "ediff1d":
        kw = {}
        for side, long in (("begin", "to_begin"), ("end", "to_end")):
            if rng.random() < 0.6:
                kw[long] = np.asarray(cases.values(x.dtype, (int(rng.integers(1, 4)),), True))
                args[side] = len(of)
                of.append(load(cases, kw[long]))
        wanted = np.ediff1d(x, **kw)
    elif name == "histogramdd":
        k = int(rng.integers(1, 4))
        columns = [np.asarray(cases.values(x.dtype, x.shape, True)) for _ in range(k)]
        edges = [np.unique(np.round(rng.normal(0, 4, 6))) for _ in range(k)]
        if any(len(e) < 2 for e in edges):
            return
        weights = rng.random(x.shape) if rng.random() < 0.4 else None
        of = [load(cases, c) for c in columns] + ([load(cases, weights)] if weights is not None else [])
        args = {"edges": [e.tolist() for e in edges]}
        flat = weights.ravel() if weights is not None else None
        wanted = np.histogramdd([c.ravel() for c in columns], edges, weights=flat)[0]
        scale = np.full(wanted.shape, float(x.size))
    elif name == "histogram_between":
        edges = np.unique(np.round(rng.normal(0, 4, 6)))
        if len(edges) < 2:
            return
        args = {"edges": edges.tolist(), "density": bool(rng.random() < 0.4)}
        wanted = np.histogram(x, edges, density=args["density"])[0].astype(float)
        scale = np.full(wanted.shape, float(x.size))
    elif name == "bincount_weighted":
        p = rng.integers(0, 9, int(rng.integers(1, 50)))
        w = rng.normal(0, 1, p.shape)
        of, args = [load(cases, p), load(cases, w)], {"least": int(rng.integers(0, 12))}
        wanted = np.bincount(p, w, args["least"])
        scale = np.full(wanted.shape, np.abs(w).sum())
    else:
        a, b, c = (int(rng.integers(1, 12)) for _ in range(3))
        p, q = rng.normal(0, 1, (a, b)), rng.normal(0, 1, (b, c))
        first, second = load(cases, p), load(cases, q)
        of, wanted = [first, second], p @ q
        scale = np.abs(p) @ np.abs(q)
    cases.add(name, of, args, np.asarray(wanted), tolerance, scale)


def shapes(cases):
    rng = cases.rng
    name = cases.pick(["atleast_1d", "atleast_2d", "atleast_3d", "block", "array_split", "rot90", "rollaxis", "roll_axes",
                       "repeat_each", "coarsen", "sliding_window_view", "indices", "fromfunction", "tri", "vstack",
                       "hstack", "dstack", "column_stack", "append", "broadcast_arrays", "meshgrid",
                       "apply_along_axis_to", "map_blocks_to"])
    low = {"rot90": 2, "column_stack": 1, "block": 0}.get(name, 0 if name.startswith("atleast") else 1)
    x, node = cases.array(cases.pick(ALL), cases.shape(low=low, empty=0))
    axis = cases.axis(x) if x.ndim else 0
    args, of = {}, [node]
    if name.startswith("atleast"):
        wanted = getattr(np, name)(x)
    elif name == "block":
        rows, columns = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        heights, widths = rng.integers(1, 4, rows), rng.integers(1, 4, columns)
        parts, of, blocks = [], [], []
        for h in heights:
            parts.append([])
            blocks.append([])
            for w in widths:
                part = np.asarray(cases.values(x.dtype, (int(h), int(w)), False))
                parts[-1].append(part)
                blocks[-1].append(len(of))
                of.append(load(cases, part))
        args, wanted = {"blocks": blocks}, np.block(parts)
    elif name == "array_split":
        k = int(rng.integers(1, 6))
        part = int(rng.integers(k))
        args, wanted = {"parts": k, "axis": axis, "part": part}, np.array_split(x, k, axis)[part]
    elif name == "rot90":
        a, b = rng.permutation(x.ndim)[:2].tolist()
        k = int(rng.integers(-5, 6))
        args, wanted = {"k": k, "a": a, "b": b}, np.rot90(x, k, (a, b))
    elif name == "rollaxis":
        start = int(rng.integers(-x.ndim, x.ndim + 1))
        args, wanted = {"axis": axis, "start": start}, np.rollaxis(x, axis, start)
    elif name == "roll_axes":
        k = int(rng.integers(1, 4))
        by = rng.integers(-9, 10, k).tolist()
        axes = [cases.axis(x) for _ in range(k)]
        args, wanted = {"by": by, "axes": axes}, np.roll(x, by, axes)
    elif name == "repeat_each":
        counts = rng.integers(0, 4, x.shape[axis])
        args, wanted = {"counts": counts.tolist(), "axis": axis}, np.repeat(x, counts, axis)
    elif name == "coarsen":
        if x.dtype.kind == "c":
            return
        factors = [int(rng.integers(1, n + 1)) for n in x.shape]
        cut = x[tuple(slice(0, n // k * k) for n, k in zip(x.shape, factors))]
        split = sum(([n // k, k] for n, k in zip(cut.shape, factors)), [])
        wanted = cut.reshape(split).max(axis=tuple(range(1, 2 * x.ndim, 2)))
        args = {"factors": factors}
    elif name == "sliding_window_view":
        axes = rng.permutation(x.ndim)[: int(rng.integers(1, x.ndim + 1))].tolist()
        windows = [int(rng.integers(1, x.shape[a] + 1)) for a in axes]
        args = {"windows": windows, "axes": axes}
        wanted = np.lib.stride_tricks.sliding_window_view(x, windows, axes)
    elif name == "indices":
        args, wanted = {"shape": list(x.shape)}, np.indices(x.shape)
    elif name == "fromfunction":
        def function(*axes):
            total = axes[0]
            for a in axes[1:]:
                total = total * 2 + a
            return total
        args, wanted = {"shape": list(x.shape)}, np.fromfunction(function, x.shape)
    elif name == "tri":
        a, b, k = int(rng.integers(0, 9)), int(rng.integers(0, 9)), int(rng.integers(-9, 10))
        args, wanted = {"rows": a, "columns": b, "k": k}, np.tri(a, b, k)
    elif name in ("vstack", "hstack", "dstack", "column_stack", "append"):
        if name == "column_stack" and x.ndim > 2:
            return
        arrays = [x] + [np.asarray(cases.values(x.dtype, x.shape, False)) for _ in range(1 if name == "append" else int(rng.integers(0, 3)))]
        of = [node] + [load(cases, a) for a in arrays[1:]]
        if name == "append":
            args, wanted = {"axis": axis}, np.append(arrays[0], arrays[1], axis)
        else:
            wanted = getattr(np, name)(arrays)
    elif name == "broadcast_arrays":
        y = np.asarray(cases.values(x.dtype, cases.other_shape(x.shape), False))
        part = int(rng.integers(2))
        of, args, wanted = [node, load(cases, y)], {"part": part}, np.broadcast_arrays(x, y)[part]
    elif name == "meshgrid":
        arrays = [np.asarray(cases.values(x.dtype, (int(rng.integers(1, 6)),), False)) for _ in range(int(rng.integers(1, 4)))]
        part, xy = int(rng.integers(len(arrays))), bool(rng.random() < 0.5)
        of, args = [load(cases, a) for a in arrays], {"part": part, "xy": xy}
        wanted = np.meshgrid(*arrays, indexing="xy" if xy else "ij")[part]
    elif name == "apply_along_axis_to":
        x, node = cases.array("float64", x.shape, True)
        x = np.round(x)
        of, args = [load(cases, x)], {"axis": axis}
        wanted = np.apply_along_axis(lambda line: np.array([line.sum(), float(line.size)]), axis, x)
    else:
        x = np.round(np.asarray(cases.values("float64", x.shape, True)))
        leaf = load(cases, x)
        of, sums, begin = [leaf], [], 0
        for i, n in enumerate(leaf["chunks"][0]):
            sums.append([x[begin:begin + n].sum(), i])
            begin += n
        wanted = np.array(sums)
    cases.add(name, of, args, np.asarray(wanted))


def families(cases):
    return [lambda f=f: f(cases) for f in (nan_reductions, quantiles, orders, positions, positions, filters, filters, statistics, shapes)]
