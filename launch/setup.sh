#!/usr/bin/env bash
# Makes .venv with everything the project needs, the OpenGL libraries included; safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

# Debian packages: installed as root, named otherwise.
install_debian() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $*"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >/dev/null
  else
    say "missing: please install (Debian: sudo apt-get install $*) and run this again"
    exit 1
  fi
}

suitable_python() {
  for python in python3.12 python3.11 python3.13 python3; do
    if command -v "$python" >/dev/null && "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s' "$python"
      return
    fi
  done
  return 1
}

libraries=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p)  # not on the path of ordinary users
has_gl() {
  [[ $libraries == *libOSMesa* ]] && return
  [[ $libraries == *libEGL.so.1* ]] && compgen -G '/usr/share/glvnd/egl_vendor.d/*.json' >/dev/null
}

python=$(suitable_python) || { install_debian python3 python3-venv; python=$(suitable_python) || { say "Python 3.11 or newer is needed"; exit 1; }; }
has_gl || install_debian libegl1 libegl-mesa0 libgl1-mesa-dri

[ -x .venv/bin/python ] || "$python" -m venv .venv
say "installing Python packages into .venv ($($python --version))"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[dev${EXTRAS:+,$EXTRAS}]"
touch .venv/ready
