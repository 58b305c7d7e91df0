"""The names of what lies in a run's folder, for all who write or read it; ``RunFolder`` says what each is."""

CONFIG = "config.json"
LOCK = "lock"
VERSIONS = "versions.json"
METRICS = "metrics.jsonl"
EVALUATIONS = "eval.csv"
HISTOGRAMS = "histograms.jsonl"
FINISHED = "finished.json"  # there once the run has come to its end
CHECKPOINTS = "checkpoints"
PARAMETERS = "parameters"
PICTURES = "pictures"
VIDEOS = "videos"
LATEST_EPISODE = "latest.npz"  # in VIDEOS
PROFILE = "profile"
# Checkpoints that are put aside beside their folder, by number.
DAMAGED, UNSHARED = "damaged_checkpoint_", "first_checkpoint_"
