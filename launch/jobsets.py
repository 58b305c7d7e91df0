"""What a Kubernetes cluster says of a sweep's JobSets, against those that are wanted."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from patchail_jax.errors import UserError
from patchail_jax.launch.standing import FINISHED, GOING_ON, TO_DO


def ask(kubectl: Sequence[str], sweep: str) -> dict[str, Any]:
    """The JobSets of ``sweep`` in the cluster, by name. ``UserError`` where it does not answer."""
    words = [*kubectl, "get", "jobsets", f"--selector=patchail/sweep={sweep}", "--output=json"]
    try:
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        return {item["metadata"]["name"]: item for item in json.loads(said)["items"]}
    except FileNotFoundError as error:
        raise UserError("kubectl is not installed") from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"kubectl cannot list JobSets ({reason}): is JobSet installed? See also --namespace") from error


def compare(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, str]:
    """How each wanted JobSet stands, by its key in ``wanted``: ``FINISHED``, ``GOING_ON`` or ``TO_DO``.

    A JobSet cannot be changed: one that has failed, or has finished for other flags, is to do, by a new one.
    ``UserError`` names one that is running with other flags.
    """
    standing = {}
    for key, manifest in wanted.items():
        name = manifest["metadata"]["name"]
        there, same = found.get(name), name in found and words_of(found[name]) == words_of(manifest)
        ended = there is not None and end_of(there)
        if there is not None and not ended and not same:
            raise UserError(
                f"{name} is running with other flags: give the same, or delete it (kubectl delete jobset {name})"
            )
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
    """The words of a JobSet's run."""
    (job,) = job_set["spec"]["replicatedJobs"]
    words: list[str] = job["template"]["spec"]["template"]["spec"]["containers"][0]["command"]
    return words
