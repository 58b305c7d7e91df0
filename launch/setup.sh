#!/usr/bin/env bash
# Makes .venv with everything the project needs, the OpenGL libraries included; safe to run again.
# EXTRAS=cuda12, cuda13 or tpu adds the JAX of an accelerator; EXTRAS=tpu,gcs the storage of gs:// run folders as well.
set -euo pipefail
cd "$(dirname "$0")/.."

OPENGL=(libegl1 libegl-mesa0 libgl1-mesa-dri)

stop() { printf '%s\n' "$*" >&2; exit 1; }

# Debian packages: installed as root, named otherwise.
install_debian() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    stop "missing: please install (Debian: sudo apt-get install $*) and run this again"
  fi
  echo "installing $*" >&2
  apt-get update -qq >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" >/dev/null
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

# A glance, so that what is missing is said before minutes of downloads; can_draw is the proof.
has_opengl() {
  local libraries
  libraries=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null || true)  # not on the path of ordinary users
  [[ $libraries == *libOSMesa* ]] && return
  [[ $libraries == *libEGL.so.1* ]] && compgen -G '/usr/share/glvnd/egl_vendor.d/*.json' >/dev/null
}

can_draw() { .venv/bin/python -c 'from patchail_jax.envs.rendering import choose_backend; choose_backend()' 2>/dev/null; }

# labmaze, for dm_control's mazes, has no wheels from Python 3.13 on. The suite does without it, and uv, unlike pip, can
# leave a dependency out.
install() {
  local pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
  if .venv/bin/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then
    "${pip[@]}" --editable "$1"
  else
    "${pip[@]}" uv
    VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --editable "$1" \
      --override <(echo 'labmaze; sys_platform == "never"')
  fi
}

missing=()
suitable_python >/dev/null || missing+=(python3 python3-venv)
has_opengl || missing+=("${OPENGL[@]}")
[ "${#missing[@]}" = 0 ] || install_debian "${missing[@]}"
python=$(suitable_python) || stop "Python 3.11 or newer is needed"

# Asks for pip: a set-up that was cut short leaves a .venv without it.
.venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
echo "installing Python packages into .venv ($(.venv/bin/python --version)); this takes some minutes" >&2
install ".[dev${EXTRAS:+,$EXTRAS}]"

# Libraries may be there and still not draw, such as a graphics driver's EGL without its card.
can_draw || { install_debian "${OPENGL[@]}" libosmesa6; can_draw; } || stop "no OpenGL can draw off screen; see README, Questions"
touch ".venv/ready${EXTRAS:+-$EXTRAS}"
