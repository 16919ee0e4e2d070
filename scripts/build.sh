#!/usr/bin/env bash
# Sets up and builds: Debian packages that are missing, LibTorch from the Python index into .libtorch/, then CMake
# into build/. A second run downloads nothing. Arguments go to CMake's configure step, for example -DGR_BENCH=ON;
# BUILD_DIR chooses another build folder, GR_LIBTORCH=<folder> uses a LibTorch that is already there, EXTRA_PACKAGES
# names more Debian packages, BUILD_TARGETS what to build instead of everything.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(g++ cmake ninja-build python3-venv libfmt-dev libcxxopts-dev libtomlplusplus-dev nlohmann-json3-dev
  libgloo-dev libpng-dev libgtest-dev libbenchmark-dev libboost-context-dev clang-format)
optional_packages=(gnuplot-nox)  # plots in reports
torch_packages=(torch==2.14.1 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85)

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

# Installs those of its arguments that are missing.
install_debian_packages() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  echo "build.sh: installing ${missing[*]}"
  as_root apt-get update -qq &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# The wheel without its CUDA dependencies: a CPU build needs only the two small libraries that libtorch_cpu loads. The
# stamp names what is installed and is written last, so an interrupted installation is done again.
install_libtorch() {
  local stamp=.libtorch/installed
  [ "$(cat $stamp 2>/dev/null)" = "${torch_packages[*]}" ] && return
  echo "build.sh: installing ${torch_packages[*]} into .libtorch"
  rm -rf .libtorch
  python3 -m venv .libtorch
  .libtorch/bin/pip install --quiet --disable-pip-version-check --no-deps "${torch_packages[@]}"
  echo "${torch_packages[*]}" >$stamp
}

# shellcheck disable=SC2086  # the extra packages are words
install_debian_packages "${packages[@]}" ${EXTRA_PACKAGES:-}
install_debian_packages "${optional_packages[@]}" ||
  echo "build.sh: ${optional_packages[*]} could not be installed; reports will have tables only" >&2
[ -n "${GR_LIBTORCH:-}" ] || install_libtorch
build=${BUILD_DIR:-build}
cmake -S . -B "$build" -G Ninja ${GR_LIBTORCH:+-DGR_LIBTORCH="$GR_LIBTORCH"} "$@" >"$build.configure.log" 2>&1 ||
  { cat "$build.configure.log"; exit 1; }
rm -f "$build.configure.log"
# shellcheck disable=SC2086  # the targets are words
cmake --build "$build" ${BUILD_TARGETS:+--target $BUILD_TARGETS}
