"""Sizes that follow from a config's fields alone."""

from ml_collections import ConfigDict


def ring_slots(config: ConfigDict) -> int:
    """Frame slots for ``replay.capacity`` transitions: an episode of T transitions has T+1 frames."""
    steps = max(config.env.episode_frames // config.env.action_repeat, 1)
    return int(config.replay.capacity + -(-config.replay.capacity // steps))


def expert_batch_size(config: ConfigDict) -> int:
    """Expert pairs an update, over all devices."""
    return int(config.replay.expert_batch_size or config.replay.batch_size)
