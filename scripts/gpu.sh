#!/usr/bin/env bash
# gpu.sh test|bench: conformance or benches on every real GPU that `windlass devices` finds.
# Results of benches go to benches/results/, three for each device and commit: all operations of
# kernels, the series over groups and build rows, and operations on arrays. Beside a CUDA device
# CuPy and cuDF run the same operations where the Python named by PYTHON (python3) has them.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh cargo cc python3
cargo build --workspace --bin windlass
bin="${CARGO_TARGET_DIR:-target}/debug/windlass"
devices=$("$bin" devices --json | python3 -c '
import json, sys
for d in json.load(sys.stdin)["devices"]:
    if (d.get("info") or {}).get("class") == "real":
        print(d["name"])')
if [ -z "$devices" ]; then
  echo "error: no real GPU was found; this is what is here:" >&2
  "$bin" devices >&2
  exit 1
fi
commit=$(git rev-parse --short HEAD)
# The Python that has CuPy and cuDF, where there is one.
python=${PYTHON:-python3}
for device in $devices; do
  case "$1" in
    test)
      echo "== conformance on $device"
      WINDLASS_TEST_DEVICE=$device cargo nextest run --workspace --run-ignored only -E 'test(/(^|::)real::/)'
      # Arrays against NumPy and SciPy, where that Python has them.
      cargo build --workspace --bin arrays-tests
      if "$python" -c 'import numpy, scipy' 2>/dev/null; then
        "$python" tests/arrays/numpy_cases.py --device "$device" --cases 4000 \
          --bridge "${CARGO_TARGET_DIR:-target}/debug/arrays-tests"
      else
        echo "arrays are not compared: $python has no NumPy and SciPy" >&2
      fi
      ;;
    bench)
      echo "== benches on $device"
      out="benches/results/$(echo "$device" | tr ':' '-')-$commit"
      mkdir -p benches/results
      "$bin" bench kernels --device "$device" --json "$out.json" --report "$out.html"
      "$bin" bench kernels --device "$device" --only cliff \
        --json "$out-cliff.json" --report "$out-cliff.html"
      case "$device" in cuda:*) "$python" benches/peers/kernels.py "$out.json" ;; esac
      peers=numpy
      case "$device" in cuda:*) peers=numpy,cupy ;; esac
      "$bin" bench arrays --device "$device" --engines "$peers" --python "$python" \
        --json "$out-arrays.json"
      echo "written to $out.json, $out-cliff.json and $out-arrays.json, the first two as pages too"
      ;;
    *) echo "usage: gpu.sh test|bench" >&2; exit 2 ;;
  esac
done
