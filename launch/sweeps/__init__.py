"""What to run, whoever runs it."""
