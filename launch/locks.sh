#!/usr/bin/env bash
# Writes launch/locks: for each Python, a version of every package that the project and its tests need.
set -euo pipefail
CDPATH='' cd -- "$(dirname "$0")/.."
.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
for version in 3.11 3.12 3.13; do
  without=''
  [ "$version" != 3.13 ] || without='labmaze; sys_platform == "never"'  # it has no wheels there, see setup.sh
  .venv/bin/uv pip compile --quiet --upgrade setup.py --extra dev --extra docs --python-version "$version" \
    --override <(echo "$without") --no-header --no-annotate --output-file "launch/locks/python$version.txt"
done
