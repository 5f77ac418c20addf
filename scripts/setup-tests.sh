#!/usr/bin/env bash
# Installs what `make test` needs beside Rust and a C compiler, and nothing that is there
# already: a Vulkan loader and the software adapter lavapipe, a C++ compiler for the CUDA
# emulator, mold where apt has it, cargo-nextest, and in .tools/ a Python environment with
# DuckDB and the CUDA compilers from PyPI. Works as root or with sudo on Debian and Ubuntu;
# elsewhere it says what to install.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh cargo cc

packages=()
ldconfig -p 2>/dev/null | grep -q libvulkan.so.1 || packages+=(libvulkan1)
compgen -G '/usr/share/vulkan/icd.d/*lvp*.json' >/dev/null || compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null \
  || packages+=(mesa-vulkan-drivers)
command -v g++ >/dev/null || command -v clang++ >/dev/null || packages+=(g++)
command -v python3 >/dev/null || packages+=(python3)
if command -v python3 >/dev/null; then
  python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
else
  packages+=(python3-venv)
fi
if [ ${#packages[@]} -gt 0 ]; then
  echo "installing Debian packages: ${packages[*]}"
  sudo=()
  [ "$(id -u)" = 0 ] || sudo=(sudo)
  if ! command -v apt-get >/dev/null || { [ ${#sudo[@]} -gt 0 ] && ! command -v sudo >/dev/null; }; then
    echo "error: please install ${packages[*]} (or your system's packages of that purpose), then run again" >&2
    exit 1
  fi
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${packages[@]}" >/dev/null || {
    echo "error: apt-get could not install ${packages[*]}; install them by hand, then run again" >&2
    exit 1
  }
fi

if ! cargo nextest --version >/dev/null 2>&1; then
  echo "installing cargo-nextest"
  cargo install cargo-nextest --locked || {
    echo "error: cargo could not install cargo-nextest; see https://nexte.st" >&2
    exit 1
  }
fi

# A Python environment for the references, made again when the list below changes.
wanted="duckdb==2.0.* pyarrow==26.* numpy scipy datafusion==55.*"
if [ "$(cat .tools/python/wanted 2>/dev/null || true)" != "$wanted" ]; then
  echo "installing the references into .tools/python: $wanted"
  rm -rf .tools/python
  python3 -m venv .tools/python
  # shellcheck disable=SC2086
  .tools/python/bin/pip install --quiet $wanted || {
    echo "error: pip could not install: $wanted" >&2
    exit 1
  }
  printf '%s' "$wanted" > .tools/python/wanted
fi

if [ -x scripts/install-cuda-tools.sh ]; then
  scripts/install-cuda-tools.sh
fi
