"""What a Kubernetes cluster says of a sweep's JobSets, against those that are wanted."""

import json
import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from patchail_jax.errors import UserError
from patchail_jax.launch.outside import Silence, answer
from patchail_jax.launch.standing import FINISHED, GOING_ON, TO_DO
from patchail_jax.launch.sweeps.sweep import shortened

SWEEP = "patchail/sweep"  # the label that a sweep's JobSets are found by
_LABEL = 63  # characters of a label's value


def ask(kubectl: Sequence[str], sweep: str, *, again: float | None = None) -> dict[str, Any]:
    """The JobSets of ``sweep`` in the cluster, by name.

    ``UserError`` where it does not answer. With ``again``, of a cluster that has answered before, that is said on
    stderr, and it is asked again after so many seconds.
    """
    while True:
        try:
            return _look(kubectl, sweep)
        except Silence as error:
            said = f"kubectl cannot list JobSets ({error})"
            if again is None:
                raise UserError(f"{said}: is JobSet installed? See also --namespace") from error
        sys.stderr.write(f"{said}: it is asked again in {again:g} s\n")
        time.sleep(again)


def _look(kubectl: Sequence[str], sweep: str) -> dict[str, Any]:
    """What the cluster answers; ``UserError`` where it makes no sense."""
    words = [*kubectl, "get", "jobsets", f"--selector={SWEEP}={label(sweep)}", "--output=json"]
    try:
        found = {item["metadata"]["name"]: item for item in json.loads(answer(words))["items"]}
        _ = [end_of(item) for item in found.values()]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"kubectl does not say which JobSets there are: see {shlex.join(words)}") from error
    return found


def label(value: str) -> str:
    """``value`` as that of a label: itself where Kubernetes takes it, else what is left of it and a checksum."""
    if re.fullmatch(r"[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?", value) and len(value) <= _LABEL:
        return value
    return shortened(re.sub(r"[^A-Za-z0-9]+", "_", value), value, limit=_LABEL, mark="_")


def compare(wanted: Mapping[str, Any], found: Mapping[str, Any], kubectl: Sequence[str]) -> dict[str, str]:
    """How each wanted JobSet stands, by its key in ``wanted``: ``FINISHED``, ``GOING_ON`` or ``TO_DO``.

    A JobSet cannot be changed: one that has failed, or has finished for other flags, is to do, by a new one.
    ``UserError`` names one that is running with other flags, and how ``kubectl`` deletes it.
    """
    standing = {}
    for key, manifest in wanted.items():
        name = manifest["metadata"]["name"]
        there, same = found.get(name), name in found and words_of(found[name]) == words_of(manifest)
        ended = there is not None and end_of(there)
        if there is not None and not ended and not same:
            remedy = shlex.join([*kubectl, "delete", "jobset", name])
            raise UserError(f"{name} is running with other flags: give the same, or delete it ({remedy})")
        done = ended == "Completed" and same
        standing[key] = FINISHED if done else TO_DO if there is None or ended else GOING_ON
    return standing


def count_active(found: Mapping[str, Any]) -> int:
    """The JobSets that have not ended."""
    return sum(not end_of(item) for item in found.values())


def end_of(job_set: Mapping[str, Any]) -> str:
    """``Completed`` or ``Failed``, or nothing while it goes on."""
    conditions = job_set.get("status", {}).get("conditions", [])
    ends = [one["type"] for one in conditions if one["status"] == "True" and one["type"] in ("Completed", "Failed")]
    return ends[0] if ends else ""


def words_of(job_set: Mapping[str, Any]) -> list[str]:
    """The words of a JobSet's run; none where it is not of the form of this program's."""
    try:
        (job,) = job_set["spec"]["replicatedJobs"]
        words: list[str] = job["template"]["spec"]["template"]["spec"]["containers"][0]["command"]
    except (ValueError, LookupError, TypeError):
        return []
    return words
