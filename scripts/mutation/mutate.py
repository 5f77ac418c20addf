#!/usr/bin/env python3
"""The mutation check: breaks a random line of a random kernel and sees the tests fail.

A mutant is one kernel text with one place of one line altered. It is laid into a folder that
WINDLASS_KERNELS_DIR names, and the conformance tests that launch that kernel run on the
backends of its language, the quickest first, until one fails. A mutant that does not compile
is no fault and another is drawn; one that runs into the time limit counts as killed.

    scripts/mutation/mutate.py                       60 mutants over all families, both languages
    scripts/mutation/mutate.py --family sort --count 20 --seed 7
    scripts/mutation/mutate.py --list --family gather
    scripts/mutation/mutate.py --file kernels/join/rank.cu --line 34
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from mutants import ROOT, Mutant, draw, equivalents, files, mutants  # noqa: E402

BACKENDS = {
    "cuda": ["emulated", "emulated_seeded", "emulated_reversed", "emulated_checked"],
    "wgsl": ["wgpu", "wgpu_narrow", "wgpu_reversed"],
}
# The test files of a family whose name is not its own.
OWN = {
    "compact": ["library", "batches", "bad_input"],
    "pipeline": ["batches", "numbers", "operations"],
    "scan": ["scan", "library"],
    "string": ["string", "bad_input"],
}
# What a text that does not compile says, by device or by the composition of shaders.
NO_COMPILE = re.compile(r"does not compile|Compile \{|compose a shader")
# Address space of a test: a broken count must not take the machine's memory.
MOST_BYTES = 20 << 30


# Test files whose bodies are not made by `everywhere!`.
NOT_EVERYWHERE = {"bench", "complete"}
# What is built with --kernels: enough for the conformance tests.
KERNEL_PACKAGES = ["windlass-device", "windlass-kernels", "conformance", "nvrtc-gate"]


def binaries(work, kernels):
    """Builds the conformance tests: their names and copies of their executables, so that a
    build beside the check does not change them. With the features of the whole workspace, so
    that nothing is built again after `make test`; with `kernels` those of the kernels' packages
    alone, which build in minutes from nothing."""
    names = sorted({p.stem for p in (ROOT / "tests/conformance/tests").iterdir()} - NOT_EVERYWHERE)
    command = ["cargo", "test", "--no-run", "--message-format", "json"]
    command += [word for p in KERNEL_PACKAGES for word in ("-p", p)] if kernels else ["--workspace"]
    command += [word for name in names for word in ("--test", name)]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if built.returncode:
        sys.exit("the tests do not build")
    found = {}
    for line in built.stdout.splitlines():
        m = json.loads(line) if line.startswith("{") else {}
        if m.get("executable") and "conformance" in m["package_id"] and "test" in m["target"]["kind"]:
            name, executable = m["target"]["name"], Path(m["executable"])
            copy = work / "bin" / f"{name}-{hashlib.sha256(executable.read_bytes()).hexdigest()[:16]}"
            if not copy.exists():
                copy.parent.mkdir(exist_ok=True)
                shutil.copy2(executable, copy.with_suffix(".part"))
                copy.with_suffix(".part").rename(copy)
            found[name] = str(copy)
    return found


class Runner:
    """Runs tests under a folder of kernels."""

    def __init__(self, work):
        self.work = work
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("WINDLASS")}
        self.environment |= {"XDG_CACHE_HOME": str(work / "cache"), "RUST_BACKTRACE": "0", "PROPTEST_RNG_SEED": "1", "PROPTEST_MAX_SHRINK_ITERS": "0"}

    def run(self, binary, test, limit, **extra):
        """Status (None past the limit), output and seconds."""
        start = time.monotonic()
        cap = lambda: resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        process = subprocess.Popen(
            [binary, "--exact", test, "--test-threads=1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=self.environment | extra, cwd=ROOT / "tests/conformance", start_new_session=True, preexec_fn=cap,
        )
        try:
            out, _ = process.communicate(timeout=limit)
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, _ = process.communicate()
            status = None
        return status, out.decode(errors="replace"), time.monotonic() - start


def backend(test):
    """`emulated` of `emulated::sums` and `large::emulated::many`."""
    words = test.split("::")
    return words[-2] if len(words) > 1 else ""


def baseline(runner, found, wanted, jobs):
    """Every test that goes through `everywhere!`: its seconds and the kernels it launches. Kept
    by the tests' names: they only choose what to run, and `confirm` looks at who killed."""
    kept = runner.work / "baseline.json"
    known = json.loads(kept.read_text()) if kept.exists() else {}
    listed, todo = set(), []
    for name, binary in sorted(found.items()):
        lines = subprocess.run([binary, "--list", "--format", "terse"], capture_output=True, text=True).stdout
        for line in lines.splitlines():
            test = line.removesuffix(": test")
            if backend(test) in wanted:
                listed.add(f"{name} {test}")
                if f"{name} {test}" not in known:
                    todo.append((name, binary, test))
    launches = runner.work / "launches"
    launches.mkdir(exist_ok=True)

    def one(item):
        name, binary, test = item
        status, out, seconds = runner.run(binary, test, 1200, WINDLASS_LAUNCHES=str(launches))
        if status != 0:
            sys.exit(f"{name} {test} fails with the true kernels:\n{out}")
        record = launches / f"{name}.{test.replace('::', '.')}"
        kernels = record.read_text().split() if record.exists() else []
        return f"{name} {test}", {"seconds": round(seconds, 2), "kernels": kernels}

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for done, (key, value) in enumerate(pool.map(one, todo), 1):
            known[key] = value
            if done % 50 == 0 or done == len(todo):
                print(f"baseline: {done} of {len(todo)} tests", file=sys.stderr, flush=True)
                kept.write_text(json.dumps(known, indent=0))
    return {key: value for key, value in known.items() if key in listed}


def confirm(runner, found, killers, jobs):
    """Every test that killed a mutant passes with the true kernels."""
    def one(key):
        name, test = key.split(" ")
        status, out, _ = runner.run(found[name], test, 1200)
        if status != 0:
            sys.exit(f"{key} fails with the true kernels, so it kills nothing:\n{out}")

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, sorted(killers)))


def kernels_of(path):
    """The names of the kernels that a text is part of."""
    if path.split("/")[1] == "pipeline":
        return {"pipeline/filter_project"}
    top, suffix = path.split("/")[0], ".wgsl" if path.endswith(".wgsl") else ".cu"
    entry = r"@compute[^{]*?\bfn (\w+)\(" if suffix == ".wgsl" else r"__global__ void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\("
    family, stem = path.split("/")[1], Path(path).stem
    module = f"{family}::{stem}" if suffix == ".wgsl" else f'"{family}/{stem}.cuh"'
    names, pending, seen = set(), [path], set()
    while pending:
        at = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        text = (ROOT / at).read_text()
        for name in re.findall(entry, text, re.S):
            names |= {f"{at.split('/')[1]}/{name}", f"{at.split('/')[1]}/{Path(at).stem}:{name}"}
        own = Path(at).stem
        mark = f"{at.split('/')[1]}::{own}" if suffix == ".wgsl" else f'"{at.split("/")[1]}/{own}.cuh"'
        if suffix == ".wgsl" or at.endswith(".cuh"):
            for other in files():
                text = (ROOT / other).read_text()
                if other.startswith(top) and re.search(rf"#(import|include)[^\n]*{re.escape(mark)}(?!\w)", text):
                    pending.append(other)
    return names


def chosen(path, language, known, budget=float("inf")):
    """The tests of a text by time, up to a sum of seconds: those of its family that launch its
    kernels, or where it has none, all that do."""
    family, kernels = path.split("/")[1], kernels_of(path)
    own = OWN.get(family, [family])
    tests = []
    for key, value in known.items():
        name, test = key.split(" ")
        if backend(test) in BACKENDS[language] and kernels & set(value["kernels"]):
            last = backend(test) == "emulated_checked"
            tests.append((name not in own, last, value["seconds"], name, test))
    if any(not other for other, *_ in tests):
        tests = [t for t in tests if not t[0]]
    within = []
    for _, _, seconds, name, test in sorted(tests):
        budget -= seconds
        if budget >= 0 or not within:
            within.append((name, test, seconds))
    return within


def attempt(runner, found, known, budget, m: Mutant):
    """`killed` with the test and how, `survived`, or `invalid` for a text that does not compile."""
    folder = Path(tempfile.mkdtemp(prefix="mutant-", dir=runner.work))
    try:
        target = folder / m.file
        target.parent.mkdir(parents=True)
        target.write_text(m.text())
        tests = chosen(m.file, m.language, known, budget)
        for name, test, seconds in tests:
            limit = 30 + 6 * seconds
            status, out, _ = runner.run(found[name], test, limit, WINDLASS_KERNELS_DIR=str(folder))
            if status == 0:
                continue
            if NO_COMPILE.search(out):
                return "invalid", "", ""
            how = "time" if status is None else ("failed" if status == 101 else "crashed")
            return "killed", f"{name} {test}", how
        return "survived", f"{len(tests)} tests", ""
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def canary(runner, found, known, families, languages):
    """A text that cannot compile must fail the tests of its file: else the folder is not read."""
    for path in files():
        language = "wgsl" if path.endswith(".wgsl") else "cuda"
        if path.split("/")[1] not in families or language not in languages:
            continue
        tests = chosen(path, language, known)
        if not tests:
            sys.exit(f"no conformance test launches {path}")
        folder = Path(tempfile.mkdtemp(prefix="mutant-", dir=runner.work))
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text("this is no kernel\n")
        # A module may be part of some kernels of its users only.
        for name, test, _ in tests:
            status, out, _ = runner.run(found[name], test, 600, WINDLASS_KERNELS_DIR=str(folder))
            if status not in (0, None) and NO_COMPILE.search(out):
                break
        else:
            sys.exit(f"{path}: no test fails where it is no kernel; is WINDLASS_KERNELS_DIR honoured?")
        shutil.rmtree(folder)


def main():
    every = sorted({f.split("/")[1] for f in files()})
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--count", type=int, default=60, help="mutants to try (60)")
    p.add_argument("--seed", type=int, default=1, help="seed of the sample (1)")
    p.add_argument("--family", action="append", choices=every, help="only these families")
    p.add_argument("--language", choices=["cuda", "wgsl"], help="only this language")
    p.add_argument("--file", action="append", help="only this kernel text")
    p.add_argument("--line", type=int, action="append", help="with --file: every mutant of this line")
    p.add_argument("--jobs", type=int, default=2, help="mutants at a time (2)")
    p.add_argument("--budget", type=float, default=float("inf"), help="seconds of tests for one mutant (no limit)")
    p.add_argument("--kernels", action="store_true", help="build the kernels' packages alone")
    p.add_argument("--no-canary", action="store_true", help="do not see first that a text that is no kernel fails the tests of its file")
    p.add_argument("--list", action="store_true", help="show the sample and run nothing")
    p.add_argument("--every", action="store_true", help="with --list: every mutant")
    p.add_argument("--json", help="write the results here")
    p.add_argument("--work", default=None, help="folder for caches and the baseline, kept")
    a = p.parse_args()
    families = a.family or every
    languages = [a.language] if a.language else ["cuda", "wgsl"]
    if a.list and a.every:
        for path in files():
            for found in mutants(path).values():
                for m in found:
                    if m.family in families and m.language in languages and (not a.file or path in a.file):
                        print(f"{m.file}:{m.line}: {m.operator}: {m.before.strip()} => {m.after.strip()}")
        return 0
    source = draw(a.seed, families, languages, a.file)
    if a.line:
        if not a.file:
            sys.exit("--line is of the text that --file names")
        named = [m for path in a.file for found in mutants(path, equivalents()).values() for m in found if m.line in a.line]
        source, a.count = iter(named), len(named)
    if a.list:
        for m, _ in zip(source, range(a.count)):
            print(f"{m.file}:{m.line}: {m.operator}\n  - {m.before.strip()}\n  + {m.after.strip()}")
        return 0

    work = Path(a.work or Path(tempfile.gettempdir()) / f"windlass-mutation-{os.getuid()}")
    work.mkdir(parents=True, exist_ok=True)
    runner = Runner(work)
    found = binaries(work, a.kernels)
    wanted = [b for language in languages for b in BACKENDS[language]]
    tested = {n: b for n, b in found.items() if set(families) == set(every) or any(n in OWN.get(f, [f]) for f in families)}
    known = baseline(runner, tested, wanted, a.jobs)
    if not a.file and not a.no_canary:
        canary(runner, tested, known, families, languages)

    results, invalid, lock = [], 0, threading.Lock()
    start = time.monotonic()

    def worker():
        nonlocal invalid
        while True:
            with lock:
                if len(results) >= a.count:
                    return
                m = next(source, None)
            if m is None:
                return
            verdict, by, how = attempt(runner, tested, known, a.budget, m)
            with lock:
                if verdict == "invalid":
                    invalid += 1
                    continue
                if len(results) >= a.count:
                    return
                results.append((m, verdict, by, how))
                print(f"{len(results):3} {verdict:8} {how:7} {m.file}:{m.line} {m.operator} {by}", flush=True)
                if verdict == "survived":
                    print(f"      - {m.before.strip()}\n      + {m.after.strip()}", flush=True)

    threads = [threading.Thread(target=worker) for _ in range(a.jobs)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()

    confirm(runner, tested, {by for _, verdict, by, _ in results if verdict == "killed"}, a.jobs)
    killed = sum(v == "killed" for _, v, _, _ in results)
    rate = killed / max(1, len(results))
    print(f"\n{'family':12} {'cuda':>8} {'wgsl':>8}")
    for family in families:
        cells = []
        for language in ("cuda", "wgsl"):
            own = [v for m, v, _, _ in results if (m.family, m.language) == (family, language)]
            cells.append(f"{own.count('killed')}/{len(own)}")
        print(f"{family:12} {cells[0]:>8} {cells[1]:>8}")
    print(f"{killed} of {len(results)} killed: {rate:.1%}; {invalid} more did not compile; {time.monotonic() - start:.0f} s")
    if a.json:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
        shown = lambda m: {"file": m.file, "line": m.line, "operator": m.operator, "before": m.before.strip(), "after": m.after.strip()}
        report = {
            "commit": commit, "seed": a.seed, "count": len(results), "killed": killed, "rate": round(rate, 4),
            "did_not_compile": invalid, "seconds": round(time.monotonic() - start),
            "operators": {o: n for o, n in sorted(Counter(m.operator for m, _, _, _ in results).items())},
            "families": {f"{f} {l}": [sum(m.family == f and m.language == l and v == "killed" for m, v, _, _ in results),
                                      sum(m.family == f and m.language == l for m, _, _, _ in results)] for f in families for l in languages},
            "survivors": [shown(m) for m, v, _, _ in results if v == "survived"],
            "killed_by": [shown(m) | {"test": by, "how": how} for m, v, by, how in results if v == "killed"],
        }
        Path(a.json).write_text(json.dumps(report, indent=1) + "\n")
    return 0 if rate >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
