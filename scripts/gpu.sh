#!/usr/bin/env bash
# gpu.sh test|bench: conformance or benches on every real GPU that `windlass devices` finds.
# Results of benches go to benches/results/, one file for each device and commit.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh cargo cc python3
cargo build --workspace --bin windlass
bin="${CARGO_TARGET_DIR:-target}/debug/windlass"
devices=$("$bin" devices --json | python3 -c '
import json, sys
for d in json.load(sys.stdin):
    if (d.get("info") or {}).get("class") == "real":
        print(d["name"])')
if [ -z "$devices" ]; then
  echo "error: no real GPU was found; this is what is here:" >&2
  "$bin" devices >&2
  exit 1
fi
commit=$(git rev-parse --short HEAD)
for device in $devices; do
  case "$1" in
    test)
      echo "== conformance on $device"
      WINDLASS_TEST_DEVICE=$device cargo nextest run --workspace --run-ignored only -E 'test(/(^|::)real::/)'
      ;;
    bench)
      echo "== benches on $device"
      out="benches/results/$(echo "$device" | tr ':' '-')-$commit.json"
      mkdir -p benches/results
      cargo run --release -p windlass-kernels --example device_rates -- "$device" 100000000 | tee "$out"
      echo "written to $out"
      ;;
    *) echo "usage: gpu.sh test|bench" >&2; exit 2 ;;
  esac
done
