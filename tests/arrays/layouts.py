"""Random cases of the same elements in other places and shapes, of orders and counts, and of chains
of operations, for `numpy_cases.py`."""

import numpy as np

from cases import ALL, REAL, ULP_ELEMENTWISE, ULP_MOMENTS, ULP_REDUCTION
from families import TAME

LAYOUTS = ("cumsum cumprod index take transpose swapaxes moveaxis reshape ravel squeeze expand_dims "
           "flip roll repeat tile broadcast_to pad diff split rechunk concatenate stack compress "
           "mask where clip astype sort argsort topk median quantile unique histogram bincount "
           "searchsorted norm chain").split()


def layout(cases):
    name = cases.pick(LAYOUTS)
    rng = cases.rng
    dtype = cases.pick(ALL)
    x, node = cases.array(dtype, cases.shape(low=0 if name in ("ravel", "reshape", "squeeze", "expand_dims", "tile", "broadcast_to", "astype", "index") else 1), name in TAME)
    args, of, wanted, tolerance, scale = {}, [node], None, 0, None
    n = x.ndim
    axis = cases.axis(x) if n else 0
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
                index.append([bound(), bound(), cases.pick([1, 1, 2, 3, -1, -2, -5])])
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
        a, b = cases.axis(x), cases.axis(x)
        args, wanted = {"a": a, "b": b}, np.swapaxes(x, a, b)
    elif name == "moveaxis":
        k = int(rng.integers(1, n + 1))
        a, b = rng.permutation(n)[:k].tolist(), rng.permutation(n)[:k].tolist()
        args, wanted = {"from": a, "to": b}, np.moveaxis(x, a, b)
    elif name == "reshape":
        left, shape = x.size, []
        while left > 1 and len(shape) < 4:
            divisors = [d for d in range(1, min(left, 40) + 1) if left % d == 0]
            shape.append(cases.pick(divisors))
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
            y = np.asarray(cases.values(cases.pick(ALL if rng.random() < 0.3 else [dtype]), tuple(shape), False))
            np.save(cases.folder / f"{cases.arrays}.npy", y)
            of.append({"array": f"{cases.arrays}.npy", "chunks": cases.chunks(y.shape)})
            cases.arrays += 1
            others.append(y)
        args, wanted = {"axis": axis}, getattr(np, name)([x, *others], axis=axis)
    elif name == "compress":
        mask = rng.random(x.shape[axis]) < 0.4
        np.save(cases.folder / f"{cases.arrays}.npy", mask)
        of.append({"array": f"{cases.arrays}.npy", "chunks": cases.chunks(mask.shape)})
        cases.arrays += 1
        args, wanted = {"axis": axis}, np.compress(mask, x, axis=axis)
    elif name == "mask":
        mask = rng.random(x.shape) < 0.4
        np.save(cases.folder / f"{cases.arrays}.npy", mask)
        of.append({"array": f"{cases.arrays}.npy", "chunks": cases.chunks(mask.shape)})
        cases.arrays += 1
        wanted = x[mask]
    elif name == "where":
        y, b = cases.array(cases.pick(ALL), cases.other_shape(x.shape), False, False)
        z, c = cases.array(cases.pick(ALL), cases.other_shape(x.shape), False, False)
        of, wanted = [node, b, c], np.where(x, y, z)
    elif name == "clip":
        y, b = cases.array(dtype, cases.other_shape(x.shape), False, False)
        z, c = cases.array(dtype, cases.other_shape(x.shape), False, False)
        of, wanted = [node, b, c], np.clip(x, y, z)
    elif name == "astype":
        to = cases.pick(ALL)
        if np.dtype(to).kind in "iu" and x.dtype.kind in "fc":
            # Out of the type's range C says nothing, and NumPy what the processor does.
            y = np.nan_to_num(np.abs(x), nan=1, posinf=1, neginf=1)
            x = np.minimum(y, 100).astype(x.dtype)
            np.save(cases.folder / f"{cases.arrays}.npy", x)
            of = [{"array": f"{cases.arrays}.npy", "chunks": cases.chunks(x.shape)}]
            cases.arrays += 1
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
            args["q"] = cases.pick([0.0, 0.1, 0.25, 0.5, 0.77, 1.0])
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
        x, node = cases.array(cases.pick(["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"]), (int(rng.integers(0, 50)),), True)
        args = {"least": int(rng.integers(0, 12))}
        of = [node]
        try:
            wanted = np.bincount(x.astype("int64"), minlength=args["least"])
        except ValueError:
            cases.add(name, of, args, None)
            return
    elif name == "searchsorted":
        dtype = cases.pick(REAL)
        x, node = cases.array(dtype, cases.shape(low=1))
        y = np.sort(np.asarray(cases.values(dtype, (int(rng.integers(0, 20)),), False)))
        np.save(cases.folder / f"{cases.arrays}.npy", y)
        of = [node, {"array": f"{cases.arrays}.npy", "chunks": cases.chunks(y.shape)}]
        cases.arrays += 1
        args = {"right": bool(rng.random() < 0.5)}
        wanted = np.searchsorted(y, x, "right" if args["right"] else "left")
    elif name == "norm":
        axes = rng.permutation(n)[: int(rng.integers(1, 3))].tolist()
        x, node = cases.array(dtype, x.shape, True, False)
        of, args = [node], {"axis": axes}
        exact = x if x.dtype.kind in "fc" else x.astype(float)
        wanted = np.sqrt((np.abs(exact.astype("complex128" if x.dtype.kind == "c" else float)) ** 2).sum(axis=tuple(axes))).astype(np.abs(exact).dtype)
        tolerance = ULP_REDUCTION
    elif name == "chain":
        # Several operations at once: fusion, shared parts, views of views.
        x, node = cases.array(cases.pick(["float32", "float64", "int32"]), x.shape, True)
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
    cases.add(name, of, args, np.asarray(wanted), tolerance, scale)
