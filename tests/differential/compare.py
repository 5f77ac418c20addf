"""Rows of two engines, compared: exactly, but floats within a tolerance."""

import decimal
import math

# Sums of n floats in another order differ by about n * 2^-53 relative to the sum of the
# absolute values (Higham, Accuracy and Stability of Numerical Algorithms, 4.2).
REL_TOL = 1e-9
# Averages and quotients of decimals are rounded at the sixth digit by some engines, and
# sums near zero have no relative size.
ABS_TOL = 1e-6


def norm(value):
    """A value in a form that both engines' results share."""
    if value is None:
        return None
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else value.normalize()
    if isinstance(value, float) and value == 0.0:
        return 0.0
    return value


def same(a, b):
    if a is None or b is None:
        return a is None and b is None
    if isinstance(a, float) or isinstance(b, float):
        if isinstance(a, str) or isinstance(b, str):
            return False
        a, b = float(a), float(b)
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        return math.isclose(a, b, rel_tol=REL_TOL, abs_tol=ABS_TOL)
    return a == b


def sort_key(row, exact):
    return tuple((row[i] is None, str(row[i])) for i in exact)


def rows_of(result, query):
    names = result.column_names
    columns = [[norm(v) for v in result.column(c).to_pylist()] for c in names]
    rows = list(zip(*columns)) if columns else []
    if not query.ordered:
        rows.sort(key=lambda row: sort_key(row, range(query.keys)))
    return rows


def differences(got, want):
    """What differs, as text; empty where the rows are equal."""
    if len(got) == len(want):
        wrong = [(g, w) for g, w in zip(got, want) if len(g) != len(w) or not all(map(same, g, w))]
    else:
        wrong = [(g, w) for g, w in zip(got, want) if g != w]
    if not wrong and len(got) == len(want):
        return ""
    lines = [f"  rows: {len(got)} here, {len(want)} there"]
    lines += [f"  here  {g}\n  there {w}" for g, w in wrong[:3]]
    return "\n".join(lines)
