"""From the fields of ``config.env`` to an environment."""

from typing import Any

from patchail_jax.envs.dmc import FrameEnvironment
from patchail_jax.envs.factory import FactoryEnvironment
from patchail_jax.envs.look import VideoLook
from patchail_jax.envs.rendering import choose_backend
from patchail_jax.envs.view import View


def make(view: View, *, episode_frames: int) -> Any:
    """A task of the suite, or what ``view.factory`` makes, with the interface of ``dmc.FrameEnvironment``.

    ``UserError`` for anything that does not exist or does not fit.
    """
    choose_backend()  # what a factory imports may draw as well
    size = view.drawn().image_size
    environment = (
        FactoryEnvironment(
            factory=view.factory,
            task=view.task,
            action_repeat=view.action_repeat,
            image_size=size,
            episode_frames=episode_frames,
        )
        if view.factory
        else FrameEnvironment(
            task=view.task,
            action_repeat=view.action_repeat,
            image_size=size,
            camera_id=view.camera_id,
            quality=view.quality,
            episode_frames=episode_frames,
        )
    )
    return environment if view.look == "none" else VideoLook(environment, image_size=view.image_size)
