#!/usr/bin/env bash
# Builds the Python package's wheel: the operators' shared library and the sources of python/giantrabbit, as
# build/wheel/giantrabbit-*.whl. It needs the same torch in the environment that it is installed into, and finds
# LibTorch there (beside itself in site-packages). BUILD_DIR and GR_LIBTORCH as for scripts/build.sh; a second run
# downloads nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$(pwd)

# The three places that name LibTorch's version agree.
version=$(sed -n 's/^set(GR_LIBTORCH_VERSION \(.*\))$/\1/p' scripts/cmake/LibTorch.cmake)
grep -qF "\"torch==$version\"" python/pyproject.toml && grep -qF "TORCH_VERSION = \"$version\"" python/giantrabbit/_library.py ||
  { echo "build_wheel.sh: python/ does not name torch $version, as scripts/cmake/LibTorch.cmake does" >&2; exit 1; }

BUILD_TARGETS=giantrabbit_ops scripts/build.sh -DGR_TESTS=OFF
build=$(cd "${BUILD_DIR:-build}" && pwd)
wheels=$build/wheel
tools=$wheels/tools
if [ ! -e "$tools/ready" ]; then
  rm -rf "$tools"
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check 'setuptools>=77'
  touch "$tools/ready"
fi

rm -rf "$wheels/source" "$wheels"/giantrabbit-*.whl
cp -r python "$wheels/source"
cp LICENSE "$wheels/source/"
cmake --install "$build" --component python --strip --prefix "$wheels/source" >/dev/null
cd "$wheels/source"  # setuptools writes into the folder that it builds
"$tools/bin/pip" wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$wheels" .
cd "$root"
echo "build_wheel.sh: $(ls "$wheels"/giantrabbit-*.whl)"
