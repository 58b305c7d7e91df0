"""DeepMind Control as frames: the only place, with ``demos.render``, that knows dm_control."""
