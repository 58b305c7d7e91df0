#!/usr/bin/env bash
# Writes launch/locks: for each Python, a version of every package that the project and its tests need.
set -euo pipefail
CDPATH='' cd -- "$(dirname "$0")/.."
.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
for version in 3.11 3.12 3.13; do
  without=()
  [ "$version" != 3.13 ] || without=(--override launch/locks/without_labmaze.txt)
  .venv/bin/uv pip compile --quiet --upgrade setup.py --extra dev --extra docs --python-version "$version" \
    "${without[@]}" --no-header --no-annotate --output-file "launch/locks/python$version.txt"
done
