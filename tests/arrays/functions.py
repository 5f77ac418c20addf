"""Random cases of further functions, for `numpy_cases.py`: by pieces, by positions along an axis,
of single elements, of lines, and comparisons of whole arrays."""

import numpy as np

from cases import ALL, COMPLEX, FLOATS, INTEGERS, REAL, ULP_COMPLEX, ULP_ELEMENTWISE, load


def pieces(c):
    """Conditions that overlap; constants, and functions of the elements."""
    rng = c.rng
    x, node = c.array(c.pick([d for d in ALL if d != "bool"]), c.shape(empty=0.04), True)
    functions = {"square": np.square, "negative": np.negative, "same": lambda v: v}
    conditions, told, called = [], [], []
    for _ in range(int(rng.integers(1, 4))):
        conditions.append(rng.random(x.shape) < 0.4)
    for _ in range(len(conditions) + int(rng.random() < 0.6)):
        name = c.pick([*functions, 3, True, 2.5])
        if isinstance(name, float) and x.dtype.kind in "iu":
            name = 7
        told.append(name)
        called.append(functions.get(name, name) if isinstance(name, str) else name)
    wanted = np.piecewise(x, conditions, called) if x.ndim else np.piecewise(x, [bool(v) for v in conditions], called)
    c.add("piecewise", [node] + [load(c, v) for v in conditions], {"pieces": told}, np.asarray(wanted), ULP_ELEMENTWISE)


def along(c):
    """Positions that come several times, and axes of length 1 on either side."""
    rng = c.rng
    x, node = c.array(c.pick(ALL), c.shape(low=1, empty=0))
    axis = c.axis(x)
    shape = [1 if rng.random() < 0.25 else n for n in x.shape]
    shape[axis] = int(rng.integers(0 if rng.random() < 0.1 else 1, 12))
    n = x.shape[axis]
    p = rng.integers(-n, n, shape).astype(c.pick(["int64", "int32", "int8"]))
    full = [k if a == axis % x.ndim else max(k, m) for a, (k, m) in enumerate(zip(shape, x.shape))]
    if rng.random() < 0.3:
        value, operand = 1, {"scalar": 1}
    else:
        value = np.asarray(c.values(x.dtype, tuple(1 if rng.random() < 0.2 else n for n in full), False))
        operand = load(c, value)
    wanted = x.copy()
    np.put_along_axis(wanted, p.astype("int64"), value, axis)
    c.add("put_along_axis", [node, load(c, p), operand], {"axis": axis}, wanted)


NUMBERS = [d for d in ALL if d != "bool"]
HALVES = ("bool", "int8", "uint8")
# NumPy gives half floats for the types that are left out, and arrays have none.
ELEMENTS = {
    "nan_to_num": ALL, "round": NUMBERS, "sinc": FLOATS + COMPLEX + ["int32", "uint8"],
    "heaviside": [d for d in REAL if d not in HALVES], "float_power": FLOATS + COMPLEX + ["int32"],
    "modf": [d for d in REAL if d not in HALVES], "divmod": [d for d in REAL if d != "bool"],
    "frexp": [d for d in REAL if d not in HALVES], "ldexp": [d for d in REAL if d not in HALVES],
    "spacing": [d for d in REAL if d not in HALVES], "i0": FLOATS + ["int32", "uint8", "bool"],
    "bitwise_count": INTEGERS, "gcd": INTEGERS, "lcm": INTEGERS,
}


def elements(c):
    rng, name = c.rng, c.pick(list(ELEMENTS))
    tame = name in ("sinc", "float_power", "round", "i0")
    x, node = c.array(c.pick(ELEMENTS[name]), c.shape(), tame)
    of, args, tolerance, scale = [node], {}, ULP_ELEMENTWISE, None
    if name == "nan_to_num":
        if rng.random() < 0.5:
            args = {"nan": 7.5, "posinf": 9.0, "neginf": -1.0}
        wanted = np.nan_to_num(x, **args)
    elif name == "round":
        args = {"decimals": int(rng.integers(-2, 4))}
        wanted = np.round(x, **args)
    elif name == "sinc":
        # Near multiples of pi the sine's argument is what is rounded.
        wanted = np.sinc(x)
        tolerance, scale = (ULP_COMPLEX if x.dtype.kind == "c" else ULP_ELEMENTWISE), np.abs(wanted) + 1
    elif name == "heaviside":
        y, other = c.array(c.pick(ELEMENTS[name]), c.other_shape(x.shape), False, False)
        if rng.random() < 0.4:
            y, other = 0.5, {"scalar": 0.5}
        of, wanted = [node, other], np.heaviside(x, y)
    elif name == "float_power":
        y = c.pick([2, 3, -1, 0.5, -1.5])
        x = np.abs(x) + 1
        x = x.astype(x.dtype)
        of, wanted = [load(c, x), {"scalar": y}], np.float_power(x, y)
        tolerance, scale = ULP_COMPLEX, np.abs(wanted)
    elif name in ("modf", "frexp"):
        part = int(rng.integers(2))
        args, wanted = {"part": part}, getattr(np, name)(x)[part]
    elif name == "divmod":
        y, other = c.array(x.dtype.name, c.other_shape(x.shape), False, False)
        part = int(rng.integers(2))
        of, args, wanted = [node, other], {"part": part}, np.divmod(x, y)[part]
        if wanted.dtype.kind == "f":
            scale = np.abs(wanted) + np.abs(y.astype("float64"))
    elif name == "ldexp":
        e = rng.integers(-1200 if rng.random() < 0.3 else -20, 1200 if rng.random() < 0.3 else 21, c.other_shape(x.shape))
        e = e.astype(c.pick(["int16", "int32", "int64"]))
        of, wanted, tolerance = [node, load(c, e)], np.ldexp(x, e), 0
    elif name == "spacing":
        top = np.abs(x.astype("float64")) >= np.finfo("float32").max
        if top.any() and x.dtype != np.float64:
            return
        wanted, tolerance = np.spacing(x), 0
    elif name == "i0":
        wanted = np.i0(x)
        tolerance, scale = 64, np.abs(wanted)
    elif name == "bitwise_count":
        wanted = np.bitwise_count(x)
    else:
        y, other = c.array(x.dtype.name, c.other_shape(x.shape), False, False)
        of, wanted = [node, other], getattr(np, name)(x, y)
    wanted = np.asarray(wanted)
    if wanted.dtype == np.float16:
        return
    c.add(name, of, args, wanted, tolerance if wanted.dtype.kind in "fc" else 0, scale)


def lines(c):
    """Functions of lines, vectors and shapes, and comparisons of whole arrays."""
    rng = c.rng
    name = c.pick(["unwrap", "unwrap", "vander", "cross", "trim_zeros", "resize", "apply_over_axes",
                   "array_equal", "histogram2d", "multi_dot"])
    args, tolerance, scale = {}, 0, None
    if name == "unwrap":
        c.nan_allowed = rng.random() < 0.2
        x, node = c.array(c.pick(FLOATS + ["int16", "int32", "int64"]), c.shape(low=1, empty=0), True)
        c.nan_allowed = False
        args = {"axis": c.axis(x), "period": c.pick([2 * np.pi, 7, 8, 5.5])}
        if rng.random() < 0.3:
            args["discont"] = c.pick([3, 6.0, 20])
        of, wanted = [node], np.unwrap(x, **args)
        tolerance, scale = 64, np.full(wanted.shape, 60.0 * x.shape[args["axis"]])
        if wanted.dtype == np.float16:
            return
    elif name == "vander":
        x, node = c.array(c.pick(ALL), (int(rng.integers(0, 9)),), True)
        args = {"increasing": bool(rng.random() < 0.5)}
        if rng.random() < 0.5:
            args["n"] = int(rng.integers(0, 6))
        of, wanted = [node], np.vander(x, args.get("n"), args["increasing"])
        tolerance = 64
    elif name == "cross":
        lead = c.shape(high=3, empty=0.04)
        other = c.other_shape(lead)
        at = int(rng.integers(min(len(lead), len(other)) + 1))
        axis = at - len(lead) - 1 if len(lead) != len(other) else at
        lead, other = list(lead), list(other)
        if axis < 0:
            at = axis + len(lead) + 1
            lead.insert(at, 3)
            # Counted from the end in both.
            if axis + len(other) + 1 < 0:
                return
            other.insert(axis + len(other) + 1, 3)
        else:
            lead.insert(axis, 3)
            other.insert(axis, 3)
        x, node = c.array(c.pick(NUMBERS), tuple(lead), True, False)
        y, second = c.array(x.dtype.name, tuple(other), True, False)
        of, args = [node, second], {"axis": axis}
        try:
            wanted = np.cross(x, y, axis=axis)
        except ValueError:
            return
        tolerance, scale = 64, np.full(wanted.shape, 64.0 * 64)
    elif name == "trim_zeros":
        x, node = c.array(c.pick(ALL), c.shape(low=1, empty=0.05), True, False)
        x = np.where(rng.random(x.shape) < c.pick([0.2, 0.6, 0.9, 1.0]), np.zeros((), x.dtype), x)
        of, args = [load(c, x)], {"trim": c.pick(["f", "b", "fb"])}
        if x.size == 0:
            return
        wanted = np.trim_zeros(x, args["trim"])
    elif name == "resize":
        x, node = c.array(c.pick(ALL), c.shape(empty=0.05))
        shape = [int(n) for n in rng.integers(0 if rng.random() < 0.1 else 1, 8, int(rng.integers(0, 4)))]
        of, args, wanted = [node], {"shape": shape}, np.resize(x, shape)
    elif name == "apply_over_axes":
        x, node = c.array(c.pick(INTEGERS), c.shape(low=1))
        axes = [int(a) for a in rng.permutation(x.ndim)[: int(rng.integers(1, x.ndim + 1))]]
        of, args, wanted = [node], {"axes": axes}, np.apply_over_axes(np.sum, x, axes)
    elif name == "array_equal":
        x, node = c.array(c.pick(FLOATS + COMPLEX + ["int32", "bool"]), c.shape())
        y = x.copy() if rng.random() < 0.8 or x.ndim == 0 else x[..., :-1]
        if rng.random() < 0.3 and y.size:
            y[tuple(int(rng.integers(n)) for n in y.shape)] = 1
        args = {"equal_nan": bool(rng.random() < 0.5)}
        of, wanted = [node, load(c, y)], np.array_equal(x, y, **args)
    elif name == "histogram2d":
        n = int(rng.integers(1, 60))
        x, y, w = rng.normal(0, 3, n), rng.normal(0, 3, n), rng.random(n)
        weights = w if rng.random() < 0.4 else None
        args = {"bins": [int(rng.integers(1, 6)), int(rng.integers(1, 6))], "part": int(rng.integers(3))}
        if rng.random() < 0.5:
            args["range"] = [[-3.0, 4.0], [-2.0, 2.5]]
        of = [load(c, x), load(c, y)] + ([load(c, w)] if weights is not None else [])
        found = np.histogram2d(x, y, args["bins"], args.get("range"), weights=weights)
        wanted, tolerance = found[args["part"]], 64
        scale = np.full(wanted.shape, float(n))
    else:
        n = int(rng.integers(2, 6))
        lens = [int(rng.integers(1, 9)) for _ in range(n + 1)]
        shapes = [tuple(lens[i : i + 2]) for i in range(n)]
        if rng.random() < 0.3:
            shapes[0] = shapes[0][1:]
        if rng.random() < 0.3:
            shapes[-1] = shapes[-1][:1]
        dtype = c.pick(FLOATS + COMPLEX + ["int64"])
        arrays = [c.array(dtype, s, True, False) for s in shapes]
        of, values = [a[1] for a in arrays], [a[0] for a in arrays]
        wanted = np.linalg.multi_dot(values)
        tolerance, scale = 256, np.linalg.multi_dot([np.abs(v.astype("complex128")).astype("float64") for v in values])
    wanted = np.asarray(wanted)
    c.add(name, of, args, wanted, tolerance if wanted.dtype.kind in "fc" else 0, scale)


FAMILIES = [(pieces, 0.05), (along, 0.08), (elements, 0.12), (lines, 0.1)]
