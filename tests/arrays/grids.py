"""Random cases of filters, paddings and convolutions, and of shapes, for `numpy_cases.py`, beside
NumPy's and SciPy's results."""

import numpy as np
import scipy.ndimage
import scipy.signal

from cases import ALL, FLOATS, INTEGERS, ULP_STEPS, ULP_SUMS, load, magnitude

MODES = ["reflect", "mirror", "nearest", "wrap", "constant"]
PADS = ["constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "maximum", "minimum", "mean", "median"]


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
