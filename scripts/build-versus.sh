#!/usr/bin/env bash
# Builds `versus` with every peer that it can have, twice: reed-solomon-erasure as plain Rust, and with its `simd-accel`. Cargo
# builds one of the crate for all who use it, our own cpu backend too, so one program cannot hold both.
# Usage: scripts/build-versus.sh          needs: a Rust toolchain, a C compiler, libisal (apt-get install libisal-dev pkg-config)
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in cargo cc pkg-config; do
  command -v "$tool" >/dev/null || { echo "error: $tool is missing: apt-get install build-essential pkg-config, rustup for cargo" >&2; exit 4; }
done
pkg-config --exists libisal || { echo "error: libisal is missing: apt-get install libisal-dev" >&2; exit 4; }

target=${CARGO_TARGET_DIR:-target}
build() {
  cargo build --release --locked -p shardmark-peers --features "$2"
  mkdir -p "$target/versus"
  cp "$target/release/versus" "$target/versus/$1"
}

build simd-accel isal,reed-solomon-simd-accel
build scalar isal
echo "built $target/versus/scalar and $target/versus/simd-accel; rows: --backend simd erasure, --backend simd --intercept"
