"""The names of what lies in a run's folder, for all who write or read it."""

CONFIG = "config.json"
VERSIONS = "versions.json"
METRICS = "metrics.jsonl"  # every scalar, a JSON object a line
EVALUATIONS = "eval.csv"  # evaluations alone, for plots
HISTOGRAMS = "histograms.jsonl"  # what the discriminator says of expert and agent at each evaluation, one a line
FINISHED = "finished.json"  # there once the run has come to its end
CHECKPOINTS = "checkpoints"  # Orbax's
PARAMETERS = "parameters"  # the parameters alone, of now and then
PICTURES = "pictures"  # drawn when the run ends
VIDEOS = "videos"  # a film an evaluation, named by frames
LATEST_EPISODE = "latest.npz"  # in VIDEOS: the newest evaluation's episode, and its maps
PROFILE = "profile"  # a trace of a few updates
# Checkpoints that are put aside beside their folder, by number.
DAMAGED, UNSHARED = "damaged_checkpoint_", "first_checkpoint_"
