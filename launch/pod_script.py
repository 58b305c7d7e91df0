"""What every worker of a TPU pod slice runs: the runs of a sweep in turn, over all hosts or those of its own."""

import shlex
from collections.abc import Sequence

from patchail_jax.launch.sweeps.sweep import JAX_PLATFORMS, PlannedRun, command, on_platform, told

HOME = "patchail_jax"  # the source's folder on the workers, in the home of the user who logs in
LOCK, PID = "sweep.lock", "sweep.pid"  # beside it; whatever the sweep has started holds the lock
BUSY = (
    f"flock -n {LOCK} true || {{ echo 'a sweep is at work on this slice: see --action=follow, or --action=stop' >&2; "
    "exit 1; }"
)
# One host of a slice for itself, with the four chips that the hosts of slices have. Its process must not ask the
# slice's metadata, which names the others.
ONE_HOST = {
    "TPU_PROCESS_BOUNDS": "1,1,1",
    "TPU_CHIPS_PER_PROCESS_BOUNDS": "2,2,1",
    "TPU_VISIBLE_DEVICES": "0,1,2,3",
}

# A run that crashes goes on from its checkpoint once; then the next one has its turn. What has been refused is not
# tried again, nor anything after a stop, when the run has saved.
_ATTEMPT = """\
failed=0 stopped=
trap stopped=143 TERM
attempt() {
  for try in 1 2; do
    [ -z "$stopped" ] || return 0
    "$@" && return
    [ $? != 2 ] || break
  done
  failed=1
}"""
_MINE = """\
attribute() {
  curl -sf -H Metadata-Flavor:Google \\
    "http://${GCE_METADATA_IP:-metadata.google.internal}/computeMetadata/v1/instance/attributes/$1"
}
worker=$(attribute agent-worker-number) && workers=$(attribute worker-network-endpoints) ||
  { echo "the metadata server does not say which worker this is" >&2; echo 1 > sweep.status; exit 1; }
hosts=$(echo "$workers" | tr , '\\n' | wc -l)
mine() { [ $(($1 % hosts)) = "$worker" ]; }"""


def sweep_script(runs: Sequence[PlannedRun], *, wandb_secret: str, per_host: bool = False) -> str:
    """The program of each worker: every run, or with ``per_host`` every n-th, one after another.

    ``sweep.status`` gets 1 where a run did not finish, 143 where the sweep was stopped.
    """
    lines = [f"echo $$ > ../{PID}", f"export JAX_PLATFORMS={JAX_PLATFORMS['tpu']}", _ATTEMPT]
    if per_host:
        lines += [f"export {' '.join(f'{name}={value}' for name, value in ONE_HOST.items())}", _MINE]
    if wandb_secret:
        read = shlex.join(("gcloud", "secrets", "versions", "access", "latest", f"--secret={wandb_secret}"))
        lines.append(f'WANDB_API_KEY="$({read})" && export WANDB_API_KEY')
    alone = ("--config.hosts.coordinator=alone",) if per_host else ()
    for number, run in enumerate(runs):
        line = shlex.join(command(on_platform(told(run, *alone), "tpu"), python=".venv/bin/python"))
        lines.append(f"{f'mine {number} && ' if per_host else ''}attempt {line}")
    return "\n".join([*lines, "echo ${stopped:-$failed} > sweep.status", ""])
