"""Compares arrays with NumPy on random cases.

    python numpy_cases.py --bridge PATH/TO/arrays-tests [--cases 4000] [--seed 1] [--keep FOLDER]

Cases are made from the seed: ranks 0 to 4, odd chunks, empty axes and axes of length 1, all
element types, NaN and infinities, inputs that are not contiguous. The bridge computes them
all in one run; shapes and types must be NumPy's, integers and bools equal, floats within the
tolerances below. Cases that differ are printed; the exit status is 1 if there are any.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np

import families
import functions
import grids
import layouts
import matrices
import measures
import positions
import products
from cases import Cases

# Of these each is drawn as often.
OTHERS = [measures.nan_reductions, measures.quantiles, positions.orders, positions.positions, positions.positions,
          grids.filters, grids.filters, measures.statistics, grids.shapes]
# Each with the share of its cases.
WEIGHTED = [(families.unary, 0.2), (families.binary, 0.25), (families.reduction, 0.25), (layouts.layout, 0.3),
            (lambda cases: cases.pick(OTHERS)(cases), 1.0)]


def differs(name, wanted, tolerance, scale, got):
    """What is wrong, or None."""
    if got.shape != wanted.shape:
        return f"shape {got.shape}, not {wanted.shape}"
    if got.dtype != wanted.dtype:
        return f"type {got.dtype}, not {wanted.dtype}"
    if wanted.dtype.kind not in "fc":
        same = got == wanted
    elif tolerance == 0:
        same = (got == wanted) | ((got != got) & (wanted != wanted))
    else:
        eps = np.finfo(wanted.dtype).eps
        tiny = np.finfo(wanted.dtype).tiny
        size = np.abs(wanted) if scale is None else np.abs(scale)
        bound = tolerance * (eps * size + tiny * eps)

        def close(a, b):
            a, b = a.astype("float64"), b.astype("float64")
            return (np.abs(a - b) <= bound) | (a == b)

        near = close(got.real, wanted.real) & close(got.imag, wanted.imag)
        nan = (got != got) & (wanted != wanted)
        infinite = got == wanted
        if name in ("std", "nanstd"):
            wide = np.promote_types(wanted.dtype, "float64")
            near |= np.abs(got.astype(wide) ** 2 - wanted.astype(wide) ** 2) <= tolerance * eps * size
        same = near | nan | infinite
    same = np.asarray(same)
    if same.all():
        return None
    at = np.unravel_index(int(np.argmin(same)), same.shape) if same.ndim else ()
    return f"{int((~same).sum())} of {same.size} differ; at {tuple(map(int, at))} got {got[at]!r}, wanted {wanted[at]!r}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bridge", required=True)
    parser.add_argument("--cases", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep")
    parser.add_argument("--device", default="cpu", help="the devices that compute")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(options.keep or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        cases = Cases(options.seed, folder)
        weighted = WEIGHTED + products.FAMILIES + matrices.FAMILIES + functions.FAMILIES
        weights = np.array([weight for _, weight in weighted])
        while len(cases.lines) < options.cases:
            weighted[int(cases.rng.choice(len(weighted), p=weights / weights.sum()))][0](cases)
        (folder / "cases.jsonl").write_text("\n".join(cases.lines) + "\n")
        subprocess.run([options.bridge, str(folder), options.device], check=True, stderr=subprocess.DEVNULL)
        told = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
        failed, by_name = 0, collections.Counter()
        for line, (name, wanted, tolerance, scale), outcome in zip(cases.lines, cases.wanted, told, strict=True):
            by_name[name] += 1
            if wanted is None or outcome["error"]:
                # NumPy has no result either.
                problem = None if wanted is None and outcome["error"] else f"error: {outcome['error']}"
            else:
                got = np.load(folder / f"result-{outcome['id']}.npy")
                problem = differs(name, wanted, tolerance, scale, got)
            if problem:
                failed += 1
                if failed <= 40:
                    print(f"{name}: {problem}\n    {line[:600]}")
        ran = json.loads((folder / "tasks.json").read_text())
        tasks = ", ".join(f"{n} tasks on {device}" for device, n in ran["tasks"])
        if ran["taken_over"]:
            tasks += f"; the host took over {ran['taken_over']} of the device's, last: {ran['reason']}"
        print(f"{len(told)} cases of {len(by_name)} functions, {failed} differ from NumPy {np.__version__}; {tasks}")
        if options.device != "cpu":
            there = sum(n for device, n in ran["tasks"] if device != "cpu")
            if there * 5 < sum(n for _, n in ran["tasks"]) or ran["taken_over"]:
                print("the devices did less than a fifth of the tasks, or the host did some of theirs")
                return 1
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
