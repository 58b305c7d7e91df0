"""Pictures, tables and pages of runs, from the files in their folders (the only place that imports matplotlib)."""
