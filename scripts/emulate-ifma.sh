#!/usr/bin/env bash
# Runs the field arithmetic's AVX-512 IFMA instructions: natively where this CPU has them, else on an emulated CPU, and
# compares every result with integers. What kernels/emulation needs from outside is one Python package, kept in target/.
# Usage: scripts/emulate-ifma.sh [CASES]     needs: cargo; without IFMA also CPython 3.11 for x86-64 Linux, pip, cc
# Where it cannot run it says SKIPPED and succeeds, unless SHARDMARK_REQUIRE names ifma.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() {
  case "${SHARDMARK_REQUIRE:-}" in
    *ifma*) echo "error: IFMA is required, and cannot run: $1" >&2; exit 4 ;;
    *) echo "SKIPPED: $1"; exit 0 ;;
  esac
}

[ "$(uname -sm)" = "Linux x86_64" ] || skip "IFMA is of x86-64, and its emulator of Linux"
if grep -qw avx512ifma /proc/cpuinfo; then
  echo "This CPU has IFMA: the ordinary tests run it."
  exec cargo test --locked -p shardmark-kernels --lib ifma
fi

work=${CARGO_TARGET_DIR:-target}/emulation
mkdir -p "$work"
work=$(cd "$work" && pwd)
cd kernels/emulation

python=
for candidate in python3.11 python3; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || skip "no CPython 3.11, which the emulator's package is built for"

if ! [ -d "$work/python/bochscpu" ]; then
  rm -rf "$work/python"
  "$python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary :all: \
    --require-hashes -r requirements.txt --target "$work/python" >&2 || skip "pip cannot install bochscpu-python"
fi
export PYTHONPATH=$work/python PYTHONDONTWRITEBYTECODE=1

emulate=("$python")
if ! "$python" -c 'import bochscpu, os; os._exit(0)' 2>/dev/null; then
  cc -shared -fPIC -O1 -o "$work/isoc23.so" isoc23.c || skip "no C compiler for the emulator's two missing names"
  emulate=(env "LD_PRELOAD=$work/isoc23.so" "$python")
  "${emulate[@]}" -c 'import bochscpu, os; os._exit(0)' || skip "the emulator's package does not load"
fi

# The optimisation of a release.
rustc --edition 2024 -C opt-level=3 -C panic=abort -C relocation-model=static \
  -C link-args="-nostdlib -static -nostartfiles" -o "$work/image" image.rs
exec "${emulate[@]}" run.py "$work/image" "$@"
