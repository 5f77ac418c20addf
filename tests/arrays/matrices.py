"""Random cases of factors of matrices, equations and norms, for `numpy_cases.py`. Where a result is
known up to signs only (QR, singular vectors, eigenvectors), what is compared is the product of the
factors, and theirs with themselves."""

import numpy as np
import scipy.linalg

from cases import ALL, load
from products import NUMBERS, ULP_PRODUCT, ULP_TRANSFORM, add, as_field, greatest, lead, length, narrowed, wide

# Relative to the greatest magnitude, or to the magnitudes times the condition number: factors and
# solutions by other steps than LAPACK's.
ULP_FACTORS = 1024
# Of matrices that are nearer to singular than this no digits are left to compare.
CONDITION = {"f": 1e2, "d": 1e7, "F": 1e2, "D": 1e7}


def matrices(c, dtypes, square=False, most=2):
    m, n = length(c), length(c)
    if square:
        n = m
    elif c.rng.random() < 0.3:
        m = int(c.rng.integers(40, 200))
    return c.array(c.pick(dtypes), lead(c, most) + (m, n), True, False)


def eye_like(x, k):
    return np.broadcast_to(np.eye(k, dtype=as_field(x).dtype), x.shape[:-2] + (k, k))


def factors(c):
    name = c.pick("qr_product qr_q qr_r qr_complete_product qr_complete_q qr_complete_r svd_full_product svd_full_u "
                  "svd_full_v svd_full_values svd_product svd_u svd_v svdvals lu_p lu_l lu_u lu_product cholesky "
                  "eigh_product eigh_vectors eigvalsh compressed".split())
    dtypes = NUMBERS + ["int32", "bool"]
    x, node = matrices(c, dtypes, name.startswith(("eig", "chol")))
    args = {}
    exact = as_field(x)
    k = min(x.shape[-2:])
    size = lambda: np.full((), greatest(exact) * max(x.shape[-2:]))
    one = lambda: np.full((), float(max(x.shape[-2:])))
    turned = np.swapaxes(exact, -1, -2)
    if name in ("qr_product", "svd_product", "lu_product", "qr_complete_product", "svd_full_product"):
        call, scale = lambda: exact, size
    elif name in ("qr_complete_q", "svd_full_u"):
        call, scale = lambda: eye_like(x, x.shape[-2]), one
    elif name == "svd_full_v":
        call, scale = lambda: eye_like(x, x.shape[-1]), one
    elif name == "qr_complete_r":
        call, scale = lambda: np.zeros_like(exact), size
    elif name == "svd_full_values":
        call, scale = lambda: np.linalg.svd(x, compute_uv=False), size
    elif name in ("qr_q", "svd_u", "svd_v"):
        call, scale = lambda: eye_like(x, k), one
    elif name == "qr_r":
        if x.dtype.kind not in "fc":
            # Columns that depend on others leave R's last rows undetermined.
            return
        call, scale = lambda: np.abs(np.linalg.qr(x, mode="r")), size
        if exact.size and np.max(np.linalg.cond(exact)) > CONDITION[exact.dtype.char]:
            return
    elif name == "svdvals":
        call, scale = lambda: np.linalg.svd(x, compute_uv=False), size
    elif name.startswith("lu_"):
        if x.dtype.kind not in "fc":
            return
        part = "plu".index(name[3])
        precise = exact.astype("complex128" if exact.dtype.kind == "c" else "float64")
        if not np.array_equal(scipy.linalg.lu(exact)[0], scipy.linalg.lu(precise)[0]):
            # Pivots as large but for what was rounded: ours are computed in 64 bits.
            return
        call, scale = lambda: scipy.linalg.lu(x)[part], size
        if name[3] == "l":
            scale = lambda: size() * np.max(np.linalg.cond(exact))
        if np.max(np.linalg.cond(exact), initial=1.0) > CONDITION[exact.dtype.char]:
            return
    elif name == "cholesky":
        if x.dtype.kind not in "fc":
            return
        # Positive definite, but for some of them.
        sign = -1 if c.rng.random() < 0.1 else 1
        made = (exact @ np.conj(turned)) * sign + np.eye(k, dtype=exact.dtype)
        node = load(c, made)
        call, scale = lambda: np.linalg.cholesky(made), lambda: np.full((), greatest(made))
    elif name.startswith("eig"):
        made = exact + np.conj(turned)
        node = load(c, made)
        args = {"of": "eigh"}
        scale = lambda: np.full((), greatest(made) * k)
        call = {
            "eigh_product": lambda: made,
            "eigh_vectors": lambda: eye_like(x, k),
            "eigvalsh": lambda: np.linalg.eigvalsh(made),
        }[name]
    else:
        # Of rank 2, which few random vectors find.
        rows = exact.reshape(-1, exact.shape[-1])
        left, right = rows[:, :1], rows[:1]
        other = np.arange(rows.shape[0], dtype=exact.dtype)[:, None] * np.arange(1, rows.shape[1] + 1, dtype=exact.dtype)
        made = (left @ right + other).astype(exact.dtype)
        if min(made.shape) < 2:
            return
        node = load(c, made)
        args = {"k": 2}
        call, scale = lambda: made, lambda: np.full((), greatest(made) * max(made.shape))
    add(c, name, [node], args, call, scale, ULP_FACTORS)


def equation(c):
    rng = c.rng
    name = c.pick(["solve", "solve", "inv", "det", "slogdet_sign", "slogdet_log", "solve_triangular", "lstsq",
                   "lstsq_residuals", "lstsq_rank", "pinv", "matrix_rank", "cond"])
    square = name not in ("lstsq", "lstsq_residuals", "lstsq_rank", "pinv", "matrix_rank")
    flat = name in ("solve_triangular",) or name.startswith("lstsq")
    x, node = matrices(c, NUMBERS + ["int64"], square, 0 if flat else 2)
    exact, n = as_field(x), x.shape[-1]
    if name in ("matrix_rank", "pinv", "lstsq_rank") and n > 1 and rng.random() < 0.5:
        exact = exact.copy()
        exact[..., -1] = exact[..., 0]
        x, node = exact, load(c, exact)
    elif exact.size and name != "matrix_rank":
        condition = np.max(np.linalg.cond(exact))
        if not condition < CONDITION[exact.dtype.char]:
            return
    bound = lambda wanted: np.full((), greatest(wanted) * np.max(np.linalg.cond(exact), initial=1.0) * max(x.shape[-2:]))
    args, of = {}, [node]
    if name == "solve":
        # NumPy takes a right side of rank 1 as a column.
        shape = (n,) if rng.random() < 0.3 else narrowed(c, x.shape[:-2]) + (n + int(rng.random() < 0.05), length(c))
        b, of_b = c.array(c.pick(NUMBERS + ["int16"]), shape, True, False)
        call = lambda: np.linalg.solve(x, b)
        of = [node, of_b]
        if {exact.dtype.char, as_field(b).dtype.char} & set("fF"):
            return
    elif name == "solve_triangular":
        b, of_b = c.array(exact.dtype.name, c.pick([(n,), (n, 5)]), True, False)
        lower, unit = bool(rng.random() < 0.5), bool(rng.random() < 0.3)
        made = (exact / (4 * n) + 3 * np.eye(n)).astype(exact.dtype)
        of, args = [load(c, made), of_b], {"lower": lower, "unit": unit}
        call = lambda: scipy.linalg.solve_triangular(made, b, lower=lower, unit_diagonal=unit)
        bound = lambda wanted: np.full((), greatest(wanted) * n)
    elif name.startswith("lstsq"):
        b, of_b = c.array(exact.dtype.name, c.pick([(x.shape[0],), (x.shape[0], 3)]), True, False)
        of = [node, of_b]
        found = np.linalg.lstsq(exact, b, rcond=None)
        if name == "lstsq_rank":
            call = lambda: np.asarray(found[2], "int64")
        elif name == "lstsq_residuals":
            if found[2] < n:
                return
            call = lambda: found[1]
            own = greatest(b) ** 2 * x.shape[0]
            bound = lambda wanted: np.full((), own * np.linalg.cond(exact))
        else:
            call = lambda: found[0]
            bound = lambda wanted: np.full((), (greatest(wanted) + greatest(b)) * np.linalg.cond(exact) ** 2 * max(x.shape))
            if exact.dtype.char in "fF" or np.linalg.cond(exact) > 1e3:
                return
    elif name == "pinv":
        if exact.dtype.char in "fF":
            return
        args = {"tolerance": 1e-10}
        call = lambda: np.linalg.pinv(exact, rcond=1e-10)
        values = np.linalg.svd(exact, compute_uv=False)
        least = np.min(np.where(values > 1e-10 * values[..., :1], values, np.inf))
        if least < 1e-5:
            return
        bound = lambda wanted: np.full((), greatest(wanted) * greatest(values) / least * max(x.shape[-2:]))
    elif name == "matrix_rank":
        call = lambda: np.asarray(np.linalg.matrix_rank(exact), "int64")
    elif name == "inv":
        call = lambda: np.linalg.inv(x)
    elif name == "det":
        call = lambda: np.linalg.det(x)
        if exact.dtype.char in "fF" and n > 8:
            return
    elif name.startswith("slogdet"):
        part = name == "slogdet_log"
        call = lambda: np.linalg.slogdet(x)[int(part)]
        bound = lambda wanted: np.full((), (greatest(wanted) + n) * np.max(np.linalg.cond(exact), initial=1.0))
    else:
        norm = c.pick(["2", "-2", "fro", "1", "inf", "-1"])
        args = {"norm": norm}
        call = lambda: np.linalg.cond(x, {"fro": "fro", "inf": np.inf}.get(norm) or float(norm))
        own = np.max(np.linalg.cond(exact), initial=1.0)
        bound = lambda wanted: np.full((), greatest(wanted) * own)
    try:
        wanted = np.asarray(call())
    except (ValueError, np.linalg.LinAlgError):
        c.add(name, of, args, None)
        return
    if wanted.size == 0:
        c.add(name, of, args, wanted, 0)
        return
    c.add(name, of, args, wanted, 0 if wanted.dtype.kind == "i" else ULP_FACTORS, bound(wanted))


def norm(c):
    rng = c.rng
    x, node = c.array(c.pick(ALL), c.shape(low=1, empty=0), True)
    args = {}
    if x.ndim > 1 and rng.random() < 0.6:
        axes = rng.permutation(x.ndim)[:2].tolist()
        which = c.pick(["fro", "nuc", "1", "-1", "2", "-2", "inf", "-inf"])
    else:
        axes = [c.axis(x)]
        which = c.pick(["1", "2", "3", "0.5", "0", "inf", "-inf", "-1"])
    keep = bool(rng.random() < 0.4)
    args = {"norm": which, "axis": axes, "keepdims": keep}
    order = which if which in ("fro", "nuc") else float(which)
    exact = as_field(x)
    axis = tuple(axes) if len(axes) == 2 else axes[0]
    call = lambda: np.linalg.norm(exact, order, axis, keep)
    if which in ("-1", "-2", "0.5") and len(axes) == 1 and (exact == 0).any():
        return
    # Norms of 32 bits are of sums in 64 bits here.
    size = lambda: np.abs(call()) + greatest(exact) * x.size
    add(c, "norm_of", [node], args, call, size, ULP_PRODUCT)


def large(c):
    """Arrays of several tiles, chunks of rows or bundles of lines: smaller ones are one task."""
    rng = c.rng
    name = c.pick(["matmul", "matmul_rows", "qr_product", "qr_q", "svdvals", "fft", "rfft", "solve", "cholesky", "lu_product",
                   "einsum"])
    d = c.pick(["float64", "complex128"])
    if name == "matmul":
        x, a = c.array(d, (int(rng.integers(300, 700)), int(rng.integers(200, 1300))), True, False)
        y, b = c.array(d, (x.shape[1], int(rng.integers(300, 700))), True, False)
        add(c, name, [a, b], {}, lambda: x @ y, lambda: np.max(wide(x)) * np.max(wide(y)) * x.shape[1])
    elif name == "matmul_rows":
        x, a = c.array(d, (3, 60_000), True, False)
        y, b = c.array(d, (60_000, 5), True, False)
        add(c, "matmul", [a, b], {}, lambda: x @ y, lambda: np.max(wide(x)) * np.max(wide(y)) * x.shape[1])
    elif name == "einsum":
        x, a = c.array(d, (40, 30, 50), True, False)
        y, b = c.array(d, (30, 40, 60), True, False)
        text = "abc,bad->acd"
        add(c, name, [a, b], {"subscripts": text}, lambda: np.einsum(text, x, y), lambda: np.einsum(text, wide(x), wide(y)))
    elif name in ("fft", "rfft"):
        x, a = c.array("float64" if name == "rfft" else d, (700, 90, 3), True, False)
        axis = int(rng.integers(3))
        call = lambda: getattr(np.fft, name)(x, axis=axis)
        add(c, name, [a], {"axis": axis}, call, lambda: np.full((), greatest(call())), ULP_TRANSFORM)
    elif name in ("qr_product", "qr_q", "svdvals"):
        x, a = c.array(d, (int(rng.integers(20_000, 50_000)), int(rng.integers(1, 14))), True, False)
        wanted = {
            "qr_product": lambda: x,
            "qr_q": lambda: eye_like(x, x.shape[1]),
            "svdvals": lambda: np.linalg.svd(x, compute_uv=False),
        }[name]
        size = lambda: np.full((), greatest(wanted()) * np.sqrt(x.shape[0]))
        add(c, name, [a], {}, wanted, size, ULP_FACTORS)
    else:
        n = int(rng.integers(1030, 1200))
        x, a = c.array(d, (n, n), True, False)
        if name == "cholesky":
            x = x @ np.conj(x.T) / n + np.eye(n)
            add(c, name, [load(c, x)], {}, lambda: np.linalg.cholesky(x), lambda: np.full((), greatest(x) * n), ULP_FACTORS)
        elif name == "lu_product":
            add(c, name, [a], {}, lambda: x, lambda: np.full((), greatest(x) * n), ULP_FACTORS)
        else:
            y, b = c.array(d, (n, 3), True, False)
            wanted = np.linalg.solve(x, y)
            size = lambda: np.full((), greatest(wanted) * np.linalg.cond(x))
            add(c, name, [a, b], {}, lambda: wanted, size, ULP_FACTORS)


# Each with the share of its cases.
FAMILIES = [(factors, 0.12), (equation, 0.1), (norm, 0.06), (large, 0.005)]
