"""Demonstrations: their form on disk, their frames, and the expert pairs that the learner draws from them."""
