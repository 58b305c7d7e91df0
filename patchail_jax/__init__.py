"""Visual imitation learning with patch rewards (PatchAIL) in JAX."""

__version__ = "0.1.0"
