"""What a run leaves behind: its folder, its numbers, its checkpoints."""
