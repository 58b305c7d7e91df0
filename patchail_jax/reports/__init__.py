"""Pictures and tables from what a run has left (the only place that imports matplotlib)."""
