"""What a trained experiment makes of its test images, or of those held out for tuning."""

from resnet.commands.plot.predictions import draw_confusion_matrix, draw_mistakes
from resnet.data.cifar.input import training_and_evaluation
from resnet.data.cifar.pipeline import evaluation_batches
from resnet.models import get_model
from resnet.training.evaluation import class_probabilities
from resnet.training.own_images import dataset_of
from resnet.weights.trained import restore_trained, stored_preparation


def draw_trained(experiment, data_folder, best=False):
    """{"confusion": Figure, "mistakes": Figure} of an experiment's weights.

    Args:
      experiment: Experiment on one of CIFAR's data sets.
      data_folder: folder of the data sets.
      best: whether to take the best evaluation's checkpoint, rather than the newest.

    Raises:
      UserError: no checkpoint, no mean image, no data set, or no matplotlib.
    """
    config, options = experiment.config, experiment.options
    model = get_model(config, backprop="stored", dtype=options.dtype, exact=options.exact)
    step = restore_trained(experiment, model, best)
    preparation = stored_preparation(experiment)
    dataset = dataset_of(experiment, data_folder)
    # A run that holds images out for tuning shows them, never the test images.
    _, test = training_and_evaluation(dataset, options.validation)
    names = dataset.label_names
    batches = evaluation_batches(test, preparation, config.evaluation_batch_size)
    probabilities = class_probabilities(model, batches)
    accuracy = 100 * (probabilities.argmax(axis=1) == test.labels).mean()
    of = "held-out images" if options.validation else "test images"
    title = (
        f"{experiment.id}\n{config.name} at step {step:,}, {accuracy:.2f} % of {len(test):,} {of}"
    )
    return {
        "confusion": draw_confusion_matrix(test.labels, probabilities, names, title),
        "mistakes": draw_mistakes(test.images, test.labels, probabilities, names, title),
    }
