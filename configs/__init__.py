"""Configurations: one file a task, the method as a suffix, ``configs/cheetah.py:patchail``."""
