"""From the fields of ``config.env`` to an environment."""

from typing import Any

from patchail_jax.envs.dmc import FrameEnvironment
from patchail_jax.envs.factory import FactoryEnvironment
from patchail_jax.envs.look import VideoLook, drawn_size


def make(
    *,
    task: str,
    action_repeat: int,
    image_size: int,
    camera_id: int | None,
    quality: str,
    episode_frames: int,
    factory: str = "",
    look: str = "none",
    look_size: int = 0,
) -> Any:
    """A task of the suite, or what ``factory`` makes, with the interface of ``dmc.FrameEnvironment``.

    ``camera_id`` and ``quality`` are the suite's; an environment of your own draws as it likes. ``look`` and
    ``look_size`` as in ``envs.look``. ``UserError`` for anything that does not exist or does not fit.
    """
    drawn = drawn_size(image_size=image_size, look=look, look_size=look_size)
    environment = (
        FactoryEnvironment(
            factory=factory, task=task, action_repeat=action_repeat, image_size=drawn, episode_frames=episode_frames
        )
        if factory
        else FrameEnvironment(
            task=task,
            action_repeat=action_repeat,
            image_size=drawn,
            camera_id=camera_id,
            quality=quality,
            episode_frames=episode_frames,
        )
    )
    return environment if look == "none" else VideoLook(environment, image_size=image_size)
