"""One run: its config, its parts, its state and its evaluations."""
