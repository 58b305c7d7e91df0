"""Flax modules: pixels in, features, actions, values and patch logits out."""
