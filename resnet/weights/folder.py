"""Names of what lies in an experiment's folder of results, beside its checkpoints."""

LABEL_NAMES = "label_names.json"
DATA_FOLDER = "data_folder.json"  # of own images
HELD_OUT = "held_out.json"  # which of them are for tests alone
DIAGNOSIS = "diagnosis.json"  # of the step whose numbers ended the training
RESULT = "result.json"  # of the finished run
BEST = "best"  # folder of the best evaluation's checkpoint
# Where experiments lie, unless --results says otherwise.
CIFAR_RESULTS, IMAGENET_RESULTS = "./results/cifar", "./results/imagenet"
