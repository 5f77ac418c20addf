"""What the random cases of `numpy_cases.py` are made of: arrays of any type and shape, the
expressions that read them, and how far results may be apart."""

import json
import pathlib

import numpy as np

# Relative to the result, in units of the type's last place (eps). Elementwise functions: our
# exponential, logarithm, sine and cosine are within 2 ulp, the system's library within 1, and
# NumPy's vectors within 4 (its own bound).
ULP_ELEMENTWISE = 8
# Complex functions: some cancel in one part; relative to the magnitude.
ULP_COMPLEX = 64
# Reductions of up to some thousand elements, in another order than NumPy's: relative to the sum
# of the magnitudes, which is what a change of order can change.
ULP_REDUCTION = 64
# Variances square a difference with a rounded mean.
ULP_MOMENTS = 256
# Filters and covariances: sums in another order, relative to the sum of the magnitudes.
ULP_SUMS = 64
# Slopes and interpolation: a few operations more, relative to the magnitudes that they are of.
ULP_STEPS = 64

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float32", "float64"]
COMPLEX = ["complex64", "complex128"]
REAL = ["bool"] + INTEGERS + FLOATS
ALL = REAL + COMPLEX
# NumPy gives half floats for these, and arrays have none.
NO_HALF = [d for d in ALL if d not in ("bool", "int8", "uint8")]


class Cases:
    """Cases of a seed, whose arrays lie in a folder, and what NumPy makes of them."""

    def __init__(self, seed, folder):
        self.rng = np.random.default_rng(seed)
        self.folder = pathlib.Path(folder)
        self.lines, self.wanted, self.arrays = [], [], 0

    def pick(self, of):
        return of[int(self.rng.integers(len(of)))]

    def shape(self, low=0, high=4, empty=0.06):
        rank = int(self.rng.integers(low, high + 1))
        longest = [1, 60, 14, 8, 6][rank]
        shape = [1 if self.rng.random() < 0.12 else int(self.rng.integers(1, longest + 1))
                 for _ in range(rank)]
        if rank and self.rng.random() < empty:
            shape[int(self.rng.integers(rank))] = 0
        return tuple(shape)

    def values(self, dtype, shape, tame):
        rng, d = self.rng, np.dtype(dtype)
        if d.kind == "b":
            return rng.random(shape) < 0.5
        if d.kind in "iu":
            info = np.iinfo(d)
            if tame or rng.random() < 0.5:
                low = max(info.min, -9)
                return rng.integers(low, 10, shape).astype(d)
            x = rng.integers(info.min, info.max, shape, dtype=d, endpoint=True)
            edge = rng.random(shape) < 0.2
            return np.where(edge, rng.choice(np.array([info.min, info.max, 0, 1], d), shape), x).astype(d)
        if d.kind == "c":
            part = np.dtype("float32" if d.itemsize == 8 else "float64")
            x = self.values(part, shape, True) + 1j * self.values(part, shape, True)
            x = np.asarray(x, d)
            if not tame and rng.random() < 0.2:
                x = np.where(rng.random(shape) < 0.1, np.array(np.nan + 0j, d), x).astype(d)
            return x
        x = rng.normal(0, 3, shape)
        if rng.random() < 0.3:
            x = np.round(x)
        if not tame and rng.random() < 0.5:
            special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, 1e30, -1e30])
            x = np.where(rng.random(shape) < 0.2, rng.choice(special, shape), x)
        elif tame and d.kind == "f" and self.nan_allowed and rng.random() < 0.4:
            x = np.where(rng.random(shape) < 0.2, np.nan, x)
        return np.asarray(x, d)

    nan_allowed = False

    def chunks(self, shape):
        def axis(n):
            if n == 0 or self.rng.random() < 0.25:
                return [n]
            if self.rng.random() < 0.5:
                c = int(self.rng.integers(1, n + 1))
                return [min(c, n - i) for i in range(0, n, c)]
            cuts = np.sort(self.rng.choice(np.arange(1, n), int(self.rng.integers(0, min(n, 5))), False)) if n > 1 else []
            return np.diff([0, *cuts, n]).astype(int).tolist()
        return [axis(n) for n in shape]

    def array(self, dtype, shape, tame=False, view=True):
        """An array and the expression that reads it; some are saved in Fortran order."""
        x = np.asarray(self.values(dtype, shape, tame))
        name = f"{self.arrays}.npy"
        self.arrays += 1
        saved = np.asfortranarray(x) if x.ndim and self.rng.random() < 0.3 else x
        np.save(self.folder / name, saved)
        node = {"array": name, "chunks": self.chunks(shape)}
        # A view of a larger array, which is not contiguous.
        if view and x.ndim and self.rng.random() < 0.2:
            index = [[None, None, self.pick([1, -1, 2, -3])] for _ in shape]
            x = x[tuple(slice(*i) for i in index)]
            node = {"call": "index", "of": [node], "with": {"index": index}}
        return x, node

    def add(self, name, of, args, wanted, tolerance=0.0, scale=None, exact_zero=True):
        line = {"id": len(self.lines), "expression": {"call": name, "of": of, "with": args}}
        self.lines.append(json.dumps(line))
        self.wanted.append((name, wanted, tolerance, scale))

    def axis(self, x):
        a = int(self.rng.integers(x.ndim))
        return a - x.ndim if self.rng.random() < 0.3 else a

    def other_shape(self, shape):
        """One that broadcasts with it."""
        kind = self.rng.random()
        if kind < 0.4:
            return shape
        if kind < 0.6:
            return shape[int(self.rng.integers(len(shape) + 1)):]
        return tuple(1 if self.rng.random() < 0.4 else n for n in shape)


def load(cases, x):
    """An expression that reads these elements."""
    x = np.asarray(x)
    name = f"{cases.arrays}.npy"
    cases.arrays += 1
    np.save(cases.folder / name, x)
    return {"array": name, "chunks": cases.chunks(x.shape)}


def magnitude(x):
    return np.abs(x.astype("complex128" if x.dtype.kind == "c" else float))
