"""Looks a machine over before a run does: ``python -m patchail_jax.doctor``."""
