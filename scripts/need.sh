#!/usr/bin/env bash
# need.sh NAME...: stops with a clear message when a needed program is missing.
set -u
for name in "$@"; do
  command -v "$name" >/dev/null 2>&1 && continue
  case "$name" in
    cargo) echo "error: cargo was not found: install Rust 1.94 or newer (https://rustup.rs)" ;;
    cc) echo "error: no C compiler was found: install one, e.g. 'apt-get install build-essential'" ;;
    *) echo "error: $name was not found" ;;
  esac >&2
  exit 1
done
