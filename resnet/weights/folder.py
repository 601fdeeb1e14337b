"""Names of what lies in an experiment's folder of results, beside its checkpoints."""

MEAN_IMAGE = "mean_image.npy"
RESULT = "result.json"  # of the finished run
BEST = "best"  # folder of the best evaluation's checkpoint
