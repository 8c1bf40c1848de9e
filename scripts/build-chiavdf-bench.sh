#!/usr/bin/env bash
# Builds chiavdf's own benchmark `vdf_bench` from its public source, for `versus --chiavdf-bench`. Two lines of the copy are
# edited: the discriminant becomes an optional third argument, and the length from which a coefficient is reduced, 8 limbs
# for the benchmark's 1024 bits, becomes half of the discriminant's. So other sizes can be had; at 1024 bits nothing changes.
# Usage: scripts/build-chiavdf-bench.sh SOURCE [OUT]     SOURCE: a git URL or path of chiavdf; OUT: where the program goes,
#        target/versus/vdf_bench otherwise
# Needs: git, make, a C++ compiler, libgmp (apt-get install git make g++ libgmp-dev). chiavdf is Apache-2.0, GMP LGPL-3.0+.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,8s/^# //p' "$0" >&2; exit 2; }
source=$1
[ ! -e "$source" ] || source=$(realpath "$source")
root=$(cd "$(dirname "$0")/.." && pwd)
out=$(realpath -m "${2:-${CARGO_TARGET_DIR:-$root/target}/versus/vdf_bench}")
commit=47b03f0d00eb64eeb17660389092936d1588b064

for tool in git make g++; do
  command -v "$tool" >/dev/null || { echo "error: $tool is missing: apt-get install git make g++ libgmp-dev" >&2; exit 4; }
done
echo '#include <gmpxx.h>' | g++ -x c++ -E - >/dev/null 2>&1 \
  || { echo "error: GMP's headers are missing: apt-get install libgmp-dev" >&2; exit 4; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone --quiet --no-checkout "$source" "$work/chiavdf"
git -C "$work/chiavdf" -c advice.detachedHead=false checkout --quiet "$commit"
bench=$work/chiavdf/src/vdf_bench.cpp
sed -i \
  -e 's/auto D = integer("\(-[0-9]*\)");/auto D = integer(argc > 3 ? argv[3] : "\1");/' \
  -e 's/_mp_size) > 8)/_mp_size) > int((mpz_sizeinbase(D.impl, 2) + 127) \/ 128))/' "$bench"
[ "$(grep -c 'argc > 3' "$bench")" = 1 ] && [ "$(grep -c 'mpz_sizeinbase(D.impl' "$bench")" = 2 ] \
  || { echo "error: the benchmark's source is not what this script edits" >&2; exit 4; }
make --quiet -C "$work/chiavdf/src" -f Makefile.vdf-client vdf_bench
mkdir -p "$(dirname "$out")"
cp "$work/chiavdf/src/vdf_bench" "$out"
echo "built $out from chiavdf $commit; rows: versus --chiavdf-bench $out vdf/square"
