"""Safe reading and writing of files: whole or not at all; lines, npz and JSON that may be damaged; ``~``."""
