"""Safe reading and writing of files: whole or not at all, appended lines, npz that may be damaged, names with ``~``."""
