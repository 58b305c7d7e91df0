"""Demonstrations: their form on disk, their pictures, and the expert pairs that the learner draws from them."""
