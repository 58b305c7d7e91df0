"""Sweeps of runs, and what starts them: this machine, SLURM, a TPU pod, Kubernetes, SkyPilot."""
