"""Which run a number belongs to."""

from typing import NamedTuple


class RunIdentity(NamedTuple):
    """The first columns of ``eval.csv``; dashboards name and group runs by them. ``agent`` is the config's method."""

    agent: str
    task: str
    seed: int

    @property
    def name(self) -> str:
        """The run's name on a dashboard, ``task/method/seed``."""
        return f"{self.group}/{self.seed}"

    @property
    def group(self) -> str:
        """What all seeds share, ``task/method``."""
        return f"{self.task}/{self.agent}"
