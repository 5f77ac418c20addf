#!/usr/bin/env bash
# Installs NVIDIA's compilers without a GPU or a CUDA toolkit: NVRTC and ptxas, from PyPI
# into .tools/cuda (lib/ and bin/), for the gate over every CUDA source (`make gate`). About
# 360 MB. Does nothing when the wanted versions are there. NVIDIA's licence for these
# packages applies; they are not part of Windlass.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted="nvidia-cuda-nvrtc==13.0.* nvidia-cuda-nvcc==13.0.*"
tools=.tools/cuda
if [ "$(cat "$tools/wanted" 2>/dev/null || true)" = "$wanted" ]; then
  exit 0
fi
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64 | Linux-aarch64) ;;
  *)
    echo "note: NVIDIA has no CUDA compilers for this system; the gate is skipped"
    exit 0
    ;;
esac
command -v python3 >/dev/null || {
  echo "error: python3 was not found: install it (Debian and Ubuntu: apt install python3-venv)" >&2
  exit 1
}
echo "installing the CUDA compilers into $tools: $wanted"
rm -rf "$tools"
mkdir -p "$tools"
python3 -m venv "$tools/venv" || {
  echo "error: python3 cannot make environments: install python3-venv" >&2
  exit 1
}
# Without dependencies: the gate needs neither headers nor the compiler driver.
# shellcheck disable=SC2086
"$tools/venv/bin/pip" install --quiet --no-deps $wanted || {
  echo "error: pip could not install: $wanted" >&2
  exit 1
}
for folder in bin lib; do
  found=$(compgen -G "$tools/venv/lib/python3*/site-packages/nvidia/cu13/$folder") || {
    echo "error: the packages hold no nvidia/cu13/$folder" >&2
    exit 1
  }
  ln -sfn "${found#"$tools/"}" "$tools/$folder"
done
chmod +x "$tools/bin/ptxas"
"$tools/bin/ptxas" --version | tail -n 2
printf '%s' "$wanted" > "$tools/wanted"
