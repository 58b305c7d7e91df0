"""What a person starts, a module a verb: ``python -m patchail_jax VERB``."""
