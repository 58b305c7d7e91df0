#!/usr/bin/env bash
# Makes .venv with everything the project needs, the OpenGL libraries included; safe to run again.
# EXTRAS=cuda12, cuda13 or tpu adds the JAX of an accelerator; EXTRAS=tpu,gcs the storage of gs:// run folders as well
# (s3 and az for s3:// and az://).
# Versions are those of launch/locks, which were tested; LOCKED= takes the newest ones that setup.py allows.
# TOOLS= leaves out what tests and linters need: a machine that only trains can do without it.
# MUJOCO_GL=disabled leaves OpenGL out: runs on physics features, and environments of your own, can do without it.
set -euo pipefail
CDPATH='' cd -- "$(dirname "$0")/.."
[ -z "${HOME:-}" ] || PATH=$PATH:$HOME/.local/bin  # where uv puts the Pythons that it installs

OPENGL=(libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0)
export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS-1}  # certificates are the system's, as pip's are

say() { printf '%s\n' "$*" >&2; }
stop() { say "error: $*"; exit 1; }

can_install_debian() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

try_debian() {
  say "installing $*"
  apt-get update -qq >/dev/null || say "apt-get update failed; trying with the package lists that are here"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" >/dev/null
}

# Debian packages: installed as root, named otherwise.
install_debian() {
  can_install_debian || stop "please install what is missing (Debian: sudo apt-get install $*) and run this again"
  try_debian "$@" || stop "apt-get cannot install $*: check the network, or install them by hand, and run this again"
}

version_of() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }

is_supported() { case "$(version_of "$1")" in 3.11.* | 3.12.* | 3.13.*) ;; *) return 1 ;; esac; }

makes_environments() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }  # Debian's needs another package to

# The first supported Python that can make environments, else the first supported one, else nothing.
find_python() {
  local name incomplete=""
  for name in python3.12 python3.11 python3.13 python3; do
    is_supported "$name" || continue
    if makes_environments "$name"; then
      printf '%s' "$name"
      return
    fi
    incomplete=${incomplete:-$name}
  done
  printf '%s' "$incomplete"
}

# uv, by its name or where it was put: the one that is here, else from PyPI by the Python that will not do.
find_uv() {
  command -v uv && return
  python3 -m pip install --quiet --disable-pip-version-check --target .uv uv >/dev/null 2>&1 && printf '%s' .uv/bin/uv
}

# A Python beside one that will not do, such as 3.10 of Ubuntu 22.04: uv's, else the distribution's. Its name. uv keeps
# it here, because the home of whoever sets up may be closed to whoever trains.
bring_python() {
  local uv
  export UV_PYTHON_INSTALL_DIR=$PWD/.python UV_PYTHON_PREFERENCE=only-managed
  say "python3 is Python $(version_of python3), but 3.11, 3.12 or 3.13 is needed: bringing 3.12 by uv"
  if uv=$(find_uv) && "$uv" python install --quiet 3.12 >&2; then
    "$uv" python find 3.12
  elif can_install_debian && try_debian python3.11 python3.11-venv >&2; then
    printf '%s' python3.11
  else
    return 1
  fi
}

stop_for_python() {
  stop "python3 is Python $(version_of python3 || echo missing), but 3.11, 3.12 or 3.13 is needed, and neither uv nor" \
    "apt-get could bring one (is there a network?): install one beside it (uv python install 3.12, or" \
    "sudo apt-get install python3.11 python3.11-venv) and run this again"
}

wants_opengl() { [ "${MUJOCO_GL:-}" != disabled ]; }

# A glance, so that what is missing is said before minutes of downloads; prove_drawing is the proof.
has_opengl() {
  local libraries
  libraries=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null || true)  # not on the path of ordinary users
  [[ $libraries == *libOSMesa* ]] && return
  [[ $libraries == *libEGL.so.1* ]] && [[ $libraries == *libOpenGL.so.0* || $libraries == *libGL.so.1* ]] &&
    compgen -G '/usr/share/glvnd/egl_vendor.d/*.json' >/dev/null
}

# Draws a frame, or says why it cannot.
prove_drawing() {
  .venv/bin/python -c '
from patchail_jax.envs.rendering import require_backend
from patchail_jax.programs.console import start
start(lambda words: print("drawing with", require_backend()), [])' 2>&1
}

# By uv, which is quicker; by pip where uv does not get through, as on networks that pip's settings know.
# labmaze, for dm_control's mazes, has no wheels from Python 3.13 on. The suite does without it, and uv alone can leave a
# dependency out.
install() {
  local pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check) versions=(--upgrade) without=() python
  python=$(version_of .venv/bin/python)
  [ -z "${LOCKED-1}" ] || versions=(--constraint "launch/locks/python${python%.*}.txt")
  case $python in 3.11.* | 3.12.*) ;; *) without=(--override launch/locks/without_labmaze.txt) ;; esac
  "${pip[@]}" uv && VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --compile-bytecode "${versions[@]}" \
    --editable "$1" ${without[@]+"${without[@]}"} && return
  [ "${#without[@]}" = 0 ] || return 1
  say "uv did not get through: trying pip"
  "${pip[@]}" "${versions[@]}" --editable "$1"
}

wanted=${EXTRAS-} offered=$(<setup.py)
IFS=, read -ra wanted <<<"$wanted"
for extra in ${wanted[@]+"${wanted[@]}"}; do
  [[ $offered == *$'\n        "'"$extra"'": ['* ]] ||
    stop "EXTRAS has $extra, which is no extra of setup.py: cuda12, cuda13 or tpu, with gcs, s3 or az behind a comma"
done
python=$(find_python)
missing=()
if [ -z "$python" ]; then
  version_of python3 >/dev/null || missing+=(python3 python3-venv)
elif ! makes_environments "$python"; then
  missing+=("$python-venv")
fi
! wants_opengl || has_opengl || missing+=("${OPENGL[@]}")
[ "${#missing[@]}" = 0 ] || install_debian "${missing[@]}"
python=$(find_python)
[ -n "$python" ] || python=$(bring_python) || stop_for_python

# Asks for pip: a set-up that was cut short leaves a .venv without it.
trap 'rm -f .venv/ready*' EXIT  # whatever fails from here on, .venv is not ready
if ! is_supported .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  "$python" -m venv --clear .venv || stop "$python cannot make an environment in .venv"
fi
say "installing Python packages into .venv (Python $(version_of .venv/bin/python)); this takes some minutes"
extras=${TOOLS-dev}${EXTRAS:+,$EXTRAS}
extras=${extras#,}
install ".${extras:+[$extras]}" ||
  stop "the Python packages cannot be installed (the reason is above): check the network and run this again"

# Libraries may be there and still not draw, such as a graphics driver's EGL without its card.
draws() { said=$(prove_drawing); }
if wants_opengl; then
  draws || { can_install_debian && install_debian "${OPENGL[@]}" libosmesa6 && draws; } || {
    reason=${said##*$'\n'}
    stop "${reason#error: }; runs on physics features need none: MUJOCO_GL=disabled launch/setup.sh"
  }
fi
touch ".venv/ready${EXTRAS:+-$EXTRAS}"
trap - EXIT
