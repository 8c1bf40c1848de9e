#!/usr/bin/env bash
# Everything CI checks, in the order of cheapness: format, lints, docs, tests, IFMA instructions on an emulated CPU where
# this one has none, then the smoke run end to end.
# Usage: scripts/check.sh [--no-run]     needs: a Rust toolchain with rustfmt and clippy, a C compiler
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in cargo rustfmt cargo-clippy cc; do
  command -v "$tool" >/dev/null || { echo "error: $tool is missing: run scripts/provision.sh" >&2; exit 4; }
done

step() { printf '\n== %s (%ss)\n' "$1" "$SECONDS"; }

step "format";  cargo fmt --all --check
step "lints";   cargo clippy --workspace --all-targets --locked -- -D warnings
step "lints of the fuzz targets' door"
cargo clippy -p shardmark-kernels --features fuzzing --locked -- -D warnings
step "lints without GPUs"
cargo clippy -p shardmark-kernels --no-default-features --locked -- -D warnings
step "docs";    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked
# A run of all tests has a Vulkan device, if only on the CPU; that one asks for a folder of its own.
step "tests";   SHARDMARK_REQUIRE=wgpu XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}" cargo test --locked
step "IFMA";    scripts/emulate-ifma.sh
if [ "${1:-}" != "--no-run" ]; then
  step "smoke run"
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
  # The program that the tests built: this shows that a run works, not how fast.
  shardmark=${CARGO_TARGET_DIR:-target}/debug/shardmark
  "$shardmark" run bench-configs/smoke.toml --out "$out/smoke"
  "$shardmark" check "$out/smoke"
fi
step "done"
