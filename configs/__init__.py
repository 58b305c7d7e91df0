"""A thin file a task: ``--config=configs/cheetah.py:METHOD``."""
