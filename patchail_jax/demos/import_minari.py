"""Minari datasets on this machine, by their id: pictures among the observations, and actions in the space's bounds."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from patchail_jax.demos import pictures
from patchail_jax.demos.form import Trajectories
from patchail_jax.demos.gathering import Gathering, Request
from patchail_jax.errors import UserError, one_line

_READ_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, AssertionError)


def read(dataset_id: str, request: Request, *, camera: str = "") -> Trajectories:
    """The episodes of the dataset: T+1 pictures, T actions, T rewards.

    ``camera`` is the way to the pictures in nested observations, for example ``pixels/front``; it may be left out where
    there is one. Actions are scaled to [-1, 1] by ``request.bounds``, or else by the bounds of the action space. Raises
    UserError without Minari, for a dataset that is not on this machine, and see also ``Gathering.add``.
    """
    try:
        import minari  # noqa: F401
    except ImportError as error:
        raise UserError("minari is not installed: pip install '.[minari]'") from error
    try:
        dataset = _local(dataset_id)
        gathering = Gathering(request, f"minari {dataset_id}", foreign_units=True)
        gathering.lossy = bool(dataset.storage.metadata.get("jpeg_encoding"))
        bounds = request.bounds or _bounds_of(dataset.action_space, gathering)
        gathering.request = dataclasses.replace(request, bounds=bounds or ())
        ended = 0
        for episode in dataset.iterate_episodes():
            if gathering.full:
                break
            frames = _pictures(episode.observations, camera, dataset_id)
            gathering.video_size = max(gathering.video_size, sorted(frames.shape[1:])[1])
            actions = None if bounds is None else np.asarray(episode.actions)
            gathering.add_arrays(frames, actions, episode.rewards, name=f"episode {episode.id}")
            ended += bool(np.any(episode.terminations))
    except _READ_ERRORS as error:
        found = f"{type(error).__name__}: {one_line(error, 160)}"
        raise UserError(
            f"minari {dataset_id}: cannot be read ({found}): download it again, or install the Minari that wrote it"
        ) from error
    if ended:
        count = len(gathering.demonstrations)
        gathering.notes.setdefault(f"{ended} of {count} episodes end by a termination")
    return gathering.finish(f"minari {dataset_id}")


def _local(dataset_id: str) -> Any:
    """The dataset; ``UserError`` where it is not on this machine."""
    import minari

    try:
        return minari.load_dataset(dataset_id)
    except FileNotFoundError as error:
        raise UserError(
            f"minari {dataset_id}: is not on this machine: fetch it with `minari download {dataset_id}`; `minari list "
            "local` says what is here"
        ) from error


def _bounds_of(space: Any, gathering: Gathering) -> tuple[tuple[float, float], ...] | None:
    """Low and high of every number of an action, () where they are those of the form; None for other actions."""
    low, high = getattr(space, "low", None), getattr(space, "high", None)
    if low is None or high is None or low.ndim != 1 or low.dtype.kind != "f":
        gathering.notes.setdefault(f"actions are {type(space).__name__}, not vectors of floats, and are left out")
        return None
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        return ()
    if (low == -1).all() and (high == 1).all():
        return ()
    gathering.notes.setdefault("actions are scaled from the bounds of their space to [-1, 1]")
    return tuple((float(least), float(most)) for least, most in zip(low, high, strict=True))


def _pictures(observations: Any, camera: str, dataset_id: str) -> np.ndarray:
    found = dict(_nested(observations, ""))
    if camera in found and found[camera].ndim == 4:
        return found[camera]
    known = [way for way, array in found.items() if array.ndim == 4 and _is_picture(array)]
    if not camera and len(known) == 1:
        return found[known[0]]
    if not known:
        raise UserError(f"minari {dataset_id}: has no pictures (arrays of four axes), but {', '.join(found)}")
    raise UserError(f"minari {dataset_id}: use --camera with one of its pictures: {', '.join(known)}")


def _is_picture(array: np.ndarray) -> bool:
    return any(layout.fits(array.shape[1:]) for layout in pictures.LAYOUTS.values())


def _nested(observations: Any, way: str) -> Iterator[tuple[str, np.ndarray]]:
    """Every array with the way to it; that of one array alone is "observations"."""
    if isinstance(observations, dict):
        for key, part in observations.items():
            yield from _nested(part, f"{way}/{key}".lstrip("/"))
    elif isinstance(observations, tuple):
        for number, part in enumerate(observations):
            yield from _nested(part, f"{way}/{number}".lstrip("/"))
    else:
        yield way or "observations", np.asarray(observations)
