"""Random cases for `numpy_cases.py`: what is computed, and NumPy's result."""

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

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float32", "float64"]
COMPLEX = ["complex64", "complex128"]
REAL = ["bool"] + INTEGERS + FLOATS
ALL = REAL + COMPLEX
# NumPy gives half floats for these, and arrays have none.
NO_HALF = [d for d in ALL if d not in ("bool", "int8", "uint8")]

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
LAYOUTS = ("cumsum cumprod index take transpose swapaxes moveaxis reshape ravel squeeze expand_dims "
           "flip roll repeat tile broadcast_to pad diff split rechunk concatenate stack compress "
           "mask where clip astype sort argsort topk median quantile unique histogram bincount "
           "searchsorted norm chain").split()
# Extreme values make these differ in what they overflow to.
TAME = set("sum prod mean var std nansum nanprod nanmean nanvar nanstd cumsum cumprod power isclose "
           "exp exp2 expm1 sinh cosh tan logaddexp logaddexp2 square multiply".split())


class Cases:
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

    # Families.

    def unary(self):
        name = self.pick(list(UNARY))
        x, node = self.array(self.pick(UNARY[name]), self.shape(), name in TAME)
        wanted = getattr(np, {"absolute": "absolute"}.get(name, name))(x)
        wanted = np.asarray(wanted)
        if x.dtype.kind == "c" and name not in ("real", "imag", "conj", "negative", "isnan", "isinf", "isfinite", "logical_not"):
            finite = np.isfinite(x)
            if not finite.all():
                return
            self.add(name, [node], {}, wanted, ULP_COMPLEX, np.abs(wanted))
            return
        self.add(name, [node], {}, wanted, ULP_ELEMENTWISE)

    def other_shape(self, shape):
        """One that broadcasts with it."""
        kind = self.rng.random()
        if kind < 0.4:
            return shape
        if kind < 0.6:
            return shape[int(self.rng.integers(len(shape) + 1)):]
        return tuple(1 if self.rng.random() < 0.4 else n for n in shape)

    def binary(self):
        name = self.pick(list(BINARY))
        dtypes = BINARY[name]
        tame = name in TAME
        x, a = self.array(self.pick(dtypes), self.shape(), tame)
        if self.rng.random() < 0.25:
            y = self.pick([2, 3, True, 0.5, -1.5, 7])
            if x.dtype.kind in "iu" and isinstance(y, float) and "shift" in name:
                y = 1
            if x.dtype.kind in "biu" and name.startswith(("bitwise", "left", "right")):
                y = int(y)
            b = {"scalar": y}
        else:
            y, b = self.array(self.pick(dtypes), self.other_shape(x.shape), tame, False)
        if name in ("left_shift", "right_shift") and isinstance(y, np.ndarray) and y.dtype.kind != x.dtype.kind:
            return
        try:
            wanted = np.asarray(getattr(np, name)(x, y))
        except OverflowError:
            self.add(name, [a, b], {}, None)
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
            self.add(name, [a, b], {}, wanted, ULP_COMPLEX, np.abs(wanted))
            return
        tolerance = ULP_ELEMENTWISE if wanted.dtype.kind in "fc" else 0
        scale = None
        if name in ("remainder", "fmod") and wanted.dtype.kind == "f":
            scale = np.abs(wanted) + np.abs(np.asarray(y, float))
        self.add(name, [a, b], {}, wanted, tolerance, scale)

    def reduction(self):
        name = self.pick(list(REDUCTIONS))
        self.nan_allowed = True
        x, node = self.array(self.pick(REDUCTIONS[name]), self.shape(empty=0.04), name in TAME)
        self.nan_allowed = False
        args, kw = {}, {}
        if name.startswith("arg"):
            if x.ndim and self.rng.random() < 0.6:
                kw["axis"] = args["axis"] = self.axis(x)
        elif x.ndim and self.rng.random() < 0.75:
            axes = self.rng.choice(x.ndim, int(self.rng.integers(1, x.ndim + 1)), False).tolist()
            args["axis"] = axes
            kw["axis"] = tuple(axes)
        if self.rng.random() < 0.4:
            args["keepdims"] = kw["keepdims"] = True
        if name in ("var", "std", "nanvar", "nanstd") and self.rng.random() < 0.5:
            args["ddof"] = kw["ddof"] = self.pick([1, 2])
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
        self.add(name, [node], args, wanted, tolerance, scale)

    def layout(self):
        name = self.pick(LAYOUTS)
        rng = self.rng
        dtype = self.pick(ALL)
        x, node = self.array(dtype, self.shape(low=0 if name in ("ravel", "reshape", "squeeze", "expand_dims", "tile", "broadcast_to", "astype", "index") else 1), name in TAME)
        args, of, wanted, tolerance, scale = {}, [node], None, 0, None
        n = x.ndim
        axis = self.axis(x) if n else 0
        if name in ("cumsum", "cumprod"):
            args = {"axis": axis}
            wanted = getattr(np, name)(x, axis=axis)
            tolerance = ULP_REDUCTION
            if wanted.dtype.kind in "fc":
                magnitude = np.abs(x.astype("complex128" if x.dtype.kind == "c" else float))
                scale = getattr(np, name)(magnitude, axis=axis)
        elif name == "index":
            index = []
            for length in x.shape:
                kind = rng.random()
                if kind < 0.25 and length:
                    index.append(int(rng.integers(-length, length)))
                elif kind < 0.35:
                    index.append("new")
                    index.append([None, None, None])
                else:
                    bound = lambda: None if rng.random() < 0.4 else int(rng.integers(-length - 3, length + 4))
                    index.append([bound(), bound(), self.pick([1, 1, 2, 3, -1, -2, -5])])
            keep = int(rng.integers(len(index) + 1))
            if rng.random() < 0.3 and all(i != "new" for i in index[keep:]):
                index = index[:keep] + ["..."]
            args = {"index": index}
            key = tuple(np.newaxis if i == "new" else Ellipsis if i == "..." else slice(*i) if isinstance(i, list) else i for i in index)
            wanted = x[key]
        elif name == "take":
            length = x.shape[axis]
            indices = rng.integers(-length, length, int(rng.integers(0, 12))).tolist() if length else []
            args = {"indices": indices, "axis": axis}
            wanted = np.take(x, np.array(indices, int), axis=axis)
        elif name == "transpose":
            axes = rng.permutation(n).tolist()
            args, wanted = {"axes": axes}, np.transpose(x, axes)
        elif name == "swapaxes":
            a, b = self.axis(x), self.axis(x)
            args, wanted = {"a": a, "b": b}, np.swapaxes(x, a, b)
        elif name == "moveaxis":
            k = int(rng.integers(1, n + 1))
            a, b = rng.permutation(n)[:k].tolist(), rng.permutation(n)[:k].tolist()
            args, wanted = {"from": a, "to": b}, np.moveaxis(x, a, b)
        elif name == "reshape":
            left, shape = x.size, []
            while left > 1 and len(shape) < 4:
                divisors = [d for d in range(1, min(left, 40) + 1) if left % d == 0]
                shape.append(self.pick(divisors))
                left //= shape[-1]
            shape.append(left if rng.random() < 0.7 or x.size == 0 else -1)
            shape = [shape[i] for i in rng.permutation(len(shape))]
            args, wanted = {"shape": shape}, x.reshape(shape)
        elif name == "ravel":
            wanted = x.ravel()
        elif name == "squeeze":
            wanted = np.squeeze(x)
        elif name == "expand_dims":
            a = int(rng.integers(-n - 1, n + 1))
            args, wanted = {"axis": a}, np.expand_dims(x, a)
        elif name == "flip":
            axes = rng.permutation(n)[: int(rng.integers(1, n + 1))].tolist()
            args, wanted = {"axes": axes}, np.flip(x, axes)
        elif name == "roll":
            by = int(rng.integers(-20, 20))
            args, wanted = {"by": by, "axis": axis}, np.roll(x, by, axis)
        elif name == "repeat":
            times = int(rng.integers(0, 4))
            args, wanted = {"times": times, "axis": axis}, np.repeat(x, times, axis)
        elif name == "tile":
            times = rng.integers(0 if rng.random() < 0.1 else 1, 4, int(rng.integers(1, 4))).tolist()
            args, wanted = {"times": times}, np.tile(x, times)
        elif name == "broadcast_to":
            shape = [int(rng.integers(1, 4))] * int(rng.integers(0, 2)) + [int(rng.integers(1, 6)) if d == 1 else d for d in x.shape]
            args, wanted = {"shape": shape}, np.broadcast_to(x, shape)
        elif name == "pad":
            widths = rng.integers(0, 4, (n, 2)).tolist()
            args = {"widths": widths, "value": 1}
            wanted = np.pad(x, widths, constant_values=1)
        elif name == "diff":
            times = int(rng.integers(1, 3))
            args, wanted = {"n": times, "axis": axis}, np.diff(x, times, axis)
        elif name == "split":
            at = np.sort(rng.integers(0, x.shape[axis] + 2, int(rng.integers(1, 4)))).tolist()
            part = int(rng.integers(len(at) + 1))
            args, wanted = {"at": at, "axis": axis, "part": part}, np.split(x, at, axis)[part]
        elif name == "rechunk":
            chunks = [int(rng.integers(1, max(d, 1) + 1)) for d in x.shape]
            args, wanted = {"chunks": chunks}, x
        elif name in ("concatenate", "stack"):
            others = []
            for _ in range(int(rng.integers(1, 4))):
                shape = list(x.shape)
                if name == "concatenate":
                    shape[axis] = int(rng.integers(0, 7))
                y = np.asarray(self.values(self.pick(ALL if rng.random() < 0.3 else [dtype]), tuple(shape), False))
                np.save(self.folder / f"{self.arrays}.npy", y)
                of.append({"array": f"{self.arrays}.npy", "chunks": self.chunks(y.shape)})
                self.arrays += 1
                others.append(y)
            args, wanted = {"axis": axis}, getattr(np, name)([x, *others], axis=axis)
        elif name == "compress":
            mask = rng.random(x.shape[axis]) < 0.4
            np.save(self.folder / f"{self.arrays}.npy", mask)
            of.append({"array": f"{self.arrays}.npy", "chunks": self.chunks(mask.shape)})
            self.arrays += 1
            args, wanted = {"axis": axis}, np.compress(mask, x, axis=axis)
        elif name == "mask":
            mask = rng.random(x.shape) < 0.4
            np.save(self.folder / f"{self.arrays}.npy", mask)
            of.append({"array": f"{self.arrays}.npy", "chunks": self.chunks(mask.shape)})
            self.arrays += 1
            wanted = x[mask]
        elif name == "where":
            y, b = self.array(self.pick(ALL), self.other_shape(x.shape), False, False)
            z, c = self.array(self.pick(ALL), self.other_shape(x.shape), False, False)
            of, wanted = [node, b, c], np.where(x, y, z)
        elif name == "clip":
            y, b = self.array(dtype, self.other_shape(x.shape), False, False)
            z, c = self.array(dtype, self.other_shape(x.shape), False, False)
            of, wanted = [node, b, c], np.clip(x, y, z)
        elif name == "astype":
            to = self.pick(ALL)
            if np.dtype(to).kind in "iu" and x.dtype.kind in "fc":
                # Out of the type's range C says nothing, and NumPy what the processor does.
                y = np.nan_to_num(np.abs(x), nan=1, posinf=1, neginf=1)
                x = np.minimum(y, 100).astype(x.dtype)
                np.save(self.folder / f"{self.arrays}.npy", x)
                of = [{"array": f"{self.arrays}.npy", "chunks": self.chunks(x.shape)}]
                self.arrays += 1
            args, wanted = {"dtype": to}, x.astype(to)
        elif name in ("sort", "argsort"):
            if name == "sort":
                wanted = np.sort(x, axis=axis)
            else:
                wanted = np.argsort(x, axis=axis, kind="stable")
            if x.dtype.kind == "c" and not np.isfinite(x).all():
                return
            args = {"axis": axis}
        elif name == "topk":
            k = int(rng.integers(0, x.shape[axis] + 1))
            if x.dtype.kind == "c" and not np.isfinite(x).all():
                return
            wanted = np.flip(np.sort(x, axis=axis), axis)
            wanted = np.take(wanted, np.arange(k), axis=axis)
            args = {"axis": axis, "k": k}
        elif name in ("median", "quantile"):
            if x.dtype.kind == "c" or x.dtype == bool:
                return
            kw = {"axis": axis} if rng.random() < 0.7 else {}
            args = dict(kw)
            if name == "median":
                call = lambda: np.median(x, **kw)
            else:
                args["q"] = self.pick([0.0, 0.1, 0.25, 0.5, 0.77, 1.0])
                call = lambda: np.quantile(x, args["q"], **kw)
            if 0 in x.shape:
                return
            wanted = np.asarray(call())
            if not np.isfinite(x).all():
                # Between infinities NumPy's results are NaN or not by the formula's steps.
                return
            if x.dtype.kind in "iu" and x.dtype.itemsize == 8 and (np.abs(x.astype(float)) > 2 ** 52).any():
                return
            if x.dtype.kind in "iu" and name == "quantile" and np.ptp(x.astype(float)) > 100:
                # NumPy's differences of integers wrap.
                return
            tolerance, scale = ULP_REDUCTION, np.max(np.abs(x.astype(float)), **kw)
        elif name == "unique":
            if x.dtype.kind == "c" and not np.isfinite(x).all():
                return
            wanted = np.unique(x)
        elif name == "histogram":
            if x.dtype.kind == "c":
                return
            args = {"bins": int(rng.integers(1, 12)), "low": int(rng.integers(-9, 0)), "high": int(rng.integers(1, 10)), "edges": bool(rng.random() < 0.2)}
            y = x.astype(float)
            counts, edges = np.histogram(y[np.isfinite(y)], args["bins"], (args["low"], args["high"]))
            wanted = edges if args["edges"] else counts
            tolerance = ULP_ELEMENTWISE
        elif name == "bincount":
            x, node = self.array(self.pick(["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"]), (int(rng.integers(0, 50)),), True)
            args = {"least": int(rng.integers(0, 12))}
            of = [node]
            try:
                wanted = np.bincount(x.astype("int64"), minlength=args["least"])
            except ValueError:
                self.add(name, of, args, None)
                return
        elif name == "searchsorted":
            dtype = self.pick(REAL)
            x, node = self.array(dtype, self.shape(low=1))
            y = np.sort(np.asarray(self.values(dtype, (int(rng.integers(0, 20)),), False)))
            np.save(self.folder / f"{self.arrays}.npy", y)
            of = [node, {"array": f"{self.arrays}.npy", "chunks": self.chunks(y.shape)}]
            self.arrays += 1
            args = {"right": bool(rng.random() < 0.5)}
            wanted = np.searchsorted(y, x, "right" if args["right"] else "left")
        elif name == "norm":
            axes = rng.permutation(n)[: int(rng.integers(1, 3))].tolist()
            x, node = self.array(dtype, x.shape, True, False)
            of, args = [node], {"axis": axes}
            exact = x if x.dtype.kind in "fc" else x.astype(float)
            wanted = np.sqrt((np.abs(exact.astype("complex128" if x.dtype.kind == "c" else float)) ** 2).sum(axis=tuple(axes))).astype(np.abs(exact).dtype)
            tolerance = ULP_REDUCTION
        elif name == "chain":
            # Several operations at once: fusion, shared parts, views of views.
            x, node = self.array(self.pick(["float32", "float64", "int32"]), x.shape, True)
            call = lambda name, *of, **args: {"call": name, "of": list(of), "with": args}
            y = np.multiply(x, x) + 1
            b = call("add", call("multiply", node, node), {"scalar": 1})
            z = np.sqrt(y.astype("float64"))
            c = call("sqrt", call("astype", b, dtype="float64"))
            mean = z.mean(axis=axis, keepdims=True)
            d = call("subtract", c, call("mean", c, axis=[axis], keepdims=True))
            w = z - mean
            order = rng.permutation(n).tolist()
            flipped = np.flip(np.transpose(w, order), 0)
            e = call("flip", call("transpose", d, axes=order), axes=[0])
            back = np.argsort(order).tolist()
            f = call("transpose", e, axes=back)
            total = np.transpose(flipped, back) * w + y
            name, of, args = "add", [call("multiply", f, d), b], {}
            wanted, tolerance, scale = total, ULP_MOMENTS, np.abs(total) + np.max(np.abs(z), initial=0) ** 2
        self.add(name, of, args, np.asarray(wanted), tolerance, scale)
