"""What a training script does: flags -> config -> data -> train_and_evaluate."""

import dataclasses
import pathlib
import tempfile
from collections.abc import Callable

from absl import flags

from resnet.commands import flags as training_flags
from resnet.commands.summary import summary
from resnet.errors import UsageError
from resnet.training.experiment import Experiment, load_experiment, new_folders, new_id
from resnet.training.hosts import naming_lost_hosts
from resnet.training.placement import Hosts, find_hosts, place
from resnet.training.train import evaluate_trained, train_and_evaluate

FLAGS = flags.FLAGS
SMOKE_TEST_STEPS = 2


@dataclasses.dataclass(frozen=True)
class Task:
    """What one training script differs in from another.

    default_model: name of a config.
    num_classes: {data set: number of classes, or None: the config's own}.
    preprocessors: the config's choices that go with its data.
    load: (experiment) -> the data; raises before training starts if it does not fit.
    make_feed: (data, experiment, is_chief) -> data.feed.Feed, once the experiment is saved.
    finish: ({name: Accuracy}, experiment), the script's last words.
    sample: (data) -> a small part of it.
    all_gpus: whether --num_gpu defaults to all GPUs rather than one.
    """

    default_model: str
    num_classes: dict
    preprocessors: tuple
    load: Callable
    make_feed: Callable
    finish: Callable
    sample: Callable
    all_gpus: bool = False


def run_training(task):
    """Trains, or with --dry_run says what would be trained."""
    hosts = find_hosts()
    _require_consistent_flags()
    experiment = _restored(task) if FLAGS.restore else _new(task, hosts)
    resume = training_flags.resume_command(experiment)
    with naming_lost_hosts(hosts, experiment.results, resume):
        _run(task, experiment, Hosts() if FLAGS.dry_run else hosts, resume)


def _run(task, experiment, hosts, resume):
    config, options = experiment.config, experiment.options
    placement = place(options.num_gpu, options.logical_cpus, task.all_gpus, hosts)
    replicas = "GPUs" if placement.uses_gpu else "replicas"
    shares = {"hosts": len(placement.hosts), replicas: len(placement.devices)}
    training_flags.require_division(config, options, shares)
    if task.all_gpus and not placement.uses_gpu:
        print("no GPU is visible or asked for: training on the CPU", flush=True)
    jit = training_flags.resolve_jit(options.jit, placement)
    print(f"experiment {experiment.id}", flush=True)
    if FLAGS.dry_run:
        print(summary(experiment, placement))
        return
    data = task.load(experiment)
    if FLAGS.smoke_test:
        _smoke_test(task, experiment, task.sample(data), placement, jit)
        return
    if _only_evaluates():
        feed = task.make_feed(data, experiment, hosts.is_chief)
        task.finish(evaluate_trained(experiment, feed, placement, FLAGS.best), experiment)
        return
    print(summary(experiment, placement), flush=True)
    if hosts.is_chief:
        experiment.save()
    results = train_and_evaluate(
        experiment,
        task.make_feed(data, experiment, hosts.is_chief),
        placement,
        jit,
        training_flags.command_line(),
        resume,
    )
    task.finish(results, experiment)


def _require_consistent_flags():
    """Checks flags that go with others.

    Raises:
      UsageError: one is without its other, or beside one that excludes it.
    """
    if "best" in FLAGS and FLAGS.best and not FLAGS.eval_only:
        raise UsageError("--best says what --eval_only evaluates: give both, or leave it out")
    if _only_evaluates() and not FLAGS.restore:
        raise UsageError("--eval_only needs --restore and --id: the experiment to evaluate")
    if FLAGS.restore and FLAGS.smoke_test:
        raise UsageError("--smoke_test tries new experiments: leave it or --restore out")


def _only_evaluates():
    """Whether --eval_only is there and given."""
    return "eval_only" in FLAGS and FLAGS.eval_only


def _smoke_test(task, experiment, data, placement, jit):
    """Trains and evaluates on a few images, in a folder that is then removed."""
    num_images = 2 * placement.num_replicas * experiment.options.num_pass
    source = experiment.options.init_from
    if source:  # an absolute path stays one beside any experiment
        source = str((experiment.results.parent / source).resolve())
    with tempfile.TemporaryDirectory() as folder:
        results, logs = (pathlib.Path(folder) / name for name in ("results", "logs"))
        small = dataclasses.replace(
            experiment,
            config=dataclasses.replace(
                experiment.config, batch_size=num_images, evaluation_batch_size=num_images
            ),
            options=dataclasses.replace(
                experiment.options, max_num_steps=SMOKE_TEST_STEPS, init_from=source
            ),
            results=results / experiment.id,
            logs=logs,
        )
        small.save()
        feed = task.make_feed(data, small, is_chief=True)
        command = training_flags.command_line()
        train_and_evaluate(small, feed, placement, jit, command, command)
    print(f"smoke test passed: {experiment.config.name}", flush=True)


def _new(task, hosts):
    config, run = training_flags.resolve_config(task.default_model, task.num_classes)
    training_flags.require_preprocessor(config, task.preprocessors, task.default_model)
    options = training_flags.resolve_options(config, run)
    if len(hosts) > 1 and not FLAGS.id:
        raise UsageError(f"--id is needed with {len(hosts)} hosts: the same one on each of them")
    experiment_id = FLAGS.id or new_id(options.dataset, config.name)
    if not hosts.is_chief or FLAGS.dry_run:
        folders = [pathlib.Path(root) / experiment_id for root in (FLAGS.results, FLAGS.logs)]
    else:
        folders = new_folders(experiment_id, (FLAGS.results, FLAGS.logs))
    experiment = Experiment(experiment_id, config, options, *folders)
    experiment.init_checkpoint()  # raises before anything is saved
    return experiment


def _restored(task):
    if not FLAGS.id:
        raise UsageError("--restore needs --id: the experiment to continue")
    experiment = load_experiment(FLAGS.id, FLAGS.results, FLAGS.logs)
    if experiment.options.dataset not in task.num_classes:
        raise UsageError(
            f"experiment {experiment.id!r} trains on {experiment.options.dataset}, but this script "
            f"on {', '.join(task.num_classes)}: continue it with the script that began it"
        )
    return training_flags.restored_options(experiment)
