"""What a run must not lose: its folder, its checkpoints, their replica in a bucket."""
