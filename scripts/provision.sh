#!/usr/bin/env bash
# Makes a Debian or Ubuntu machine ready to build and test: a C compiler, a Vulkan device on the CPU for tests where no
# other answers, and the Rust components the checks use.
# Usage: scripts/provision.sh            needs: a Rust toolchain installed by rustup; root or sudo only if something is missing
set -euo pipefail

if ! command -v cargo >/dev/null; then
  echo "error: no Rust toolchain: install one with rustup (1.90 or later), then run this again" >&2
  exit 4
fi
missing=()
command -v cc >/dev/null || missing+=(build-essential)
if ! compgen -G "/usr/share/vulkan/icd.d/*.json" >/dev/null && ! compgen -G "/etc/vulkan/icd.d/*.json" >/dev/null; then
  missing+=(libvulkan1 mesa-vulkan-drivers)
fi
if [ ${#missing[@]} -gt 0 ]; then
  run=""; [ "$(id -u)" = 0 ] || run=sudo
  $run apt-get update -q
  $run apt-get install -y -q --no-install-recommends "${missing[@]}"
fi
for component in rustfmt clippy; do
  cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component"
done
echo "ready: $(rustc --version), $(cc --version | head -n 1)"
