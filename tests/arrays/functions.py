"""Random cases of further functions, for `numpy_cases.py`: by pieces, by positions along an axis,
of single elements, of lines, and comparisons of whole arrays."""

import numpy as np

from cases import ALL, ULP_ELEMENTWISE, load


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


FAMILIES = [(pieces, 0.05), (along, 0.08)]
