"""What a run leaves to look at: its numbers, its films, its dashboards."""
