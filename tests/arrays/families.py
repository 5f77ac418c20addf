"""Random cases of single elements and reductions, for `numpy_cases.py`, and NumPy's results."""

import numpy as np

from cases import (ALL, COMPLEX, FLOATS, INTEGERS, NO_HALF, REAL, ULP_COMPLEX, ULP_ELEMENTWISE, ULP_MOMENTS,
                   ULP_REDUCTION)

UNARY = {
    "negative": [d for d in ALL if d != "bool"],
    "absolute": ALL,
    "sign": [d for d in ALL if d != "bool"],
    "reciprocal": FLOATS + COMPLEX,
    "square": ALL,
    "floor": REAL, "ceil": REAL, "trunc": REAL,
    "invert": ["bool"] + INTEGERS,
    "conj": ALL, "real": ALL, "imag": ALL, "angle": ["int32", "int64"] + FLOATS + COMPLEX,
    "isnan": ALL, "isinf": ALL, "isfinite": ALL, "logical_not": ALL, "signbit": INTEGERS + FLOATS,
}
for name in ("sqrt exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh cosh "
             "tanh arcsinh arccosh arctanh rint").split():
    UNARY[name] = NO_HALF
for name in "cbrt deg2rad rad2deg".split():
    UNARY[name] = [d for d in NO_HALF if d not in COMPLEX]
BINARY = {
    "add": ALL, "subtract": [d for d in ALL if d != "bool"], "multiply": ALL, "divide": ALL,
    "floor_divide": REAL, "remainder": REAL, "fmod": REAL, "power": FLOATS + COMPLEX,
    "maximum": ALL, "minimum": ALL, "fmax": ALL, "fmin": ALL,
    "equal": ALL, "not_equal": ALL, "less": ALL, "less_equal": ALL, "greater": ALL,
    "greater_equal": ALL, "logical_and": ALL, "logical_or": ALL, "logical_xor": ALL,
    "bitwise_and": ["bool"] + INTEGERS, "bitwise_or": ["bool"] + INTEGERS,
    "bitwise_xor": ["bool"] + INTEGERS,
    "left_shift": INTEGERS, "right_shift": INTEGERS,
    "isclose": REAL,
}
for name in "arctan2 hypot logaddexp logaddexp2 copysign nextafter".split():
    BINARY[name] = [d for d in NO_HALF if d not in COMPLEX]
REDUCTIONS = {
    "sum": ALL, "prod": ALL, "mean": ALL, "var": ALL, "std": ALL, "min": ALL, "max": ALL,
    "any": ALL, "all": ALL, "count_nonzero": ALL, "ptp": INTEGERS + FLOATS,
    "nansum": ALL, "nanprod": ALL, "nanmean": ALL, "nanvar": FLOATS + COMPLEX,
    "nanstd": FLOATS + COMPLEX, "nanmin": ALL, "nanmax": ALL, "argmin": ALL, "argmax": ALL,
}
# Extreme values make these differ in what they overflow to.
TAME = set("sum prod mean var std nansum nanprod nanmean nanvar nanstd cumsum cumprod power isclose "
           "exp exp2 expm1 sinh cosh tan logaddexp logaddexp2 square multiply".split())


def unary(cases):
    name = cases.pick(list(UNARY))
    x, node = cases.array(cases.pick(UNARY[name]), cases.shape(), name in TAME)
    wanted = getattr(np, {"absolute": "absolute"}.get(name, name))(x)
    wanted = np.asarray(wanted)
    if x.dtype.kind == "c" and name not in ("real", "imag", "conj", "negative", "isnan", "isinf", "isfinite", "logical_not"):
        finite = np.isfinite(x)
        if not finite.all():
            return
        cases.add(name, [node], {}, wanted, ULP_COMPLEX, np.abs(wanted))
        return
    cases.add(name, [node], {}, wanted, ULP_ELEMENTWISE)


def binary(cases):
    name = cases.pick(list(BINARY))
    dtypes = BINARY[name]
    tame = name in TAME
    x, a = cases.array(cases.pick(dtypes), cases.shape(), tame)
    if cases.rng.random() < 0.25:
        y = cases.pick([2, 3, True, 0.5, -1.5, 7])
        if x.dtype.kind in "iu" and isinstance(y, float) and "shift" in name:
            y = 1
        if x.dtype.kind in "biu" and name.startswith(("bitwise", "left", "right")):
            y = int(y)
        b = {"scalar": y}
    else:
        y, b = cases.array(cases.pick(dtypes), cases.other_shape(x.shape), tame, False)
    if name in ("left_shift", "right_shift") and isinstance(y, np.ndarray) and y.dtype.kind != x.dtype.kind:
        return
    try:
        wanted = np.asarray(getattr(np, name)(x, y))
    except OverflowError:
        cases.add(name, [a, b], {}, None)
        return
    except (TypeError, ValueError):
        return
    if wanted.dtype == np.float16:
        return
    kinds = {x.dtype.kind} | ({y.dtype.kind} if isinstance(y, np.ndarray) else set())
    if "c" in kinds and name in ("divide", "power", "multiply"):
        both = np.broadcast_arrays(x, y)
        if not all(np.isfinite(v).all() for v in both) or (name != "multiply" and (both[0] == 0).any() | (both[1] == 0).any()):
            return
        cases.add(name, [a, b], {}, wanted, ULP_COMPLEX, np.abs(wanted))
        return
    tolerance = ULP_ELEMENTWISE if wanted.dtype.kind in "fc" else 0
    scale = None
    if name in ("remainder", "fmod") and wanted.dtype.kind == "f":
        scale = np.abs(wanted) + np.abs(np.asarray(y, float))
    cases.add(name, [a, b], {}, wanted, tolerance, scale)


def reduction(cases):
    name = cases.pick(list(REDUCTIONS))
    cases.nan_allowed = True
    x, node = cases.array(cases.pick(REDUCTIONS[name]), cases.shape(empty=0.04), name in TAME)
    cases.nan_allowed = False
    args, kw = {}, {}
    if name.startswith("arg"):
        if x.ndim and cases.rng.random() < 0.6:
            kw["axis"] = args["axis"] = cases.axis(x)
    elif x.ndim and cases.rng.random() < 0.75:
        axes = cases.rng.choice(x.ndim, int(cases.rng.integers(1, x.ndim + 1)), False).tolist()
        args["axis"] = axes
        kw["axis"] = tuple(axes)
    if cases.rng.random() < 0.4:
        args["keepdims"] = kw["keepdims"] = True
    if name in ("var", "std", "nanvar", "nanstd") and cases.rng.random() < 0.5:
        args["ddof"] = kw["ddof"] = cases.pick([1, 2])
    try:
        wanted = np.asarray(getattr(np, name)(x, **kw))
    except ValueError:
        wanted = None
    scale, tolerance = None, 0
    if name in ("prod", "nanprod") and x.dtype.kind == "c" and not np.isfinite(wanted).all():
        # An infinite factor makes NaN or infinities by the order of the products.
        return
    if wanted is not None and wanted.dtype.kind in "fc":
        over = {k: v for k, v in kw.items() if k != "ddof"}
        size = np.nansum(np.abs(x.astype("complex128" if x.dtype.kind == "c" else float)), **over)
        if name in ("var", "std", "nanvar", "nanstd"):
            tolerance = ULP_MOMENTS
            scale = np.nansum(np.abs(x.astype("complex128" if x.dtype.kind == "c" else float)) ** 2, **over) + 1
        elif name in ("prod", "nanprod"):
            tolerance = ULP_REDUCTION
            scale = np.abs(wanted)
        elif "mean" in name or "sum" in name:
            tolerance = ULP_REDUCTION
            scale = size
    cases.add(name, [node], args, wanted, tolerance, scale)
