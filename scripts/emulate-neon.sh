#!/usr/bin/env bash
# Runs the erasure codes' tests as built for arm64, with NEON: natively on such a machine, else under qemu's user emulation.
# Usage: scripts/emulate-neon.sh [TEST-FILTER]     needs: cargo; on x86-64 also rustup and, of Debian or Ubuntu, the packages
# gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user-static. About ten minutes; not a part of scripts/check.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

filter=${1:-erasure}
if [ "$(uname -m)" = aarch64 ] || [ "$(uname -m)" = arm64 ]; then
  echo "This CPU has NEON: the ordinary tests run it."
  exec cargo test --locked -p shardmark-kernels --lib "$filter"
fi

target=aarch64-unknown-linux-gnu
for tool in rustup aarch64-linux-gnu-gcc qemu-aarch64-static; do
  command -v "$tool" >/dev/null || { echo "error: $tool is missing: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static, rustup for the target" >&2; exit 4; }
done
rustup target list --installed | grep -qx "$target" || rustup target add "$target"

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu"
exec cargo test --locked --target "$target" -p shardmark-kernels --lib "$filter"
