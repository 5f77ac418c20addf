"""Files of other libraries read by arrays, and files of arrays read by other libraries.

    python storage.py --bridge PATH/TO/arrays-tests [--seed 1] [--keep FOLDER]

zarr-python, NumPy and h5py write files of all element types, orders, codecs and chunks, and the
bridge reads them, whole and in part; the bridge writes, and zarr-python and NumPy read. Values
must be equal, to the bit. What cannot be imported is left out, and said. The exit status is 1 if
anything differs.
"""

import argparse
import collections
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np

TYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
         "float32", "float64", "complex64", "complex128"]
SHAPES = [(), (7,), (5, 4), (3, 6, 5), (0, 3), (1, 9)]


def have(name):
    try:
        return __import__(name)
    except ImportError as e:
        print(f"ignored: {name} is not there: {e}")
        return None


zarr, h5py = have("zarr"), have("h5py")


class Storage:
    def __init__(self, seed, folder):
        self.rng = np.random.default_rng(seed)
        self.folder = pathlib.Path(folder)
        self.lines, self.wanted, self.later, self.files = [], [], [], 0

    def path(self, ending):
        self.files += 1
        return str(self.folder / f"file-{self.files}{ending}")

    def values(self, dtype, shape):
        d = np.dtype(dtype)
        if d.kind == "b":
            return self.rng.random(shape) < 0.5
        if d.kind in "iu":
            info = np.iinfo(d)
            return self.rng.integers(info.min, info.max, shape, dtype=d.newbyteorder("="), endpoint=True).astype(d)
        x = self.rng.normal(0, 3, shape)
        x = np.where(self.rng.random(shape) < 0.1, np.nan, x)
        return np.asarray(x + 1j * self.rng.normal(0, 3, shape) if d.kind == "c" else x, d)

    def case(self, name, expression, wanted):
        self.lines.append(json.dumps({"id": len(self.lines), "expression": expression}))
        self.wanted.append((name, wanted))

    def read(self, name, values, **file):
        """A file is read: all of it, and a part."""
        values = values.astype(values.dtype.newbyteorder("="))
        node = {"call": "read", "of": [], "with": file}
        self.case(name, node, values)
        index, slices = [], []
        for n in values.shape:
            step = int(self.rng.choice([1, 1, 2, -1, -3]))
            begin, end = sorted(int(v) for v in self.rng.integers(0, n + 1, 2))
            part = slice(begin, end, step) if step > 0 else slice(end, begin, step)
            slices.append(part)
            index.append([part.start, part.stop, part.step])
        if slices:
            self.case(name + ", a part", {"call": "index", "of": [node], "with": {"index": index}},
                      values[tuple(slices)])

    def write(self, name, values, check, **file):
        """The bridge writes a file, which `check` reads."""
        source = f"in-{len(self.lines)}.npy"
        np.save(self.folder / source, values)
        chunks = [[n - n // 2, n // 2] if n > 1 else [n] for n in values.shape]
        node = {"call": "write", "of": [{"array": source, "chunks": chunks}], "with": file}
        self.case(name, node, values)
        self.later.append((name, check, values))

    def zarr_read(self):
        codecs = zarr.codecs
        compressors = {
            "none": None, "zstd": codecs.ZstdCodec(level=3), "gzip": codecs.GzipCodec(level=5),
            "blosc": codecs.BloscCodec(cname="lz4", shuffle="bitshuffle"),
            "blosc zstd": codecs.BloscCodec(cname="zstd", shuffle="shuffle"),
            "crc": [codecs.ZstdCodec(level=0), codecs.Crc32cCodec()],
        }
        for dtype, shape in itertools.product(TYPES, SHAPES):
            for kind in self.rng.choice(list(compressors), 2, replace=False):
                values, path = self.values(dtype, shape), self.path(".zarr")
                chunk = tuple(max(1, -(-n // 2)) for n in shape)
                more = {}
                if self.rng.random() < 0.3 and shape:
                    more["shards"] = tuple(2 * c for c in chunk)
                elif self.rng.random() < 0.3 and shape:
                    order = tuple(int(i) for i in self.rng.permutation(len(shape)))
                    more["filters"] = [codecs.TransposeCodec(order=order)]
                if dtype[-1] != "8" and dtype != "bool" and self.rng.random() < 0.3:
                    more["serializer"] = codecs.BytesCodec(endian="big")
                if self.rng.random() < 0.3:
                    more["chunk_key_encoding"] = {"name": "v2", "separator": "."}
                x = zarr.create_array(path, shape=shape, chunks=chunk, dtype=dtype,
                                      compressors=compressors[kind], **more)
                x[...] = values
                self.read(f"zarr 3 {dtype} {kind} {sorted(more)}", values, format="zarr", path=path)
        import numcodecs

        version_2 = {
            "none": None, "zstd": numcodecs.Zstd(3), "gzip": numcodecs.GZip(5), "zlib": numcodecs.Zlib(3),
            "blosc": numcodecs.Blosc("lz4", 5, numcodecs.Blosc.SHUFFLE),
        }
        for dtype, shape, order in itertools.product(TYPES, SHAPES, "<>"):
            typed = np.dtype(dtype).newbyteorder(order)
            values, path = self.values(typed, shape), self.path(".zarr")
            kind = str(self.rng.choice(list(version_2)))
            separator = str(self.rng.choice(["/", "."]))
            fortran = str(self.rng.choice(["C", "F"]))
            x = zarr.create_array(path, shape=shape, dtype=typed, zarr_format=2, order=fortran,
                                  chunks=tuple(max(1, -(-n // 2)) for n in shape), compressors=version_2[kind],
                                  chunk_key_encoding={"name": "v2", "separator": separator})
            x[...] = values
            self.read(f"zarr 2 {typed.str} {kind} {fortran} {separator}", values, format="zarr", path=path)
        # What is not written has the fill value, and a group's arrays have paths.
        for version, fill in itertools.product([2, 3], [0, -7]):
            path = self.path(".zarr")
            group = zarr.open_group(path, mode="w", zarr_format=version).create_group("a/b")
            x = group.create_array("x", shape=(9, 9), chunks=(4, 4), dtype="int32", fill_value=fill)
            x[4:8, 4:] = 5
            self.read(f"zarr {version} filled", x[...], format="zarr", path=path + "/a/b/x")
            self.case("a missing chunk that is required", {"call": "read", "of": [], "with": {
                "format": "zarr", "path": path + "/a/b/x", "strict": True}}, None)

    def zarr_write(self):
        def check(path, version):
            def of():
                x = zarr.open_array(path, mode="r")
                assert x.metadata.zarr_format == version and x.attrs["made"] == "here"
                return x[...]
            return of

        names = ["none", "default", "zstd", "gzip", "blosclz", "lz4", "lz4hc", "zlib", "blosc-zstd"]
        for dtype, shape, version in itertools.product(TYPES, SHAPES, [2, 3]):
            for codec in self.rng.choice(names, 2, replace=False):
                path = self.path(".zarr")
                file = {"format": "zarr", "path": path, "version": version, "codec": str(codec)}
                if shape and self.rng.random() < 0.8:
                    file["chunk"] = [max(1, int(self.rng.integers(1, n + 1))) if n else 1 for n in shape]
                    if version == 3 and self.rng.random() < 0.5:
                        file["shard"] = [2 * c for c in file["chunk"]]
                if version == 3:
                    file["checksum"] = bool(self.rng.random() < 0.3)
                if self.rng.random() < 0.3:
                    file["separator"] = str(self.rng.choice(["/", "."]))
                file["skip_fill"] = bool(self.rng.random() < 0.3)
                values = self.values(dtype, shape)
                if self.rng.random() < 0.2:
                    values = np.zeros_like(values)
                self.write(f"to zarr {version} {dtype} {codec}", values, check(path, version), **file)

    def numpy(self):
        for dtype, shape, order, fortran in itertools.product(TYPES, SHAPES, "<>", [False, True]):
            typed = np.dtype(dtype).newbyteorder(order)
            values = self.values(typed, shape)
            values = np.asfortranarray(values) if fortran and values.ndim else values
            path, version = self.path(".npy"), self.rng.choice([1, 2, 3])
            with open(path, "wb") as file:
                np.lib.format.write_array(file, values, version=(int(version), 0))
            self.read(f"npy {typed.str} {fortran}", values, format="npy", path=path)
            path = self.path(".npz")
            (np.savez_compressed if self.rng.random() < 0.5 else np.savez)(path, other=values[:0] if shape else values, x=values)
            self.read(f"npz {typed.str}", values, format="npz", path=path)
            path, offset = self.path(".raw"), int(self.rng.integers(0, 9))
            letters = "F" if fortran else "C"
            pathlib.Path(path).write_bytes(b"?" * offset + values.tobytes(letters))
            raw = {"order": letters, "endianness": "big" if order == ">" else "little"}
            self.read(f"raw {typed.str}", values, format="raw", path=path, dtype=dtype, shape=shape, offset=offset, **raw)
            native = values.astype(dtype)
            path = self.path(".npy")
            self.write(f"to npy {dtype}", native, lambda p=path: np.load(p), format="npy", path=path, **raw)
            path = self.path(".npz")
            self.write(f"to npz {dtype}", native, lambda p=path: np.load(p)["x"], format="npz", path=path,
                       compress=bool(self.rng.random() < 0.5), **raw)
            path = self.path(".raw")
            self.write(f"to raw {dtype}", native,
                       lambda p=path, t=typed, s=shape, o=letters: np.fromfile(p, t).reshape(s, order=o),
                       format="raw", path=path, dtype=dtype, shape=shape, **raw)

    def hdf5(self):
        stored = {
            "contiguous": {}, "chunks": {"chunks": True}, "gzip": {"chunks": True, "compression": "gzip"},
            "shuffle": {"chunks": True, "compression": "gzip", "shuffle": True},
            "sum": {"chunks": True, "fletcher32": True}, "lzf": {"chunks": True, "compression": "lzf"},
        }
        for dtype, shape, order in itertools.product(TYPES, SHAPES, "<>"):
            typed = np.dtype(dtype).newbyteorder(order)
            values = self.values(typed, shape)
            for kind in ["contiguous"] if 0 in shape or not shape else stored:
                path, more = self.path(".h5"), dict(stored[kind])
                if more:
                    more["chunks"] = tuple(max(1, n // 2) for n in shape)
                libver = str(self.rng.choice(["earliest", "v114"]))
                with h5py.File(path, "w", libver=libver) as file:
                    file.create_dataset("x", data=values, **more)
                self.read(f"hdf5 {typed.str} {kind} {libver}", values, format="hdf5", path=path)


def problem_of(got, wanted):
    """What is wrong, or None."""
    if (got.shape, got.dtype) != (wanted.shape, wanted.dtype):
        return f"{got.dtype} of {got.shape}, not {wanted.dtype} of {wanted.shape}"
    same = (got == wanted) | ((got != got) & (wanted != wanted))
    return None if np.all(same) else f"{np.sum(~same)} of {same.size} differ"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bridge", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(options.keep or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        cases = Storage(options.seed, folder)
        cases.numpy()
        if zarr:
            cases.zarr_read()
            cases.zarr_write()
        if h5py:
            cases.hdf5()
        (folder / "cases.jsonl").write_text("\n".join(cases.lines) + "\n")
        subprocess.run([options.bridge, str(folder)], check=True, stderr=subprocess.DEVNULL)
        told = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
        problems = collections.Counter()

        def say(name, problem, line=""):
            problems[name] += 1
            if sum(problems.values()) <= 40:
                print(f"{name}: {problem}\n    {line[:400]}")

        for line, (name, wanted), outcome in zip(cases.lines, cases.wanted, told, strict=True):
            if wanted is None or outcome["error"]:
                if wanted is not None or not outcome["error"]:
                    say(name, outcome["error"] or "it should have failed", line)
                continue
            problem = problem_of(np.load(folder / f"result-{outcome['id']}.npy"), wanted)
            if problem:
                say(name, problem, line)
        for name, check, values in cases.later:
            try:
                got = np.asarray(check())
                problem = problem_of(got.astype(got.dtype.newbyteorder("=")), values)
            except Exception as e:
                problem = f"it cannot be read: {type(e).__name__}: {e}"
            if problem:
                say(name + " by others", problem)
        print(f"{len(told)} cases of storage and {len(cases.later)} files for others, {sum(problems.values())} differ")
        return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
