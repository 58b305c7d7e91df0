"""Environments as frames: the suite's, Gymnasium's, your own. Only here and in ``demos.render`` is dm_control known."""
