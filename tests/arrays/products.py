"""Random cases of products of arrays, diagonals and Fourier transforms, for `numpy_cases.py`."""

import numpy as np

from cases import ALL, COMPLEX, FLOATS, REAL

# In units of the type's last place, relative to the products of the magnitudes: sums in another
# order.
ULP_PRODUCT = 64
# Relative to the greatest magnitude of a line's transform.
ULP_TRANSFORM = 128

NUMBERS = FLOATS + COMPLEX
NORMS = ["backward", "ortho", "forward"]


def wide(x):
    """Magnitudes that neither wrap nor overflow."""
    return np.abs(x.astype("complex128" if x.dtype.kind == "c" else "float64"))


def as_field(x):
    return x if x.dtype.kind in "fc" else x.astype("float64")


def length(c):
    return 1 if c.rng.random() < 0.1 else int(c.rng.integers(1, 24))


def lead(c, most=2):
    return tuple(int(c.rng.integers(1, 4)) for _ in range(int(c.rng.integers(0, most + 1))))


def narrowed(c, shape):
    """A shape that broadcasts with another: axes left out in front, or of length 1."""
    shape = shape[int(c.rng.integers(0, len(shape) + 1)) :]
    return tuple(1 if c.rng.random() < 0.3 else n for n in shape)


def greatest(x):
    return np.max(np.abs(x), initial=0.0)


def add(c, name, of, args, call, magnitude=None, tolerance=ULP_PRODUCT):
    """A case whose wanted result, or NumPy's error, comes of a call."""
    try:
        wanted = np.asarray(call())
    except (ValueError, TypeError, np.linalg.LinAlgError):
        c.add(name, of, args, None)
        return
    if wanted.dtype.kind not in "fc":
        tolerance, scale = 0, None
    else:
        scale = np.asarray(wide(wanted) if magnitude is None else magnitude())
    c.add(name, of, args, wanted, tolerance, scale)


def product(c):
    rng, name = c.rng, c.pick(["matmul"] * 4 + ["dot", "dot", "vdot", "inner", "outer", "tensordot", "kron", "matrix_power"])
    c.nan_allowed = rng.random() < 0.2
    d, e = c.pick(ALL), c.pick(ALL)
    if rng.random() < 0.6:
        e = d
    m, k, n = length(c), length(c), length(c)
    if rng.random() < 0.04:
        m, k, n = [0 if i == rng.integers(3) else v for i, v in enumerate((m, k, n))]
    wrong = k + 1 if rng.random() < 0.03 else k
    args = {}
    if name == "matmul":
        stack = lead(c)
        a = (k,) if rng.random() < 0.15 else narrowed(c, stack) + (m, k)
        b = (wrong,) if rng.random() < 0.15 else narrowed(c, stack) + (wrong, n)
        if rng.random() < 0.02:
            a = ()
    elif name == "dot":
        a = c.pick([(k,), (m, k), (2, m, k), ()])
        b = c.pick([(wrong,), (wrong, n), (2, wrong, n), ()])
    elif name == "vdot":
        a = b = (m, k)
    elif name == "inner":
        a, b = c.pick([(k,), (m, k), (2, m, k), ()]), c.pick([(wrong,), (n, wrong), ()])
    elif name in ("outer", "kron"):
        a = c.shape(low=0, high=2)
        b = c.shape(low=0, high=2) if name == "outer" else c.pick([(2, 3), (4,), (), (1, 2, 2)])
    elif name == "tensordot":
        shared = [length(c) % 6 + 1 for _ in range(int(rng.integers(0, 3)))]
        a, b = [4, 3], [2]
        left = sorted(rng.permutation(len(a) + len(shared))[: len(shared)].tolist())
        right = rng.permutation(len(b) + len(shared))[: len(shared)].tolist()
        for i, length_ in sorted(zip(left, shared)):
            a.insert(i, length_)
        for i, length_ in sorted(zip(right, shared)):
            b.insert(i, length_)
        args = {"a": left, "b": right}
    else:
        a, b = lead(c) + (k, k), ()
        d = c.pick(FLOATS + COMPLEX + ["int8", "int64", "uint16"])
    x, of_x = c.array(d, tuple(a), True, len(a) < 3)
    x_shape = x.shape
    if name == "matrix_power":
        c.nan_allowed = False
        if len(set(x_shape[-2:])) > 1:
            return
        power = int(rng.integers(0, 5))
        args = {"power": power}
        magnitude = lambda: np.linalg.matrix_power(wide(x), power)
        add(c, name, [of_x], args, lambda: np.linalg.matrix_power(x, power), magnitude)
        return
    if x_shape != tuple(a) and name != "outer" and name != "kron":
        # A view of other lengths: only those cases where these do not matter.
        c.nan_allowed = False
        return
    y, of_y = c.array(e, tuple(b), True, False)
    c.nan_allowed = False
    call = {
        "tensordot": lambda x, y: np.tensordot(x, y, (args["a"], args["b"])),
    }.get(name, getattr(np, name))
    magnitude = lambda: call(np.nan_to_num(wide(x)), np.nan_to_num(wide(y)))
    add(c, name, [of_x, of_y], args, lambda: call(x, y), magnitude)


TEMPLATES = [
    ("...ij,...jk->...ik", [(2, 3, 4), (2, 4, 5)]),
    ("...ij,jk", [(2, 3, 4), (4, 5)]),
    ("...i,i...->...", [(3, 2, 4), (4, 3, 2)]),
    ("i...->...", [(3, 4, 2)]),
    ("...", [(3, 2)]),
    ("...,...", [(3, 1, 2), (4, 2)]),
    ("bij,bjk,bkl->bil", [(2, 3, 4), (2, 4, 5), (2, 5, 6)]),
    ("ijk,jil->kl", [(3, 4, 2), (4, 3, 5)]),
    ("ij,j,j->i", [(4, 1), (6,), (6,)]),
    ("ii->i", [(4, 4)]),
    ("iij->j", [(3, 3, 5)]),
    ("ij,kl,jk,l->i", [(3, 4), (5, 2), (4, 5), (2,)]),
]


def einsum(c):
    rng = c.rng
    if rng.random() < 0.3:
        text, shapes = c.pick(TEMPLATES)
    else:
        lens = {label: int(rng.integers(1, 6)) for label in "ijklA"}
        labels = [
            "".join(c.pick("ijklA") for _ in range(int(rng.integers(0, 4))))
            for _ in range(int(rng.integers(1, 5)))
        ]
        text = ",".join(labels)
        used = sorted(set(text.replace(",", "")))
        if rng.random() < 0.7:
            order = [used[i] for i in rng.permutation(len(used))[: int(rng.integers(0, len(used) + 1))]]
            text += "->" + "".join(order)
        shapes = [tuple(1 if rng.random() < 0.05 else lens[label] for label in of) for of in labels]
        if any(len(set(of)) != len(of) for of in labels):
            shapes = [tuple(lens[label] for label in of) for of in labels]
    dtype = c.pick(ALL)
    arrays = [c.array(c.pick(ALL) if rng.random() < 0.2 else dtype, s, True, False) for s in shapes]
    values = [a[0] for a in arrays]
    both = np.result_type(*values)
    add(
        c,
        "einsum",
        [a[1] for a in arrays],
        {"subscripts": text},
        lambda: np.einsum(text, *[v.astype(both) for v in values]),
        lambda: np.einsum(text, *map(wide, values)),
    )


def diagonal(c):
    rng, name = c.rng, c.pick(["trace", "diagonal", "diag", "tril", "triu"])
    x, node = c.array(c.pick(ALL), c.shape(low=2, empty=0.05), True)
    offset = int(rng.integers(-6, 7))
    args = {"offset": offset}
    if name in ("trace", "diagonal"):
        axes = rng.permutation(x.ndim)[:2].tolist()
        args["axes"] = axes
        call = lambda x: getattr(np, name)(x, offset, *axes)
        add(c, name, [node], args, lambda: call(x), lambda: call(wide(x)))
    elif name == "diag":
        x, node = c.array(c.pick(ALL), c.shape(low=1, high=2), True)
        add(c, name, [node], args, lambda: np.diag(x, offset))
    else:
        add(c, name, [node], args, lambda: getattr(np, name)(x, offset))


def transform(c):
    rng = c.rng
    name = c.pick(["fft", "ifft", "rfft", "irfft", "hfft", "ihfft", "fftn", "ifftn", "rfftn", "irfftn", "fft2", "ifft2",
                   "fftshift", "ifftshift", "fftfreq", "rfftfreq"])
    if name.endswith("freq"):
        n, spacing = int(rng.integers(1, 40)), c.pick([1.0, 0.25, 3.0])
        unused, node = c.array("float64", (2,), True, False)
        add(c, name, [node], {"n": n, "spacing": spacing}, lambda: getattr(np.fft, name)(n, spacing), tolerance=4)
        return
    dtypes = REAL if name in ("rfft", "ihfft", "rfftn") and rng.random() < 0.95 else ALL
    x, node = c.array(c.pick(dtypes), c.shape(low=1, empty=0.03), True)
    norm = c.pick(NORMS)
    if name.endswith("shift"):
        axes = rng.permutation(x.ndim)[: int(rng.integers(1, x.ndim + 1))].tolist()
        chosen = None if rng.random() < 0.4 else axes
        add(c, name, [node], {"axes": chosen}, lambda: getattr(np.fft, name)(x, chosen))
        return
    args = {"norm": norm}
    if name.endswith("fft"):
        axis, n = c.axis(x), None if rng.random() < 0.6 else int(rng.integers(0 if rng.random() < 0.1 else 1, 40))
        # Of lines without elements NumPy's result is memory that nobody wrote.
        if name in ("irfft", "hfft") and x.shape[axis] == 0:
            return
        args |= {"axis": axis, "n": n}
        call = lambda: getattr(np.fft, name)(x, n, axis, norm)
    elif name.endswith("2"):
        if x.ndim < 2:
            return
        lens = None if rng.random() < 0.6 else rng.integers(1, 12, 2).tolist()
        args |= {"lens": lens}
        call = lambda: getattr(np.fft, name)(x, lens, norm=norm)
    else:
        axes = None if rng.random() < 0.3 else rng.permutation(x.ndim)[: int(rng.integers(1, x.ndim + 1))].tolist()
        lens = None if axes is None or rng.random() < 0.5 else rng.integers(1, 12, len(axes)).tolist()
        args |= {"lens": lens, "axes": axes}
        call = lambda: getattr(np.fft, name)(x, lens, axes, norm)
    size = lambda: np.full((), greatest(call()) + greatest(wide(x)))
    add(c, name, [node], args, call, size, ULP_TRANSFORM)


# Each with the share of its cases.
FAMILIES = [(product, 0.1), (einsum, 0.06), (diagonal, 0.04), (transform, 0.1)]
