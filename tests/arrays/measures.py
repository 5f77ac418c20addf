"""Random cases of reductions without NaN, quantiles, slopes, histograms and covariances, for
`numpy_cases.py`, beside NumPy's and SciPy's results."""

import numpy as np
import scipy.special

from cases import FLOATS, REAL, ULP_ELEMENTWISE, ULP_REDUCTION, ULP_STEPS, load, magnitude

METHODS = ["linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf", "averaged_inverted_cdf",
           "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull", "median_unbiased",
           "normal_unbiased"]


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
