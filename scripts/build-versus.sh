#!/usr/bin/env bash
# Builds `versus` with every peer that it can have, twice: reed-solomon-erasure as plain Rust, and with its `simd-accel`. Cargo
# builds one of the crate for all who use it, our own cpu backend too, so one program cannot hold both. chiavdf is a program
# of its own: scripts/build-chiavdf-bench.sh builds its benchmark, and its wheel needs a Python that has it.
# Usage: scripts/build-versus.sh [--without-poanetwork]
# Needs: a Rust toolchain, a C compiler, and the libraries of the system that are peers
#        (apt-get install libisal-dev libgmp-dev libssl-dev pkg-config). GMP is LGPL-3.0-or-later: mind that before passing
#        the programs on.
set -euo pipefail
cd "$(dirname "$0")/.."

poanetwork=,poanetwork
case "${1:-}" in
  "") ;;
  --without-poanetwork) poanetwork= ;;
  *) sed -n '2,8s/^# //p' "$0" >&2; exit 2 ;;
esac

for tool in cargo cc pkg-config; do
  command -v "$tool" >/dev/null || { echo "error: $tool is missing: apt-get install build-essential pkg-config, rustup for cargo" >&2; exit 4; }
done
for library in libisal:libisal-dev gmp:libgmp-dev libcrypto:libssl-dev; do
  pkg-config --exists "${library%:*}" || { echo "error: ${library%:*} is missing: apt-get install ${library#*:}" >&2; exit 4; }
done

target=${CARGO_TARGET_DIR:-target}
build() {
  cargo build --release --locked -p shardmark-peers --features "$2"
  mkdir -p "$target/versus"
  cp "$target/release/versus" "$target/versus/$1"
}

build simd-accel "isal,gmp,openssl$poanetwork,reed-solomon-simd-accel"
build scalar "isal,gmp,openssl$poanetwork"
echo "built $target/versus/scalar and $target/versus/simd-accel; rows: --backend simd erasure, --backend simd --intercept, vdf/"
