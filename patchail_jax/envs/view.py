"""How frames are shown, to the agent and of the expert alike."""

from typing import NamedTuple

from patchail_jax.envs.look import drawn_size


class View(NamedTuple):
    """The fields of ``config.env`` that a frame depends on; agent and expert must have the same.

    ``task`` is the suite's, or a name for what ``factory`` ("module:function") makes; ``action_repeat`` is control
    steps from one frame to the next; ``image_size`` in pixels a side. ``camera_id`` (None: the task's own) and
    ``quality`` ("full" or "fast", see ``rendering``) are the suite's; an environment of your own draws as it likes.
    ``look`` and ``look_size`` as in ``look``.
    """

    task: str
    action_repeat: int
    image_size: int
    camera_id: int | None = None
    quality: str = "full"
    look: str = "none"
    look_size: int = 0
    factory: str = ""

    def drawn(self) -> "View":
        """The view before its look is laid over it; ``UserError`` for a look or size that does not exist."""
        size = drawn_size(image_size=self.image_size, look=self.look, look_size=self.look_size)
        return self._replace(image_size=size, look="none", look_size=0)
