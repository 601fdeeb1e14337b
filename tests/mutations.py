"""One-line bugs, each with the tests that must fail; see test_mutations.py."""

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class Mutation:
    """A bug.

    file: where, in the repository.
    bug: what it does, in a few words.
    old, new: what stands in one place of the file, and what takes its place.
    tests: pytest node ids, of tests of a few seconds; at least one of them must fail.
    """

    file: str
    bug: str
    old: str
    new: str
    tests: tuple

    @property
    def id(self):
        """Name of the parametrized test."""
        return re.sub(r"[^\w.+-]+", "-", f"{self.file.removeprefix('resnet/')}: {self.bug}")


LOOP = "tests/training/test_loop.py"
PARTS = "tests/training/test_parts.py"
METRICS = "tests/training/test_metrics.py"
PIPELINE = "tests/data/test_pipeline.py"
IMAGENET = "tests/data/test_imagenet.py"
MODEL = "tests/models/test_model.py"
ZOO = "tests/models/test_zoo.py"
GOLDENS = "tests/models/test_goldens.py"
FAMILIES = "tests/models/test_families.py"
SEQUENCE = "tests/reversible/test_sequence.py"
COUPLINGS = "tests/reversible/test_couplings.py"
CHECKPOINT = "tests/weights/test_checkpoint.py"
RUNS = "tests/commands/test_runs.py"

MUTATIONS = [
    Mutation(
        "resnet/models/parameters.py",
        "weight decay on gamma too",
        'return self.kind in ("conv", "dense")',
        'return self.kind in ("conv", "dense", "gamma")',
        ("tests/models/test_parameters.py::test_weight_decay_acts_on_weights_alone",),
    ),
    Mutation(
        "resnet/models/parameters.py",
        "uniform limit of variance 1 over fan in",
        "else 3 / self.shape[0]",
        "else 1 / self.shape[0]",
        ("tests/models/test_parameters.py::test_initial_values_have_their_variance",),
    ),
    Mutation(
        "resnet/models/parameters.py",
        "convolutions by fan in",
        "deviation = math.sqrt(2 / (height * width * fan_out))",
        "deviation = math.sqrt(2 / (height * width * fan_in))",
        ("tests/models/test_parameters.py::test_initial_values_have_their_variance",),
    ),
    Mutation(
        "resnet/models/parameters.py",
        "all tensors from one seed",
        "random_seed = [seed, zlib.crc32(name.encode())]",
        "random_seed = [seed, zlib.crc32(self.kind.encode())]",
        ("tests/models/test_parameters.py::test_tensors_of_equal_shape_begin_differently",),
    ),
    Mutation(
        "resnet/models/layers.py",
        "moving averages move by 99 hundredths",
        "(variable - statistic) * (1 - MOVING_AVERAGE_DECAY)",
        "(variable - statistic) * MOVING_AVERAGE_DECAY",
        (f"{MODEL}::test_moving_averages_move_once_and_by_a_hundredth",),
    ),
    Mutation(
        "resnet/models/layers.py",
        "variance of the sample rather than the population",
        "batch_variance * ((n - 1) / n)",
        "batch_variance",
        ("tests/models/test_layers_by_hand.py::test_batch_norm",),
    ),
    Mutation(
        "resnet/models/layers.py",
        "epsilon of batch norm",
        "BATCH_NORM_EPSILON = 1e-3",
        "BATCH_NORM_EPSILON = 1e-5",
        (f"{GOLDENS}::test_forward_pass_gradients_and_update[resnet-test-stored]",),
    ),
    Mutation(
        "resnet/models/layers.py",
        "dropout keeps the share that it is to drop",
        "x / (1 - rate), tf.zeros",
        "x / rate, tf.zeros",
        (f"{ZOO}::test_dropout_drops_its_share_in_training_alone",),
    ),
    Mutation(
        "resnet/models/residual.py",
        "dropout in evaluation too",
        "if self.dropout and training and i == 1:",
        "if self.dropout and i == 1 and seed is not None or self.dropout and i == 2:",
        ("tests/models/test_seeds.py",),
    ),
    Mutation(
        "resnet/models/residual.py",
        "the shortcut appends all channels at the end",
        'before = missing // 2 if self.kind == "pool" else 0',
        "before = 0",
        (f"{GOLDENS}::test_forward_pass_gradients_and_update[resnet-test-stored]",),
    ),
    Mutation(
        "resnet/models/network.py",
        "every stage draws the same dropout",
        "stage(params, x, training, seed_at(seed, s * STAGE_SEEDS))",
        "stage(params, x, training, seed)",
        ("tests/models/test_seeds.py",),
    ),
    Mutation(
        "resnet/models/network.py",
        "the memory budget is of one image",
        "(computation.memory_budget or 0) / images_at_once",
        "computation.memory_budget or 0",
        (f"{MODEL}::test_a_memory_budget_is_shared_by_the_images_at_once",),
    ),
    Mutation(
        "resnet/models/stages.py",
        "F and G draw the same dropout",
        "pure(self.residual, 2 * i + half)",
        "pure(self.residual, 2 * i)",
        ("tests/models/test_seeds.py",),
    ),
    Mutation(
        "resnet/models/model.py",
        "half of the weight decay",
        "gradients[name] += decay * value",
        "gradients[name] += decay / 2 * value",
        ("tests/models/test_parameters.py::test_weight_decay_acts_on_weights_alone",),
    ),
    Mutation(
        "resnet/models/model.py",
        "initial weights of seed 0 whatever was asked",
        "config.seed if seed is None else seed",
        "config.seed",
        (f"{MODEL}::test_initial_weights_depend_on_the_seed_alone",),
    ),
    Mutation(
        "resnet/models/cost.py",
        "a convolution costs as much behind its stride",
        "total += convolution.multiply_adds(side)",
        "total += convolution.multiply_adds(side) // convolution.stride",
        (f"{MODEL}::test_multiply_adds_of_a_published_model",),
    ),
    Mutation(
        "resnet/models/cost.py",
        "kept units do not wait",
        "            kept += stage.num_kept * _kept_unit_bytes(stage, side)",
        "            kept = stage.num_kept * _kept_unit_bytes(stage, side)",
        ("tests/models/test_cost.py",),
    ),
    Mutation(
        "resnet/models/families/revnet.py",
        "RevNets are not exact by themselves",
        'Computation(backprop="reversible", exact=True)',
        'Computation(backprop="reversible", exact=False)',
        (f"{FAMILIES}::test_defaults_are_the_familys_and_none_is_not_given",),
    ),
    Mutation(
        "resnet/models/residual_family.py",
        "the very first function begins with batch norm",
        "return place > 0, True, True",
        "return True, True, True",
        (f"{GOLDENS}::test_forward_pass_gradients_and_update[resnet-test-stored]",),
    ),
    Mutation(
        "resnet/reversible/gradients.py",
        "recomputation does not wait",
        "function, params, after(upstream, x), upstream",
        "function, params, x, upstream",
        ("tests/reversible/test_gradients.py",),
    ),
    Mutation(
        "resnet/reversible/additive.py",
        "the inverse of F does not wait for the weights' gradients of G",
        "x2, y1 = after((d1, dparams_g), (x2, y1))",
        "x2, y1 = (x2, y1)",
        (f"{SEQUENCE}::test_recomputation_waits_for_the_gradient",),
    ),
    Mutation(
        "resnet/reversible/additive.py",
        "sign of G's value in backward",
        "x2, d1 = y2 - self.round(g), d1 + dy1_of_g",
        "x2, d1 = y2 + self.round(g), d1 + dy1_of_g",
        (f"{SEQUENCE}::test_gradients_equal_finite_differences[reversible-False-False]",),
    ),
    Mutation(
        "resnet/reversible/additive.py",
        "a transition forgets the gradient through F",
        "return (dx1, dx2 + dx2_of_f), dparams",
        "return (dx1, dx2), dparams",
        (f"{SEQUENCE}::test_gradients_equal_finite_differences[reversible-True-False]",),
    ),
    Mutation(
        "resnet/reversible/affine.py",
        "the gradient of a scale is not multiplied by the input",
        "output_gradients=(dy * x, dy),",
        "output_gradients=(dy, dy),",
        (f"{COUPLINGS}::test_outputs_gradients_and_aux_are_those_of_stored_backprop",),
    ),
    Mutation(
        "resnet/reversible/affine.py",
        "the inverse multiplies",
        "x2 = (y2 - t) / a",
        "x2 = (y2 - t) * a",
        (f"{COUPLINGS}::test_inverse_restores_the_input",),
    ),
    Mutation(
        "resnet/reversible/repeated.py",
        "the inverse takes the parameters of the units from the first on",
        ".inverse(self._at(params, last - i), y)",
        ".inverse(self._at(params, i), y)",
        (f"{COUPLINGS}::test_inverse_restores_the_input",),
    ),
    Mutation(
        "resnet/reversible/sequence.py",
        "a kept unit is one too many",
        "cut = len(units) - min(num_kept, len(units))",
        "cut = len(units) - min(num_kept + 1, len(units))",
        (f"{SEQUENCE}::test_recomputation_waits_for_the_gradient",),
    ),
    Mutation(
        "resnet/reversible/exact.py",
        "a grid of half the step",
        "GRID_STEP = 2.0**-12",
        "GRID_STEP = 2.0**-13",
        (f"{SEQUENCE}::test_round_to_grid_is_on_the_grid_and_differentiates_as_the_identity",),
    ),
    Mutation(
        "resnet/reversible/exact.py",
        "an exact range twice as large",
        "EXACT_LIMIT = 2.0**11",
        "EXACT_LIMIT = 2.0**12",
        (f"{SEQUENCE}::test_count_past_exact_range",),
    ),
    Mutation(
        "resnet/reversible/checks.py",
        "angles in half degrees",
        "* (360 / math.pi)",
        "* (180 / math.pi)",
        ("tests/reversible/test_gradients.py::test_angles_between_vectors",),
    ),
    Mutation(
        "resnet/reversible/sequence_layer.py",
        "batch statistics of F go to G",
        "for layer, state in ((f, state_f), (g, state_g)):",
        "for layer, state in ((g, state_f), (f, state_g)):",
        ("tests/reversible/test_state.py",),
    ),
    Mutation(
        "resnet/training/steps.py",
        "every replica drops the same values",
        "part = tf.cast(replica, tf.int64) * self.num_passes * PART_SEEDS",
        "part = tf.cast(replica, tf.int64) * 0 * PART_SEEDS",
        (f"{PARTS}::test_every_step_pass_and_replica_has_a_seed_of_its_own",),
    ),
    Mutation(
        "resnet/training/steps.py",
        "replicas' seeds overlap with passes'",
        "part = tf.cast(replica, tf.int64) * self.num_passes * PART_SEEDS",
        "part = tf.cast(replica, tf.int64) * PART_SEEDS",
        (f"{PARTS}::test_every_step_pass_and_replica_has_a_seed_of_its_own",),
    ),
    Mutation(
        "resnet/training/steps.py",
        "counts are means over passes",
        "reduced[metric.name] *= self.strategy.num_replicas_in_sync * self.num_passes",
        "reduced[metric.name] *= self.strategy.num_replicas_in_sync",
        (f"{PARTS}::test_values_past_the_exact_range_are_counted_over_all_passes",),
    ),
    Mutation(
        "resnet/training/steps.py",
        "every pass drops the same values",
        "seed_at(seed, tf.cast(i, tf.int64) * PART_SEEDS)",
        "seed",
        (f"{ZOO}::test_every_step_pass_and_replica_drops_its_own_values",),
    ),
    Mutation(
        "resnet/training/steps.py",
        "several updates of a call at one rate",
        "self._train(*next(batches), learning_rates[i], step)",
        "self._train(*next(batches), learning_rates[0], step)",
        (f"{LOOP}::test_several_updates_a_call_are_the_same_ones",),
    ),
    Mutation(
        "resnet/training/steps.py",
        "the sum of passes rather than their mean",
        "tf.nest.map_structure(lambda x: x / count, total)",
        "total",
        (f"{PARTS}::test_passes_train_as_the_mean_of_their_parts",),
    ),
    Mutation(
        "resnet/training/metrics.py",
        "training accuracy by the smallest logit",
        'tf.argmax(result["logits"], 1, tf.int32)',
        'tf.argmin(result["logits"], 1, tf.int32)',
        (f"{METRICS}::test_training_accuracy_is_the_share_of_labels_with_the_largest_logit",),
    ),
    Mutation(
        "resnet/training/metrics.py",
        "a sum for a mean",
        "else self.scale * total / len(values)",
        "else self.scale * total",
        (f"{LOOP}::test_rows_are_means_over_their_own_steps",),
    ),
    Mutation(
        "resnet/training/reporting.py",
        "seconds are not times steps",
        "total + (step - last) * seconds",
        "total + seconds",
        (f"{METRICS}::test_seconds_are_those_of_a_step_without_pauses",),
    ),
    Mutation(
        "resnet/training/reporting.py",
        "seconds of all steps for those of one",
        'self.write("step_seconds", step, seconds / num_steps)',
        'self.write("step_seconds", step, seconds)',
        (f"{METRICS}::test_seconds_are_those_of_a_step_without_pauses",),
    ),
    Mutation(
        "resnet/training/reporting.py",
        "evaluations count as training",
        "self._window.started += time.perf_counter() - start",
        "self._window.started += 0",
        (f"{METRICS}::test_seconds_are_those_of_a_step_without_pauses",),
    ),
    Mutation(
        "resnet/training/reporting.py",
        "a loss that is not finite is off by a step",
        "for i, loss in enumerate(self._values[LOSS], 1):",
        "for i, loss in enumerate(self._values[LOSS]):",
        (f"{LOOP}::test_a_loss_that_is_not_finite_names_its_step_and_is_not_saved",),
    ),
    Mutation(
        "resnet/training/train.py",
        "the learning rate of the next step is logged",
        "rate = config.learning_rate(training.step - 1)",
        "rate = config.learning_rate(training.step)",
        (f"{LOOP}::test_the_learning_rate_that_is_logged_is_that_of_the_update",),
    ),
    Mutation(
        "resnet/training/train.py",
        "a loss is not looked at before it is saved",
        "        reporter.require_finite()\n        training.save()",
        "        training.save()",
        (f"{LOOP}::test_a_loss_that_is_not_finite_names_its_step_and_is_not_saved",),
    ),
    Mutation(
        "resnet/training/train.py",
        "hosts agree at every save alone",
        "1 if is_alone else AGREE_EVERY",
        "1 if is_alone else config.save_every",
        (f"{LOOP}::test_a_host_stops_when_another_one_was_asked_to",),
    ),
    Mutation(
        "resnet/training/train.py",
        "several updates go past an evaluation",
        "if step == last_step or any(hook.is_due(step, last_step) for hook in hooks):",
        "if step == last_step:",
        (f"{LOOP}::test_several_updates_a_call_are_the_same_ones",),
    ),
    Mutation(
        "resnet/training/state.py",
        "momentum of the config is ignored",
        "self.model.trainable_by_storage_name, config.momentum, config.nesterov",
        "self.model.trainable_by_storage_name, 0.9, config.nesterov",
        (f"{LOOP}::test_updates_are_those_of_the_configs_momentum",),
    ),
    Mutation(
        "resnet/training/state.py",
        "Nesterov's form is ignored",
        "self.model.trainable_by_storage_name, config.momentum, config.nesterov",
        "self.model.trainable_by_storage_name, config.momentum",
        (f"{LOOP}::test_updates_are_those_of_the_configs_momentum",),
    ),
    Mutation(
        "resnet/training/state.py",
        "every host takes the first one's images",
        "placement.hosts.index,\n        )",
        "0,\n        )",
        (f"{LOOP}::test_hosts_that_are_not_the_chief_write_nothing",),
    ),
    Mutation(
        "resnet/training/state.py",
        "every evaluation is the best",
        'accuracy <= best["accuracy"]',
        'accuracy < 0 * best["accuracy"]',
        (f"{LOOP}::test_the_best_is_replaced_by_a_better_one_alone",),
    ),
    Mutation(
        "resnet/training/state.py",
        "momentum is not restored",
        "restore_checkpoint(prefix, self.model, self.optimizer)",
        "restore_checkpoint(prefix, self.model)",
        (f"{LOOP}::test_a_restored_run_goes_on_where_it_was",),
    ),
    Mutation(
        "resnet/training/state.py",
        "a restored run sees the first images again",
        "first_step, share = self.step, self.share",
        "first_step, share = 0, self.share",
        (f"{LOOP}::test_a_restored_run_goes_on_where_it_was",),
    ),
    Mutation(
        "resnet/training/state.py",
        "every host writes checkpoints",
        "if not self.placement.hosts.is_chief:",
        "if False:",
        (f"{LOOP}::test_hosts_that_are_not_the_chief_write_nothing",),
    ),
    Mutation(
        "resnet/training/hosts.py",
        "hosts do not ask each other",
        "return bool(self._from_every_host([int(flag)]).any())",
        "return bool(flag)",
        (f"{PARTS}::test_one_host_that_is_asked_to_stop_is_enough",),
    ),
    Mutation(
        "resnet/training/hosts.py",
        "hosts may have different flags",
        '"options": _digest(experiment.options),',
        '"options": _digest(experiment.config),',
        (f"{PARTS}::test_hosts_must_agree_in_all_that_they_start_from",),
    ),
    Mutation(
        "resnet/training/evaluation.py",
        "six guesses for five",
        "(rank <= TOP) & is_image",
        "(rank <= TOP + 1) & is_image",
        ("tests/training/test_evaluation.py",),
    ),
    Mutation(
        "resnet/training/evaluation.py",
        "one image too many is evaluated",
        "tf.where(place < num_images, labels, PADDING_LABEL)",
        "tf.where(place <= num_images, labels, PADDING_LABEL)",
        (f"{LOOP}::test_the_first_images_are_evaluated_where_a_limit_is_given",),
    ),
    Mutation(
        "resnet/training/optimizer.py",
        "no momentum in Nesterov's form",
        "use_nesterov=self.nesterov",
        "use_nesterov=False",
        ("tests/training/test_steps.py::test_momentum_is_the_papers",),
    ),
    Mutation(
        "resnet/training/logs.py",
        "rows of a step that is done again stay",
        "int(row[0]) <= last_step",
        "int(row[0]) <= last_step + 1",
        ("tests/training/test_logs.py",),
    ),
    Mutation(
        "resnet/training/interrupts.py",
        "a second signal is swallowed",
        "            raise KeyboardInterrupt",
        "            return",
        ("tests/training/test_logs.py",),
    ),
    Mutation(
        "resnet/training/placement.py",
        "a worker beside a chief takes the chief's place",
        '(len(chief) if task["type"] == "worker" else 0)',
        "0",
        (f"{PARTS}::test_workers_are_counted_behind_the_chief",),
    ),
    Mutation(
        "resnet/training/experiment.py",
        "max_num_steps lengthens a training",
        "return min(self.config.num_steps, self.options.max_num_steps or self.config.num_steps)",
        "return self.options.max_num_steps or self.config.num_steps",
        (f"{LOOP}::test_a_run_ends_at_the_earlier_of_two_ends",),
    ),
    Mutation(
        "resnet/data/cifar/pipeline.py",
        "the same augmentation every step",
        "tf.stack([tf.cast(seed, tf.int64), step])",
        "tf.stack([tf.cast(seed, tf.int64), step * 0])",
        (f"{PIPELINE}::test_two_steps_draw_different_augmentations_and_one_step_the_same",),
    ),
    Mutation(
        "resnet/data/cifar/pipeline.py",
        "every epoch in the same order",
        "epoch, place = position // num_images, position % num_images",
        "epoch, place = position // num_images * 0, position % num_images",
        (f"{PIPELINE}::test_every_epoch_shows_every_image_once_in_a_new_order",),
    ),
    Mutation(
        "resnet/data/cifar/pipeline.py",
        "the last column is never the crop's first",
        "maxval=2 * padding + 1",
        "maxval=2 * padding",
        (f"{PIPELINE}::test_augmentation_is_a_crop_of_the_zero_padded_image_perhaps_flipped",),
    ),
    Mutation(
        "resnet/data/cifar/input.py",
        "trains on the images held out for validation",
        "functools.partial(training_batches, train, preparation, config.seed)",
        "functools.partial(training_batches, dataset.train, preparation, config.seed)",
        (f"{PIPELINE}::test_held_out_images_do_not_train_and_those_that_train_are_not_held_out",),
    ),
    Mutation(
        "resnet/data/cifar/input.py",
        "seed 0 whatever was asked",
        "functools.partial(training_batches, train, preparation, config.seed)",
        "functools.partial(training_batches, train, preparation, 0)",
        (f"{PIPELINE}::test_the_seed_of_the_config_decides_on_images_and_augmentation",),
    ),
    Mutation(
        "resnet/data/cifar/input.py",
        "mean image over held-out images too",
        "keep(lambda: mean_image(train))",
        "keep(lambda: mean_image(dataset.train))",
        (f"{PIPELINE}::test_the_mean_image_is_of_the_images_that_train",),
    ),
    Mutation(
        "resnet/data/cifar/preparation.py",
        "black pixels around prepared images too",
        "padding=2, pads_raw=False)",
        "padding=2)",
        ("tests/data/test_preparation.py::test_pixels_that_pad",),
    ),
    Mutation(
        "resnet/data/imagenet/input.py",
        "the same colours every batch",
        "tf.stack([seed[1], number])",
        "tf.stack([seed[1], number * 0])",
        (f"{IMAGENET}::test_draws_differ_between_steps_images_seeds_and_hosts",),
    ),
    Mutation(
        "resnet/data/imagenet/input.py",
        "the same box for every image",
        "image_seed = tf.stack([seed[0], position])",
        "image_seed = tf.stack([seed[0], position * 0])",
        (f"{IMAGENET}::test_boxes_differ_between_images_steps_epochs_and_seeds",),
    ),
    Mutation(
        "resnet/data/imagenet/input.py",
        "labels from 1",
        "return tf.cast(label - 1, tf.int32)",
        "return tf.cast(label, tf.int32)",
        (f"{IMAGENET}::test_evaluation_shows_every_image_once_and_fills_up",),
    ),
    Mutation(
        "resnet/data/imagenet/preprocessing.py",
        "contrast first in the wrong half",
        "is_first = draws[:, ORDER, None, None] < 0.5",
        "is_first = draws[:, ORDER, None, None] >= 0.5",
        (f"{IMAGENET}::test_colours_are_tensorflows_own_image_by_image",),
    ),
    Mutation(
        "resnet/data/imagenet/preprocessing.py",
        "red and blue of the mean colour exchanged",
        "MEAN = (123.68, 116.78, 103.94)",
        "MEAN = (103.94, 116.78, 123.68)",
        (f"{IMAGENET}::test_evaluation_takes_the_central_part",),
    ),
    Mutation(
        "resnet/weights/trained.py",
        "sign of the colour subtracted in exports",
        "return Preparation(-black * divisor, divisor, padding=0)",
        "return Preparation(black * divisor, divisor, padding=0)",
        ("tests/weights/test_trained.py::test_imagenets_preparation_is_the_trainings_own",),
    ),
    Mutation(
        "resnet/weights/export_formats.py",
        "offset and divisor exchanged",
        'arrays |= {"offset": preparation.offset, "divisor": preparation.divisor}',
        'arrays |= {"offset": preparation.divisor, "divisor": preparation.offset}',
        ("tests/weights/test_export_formats.py::test_arrays_are_the_weights_and_the_preparation",),
    ),
    Mutation(
        "resnet/weights/export_formats.py",
        "Keras' offset and divisor exchanged",
        "(layer.offset, preparation.offset),",
        "(layer.offset, preparation.divisor),",
        ("tests/weights/test_export_formats.py::test_predictions_are_the_models[keras]",),
    ),
    Mutation(
        "resnet/weights/checkpoint.py",
        "an index without its data counts",
        "if match and (path.with_name(path.name.removesuffix(INDEX) + DATA)).exists():",
        "if match:",
        (f"{CHECKPOINT}::test_an_index_without_its_data_is_no_checkpoint",),
    ),
    Mutation(
        "resnet/weights/checkpoint.py",
        "checkpoints in the order of their names",
        "return dict(sorted(found.items()))",
        "return dict(sorted(found.items(), key=lambda item: str(item[0])))",
        (f"{CHECKPOINT}::test_an_index_without_its_data_is_no_checkpoint",),
    ),
    Mutation(
        "resnet/configs/zoo_configs.py",
        "a boundary of resnext-29 is moved",
        "boundaries=(58_650, 87_975)",
        "boundaries=(58_650, 88_975)",
        ("tests/configs/test_recipes.py",),
    ),
    Mutation(
        "resnet/configs/zoo_configs.py",
        "WRNs without Nesterov",
        "nesterov=True",
        "nesterov=False",
        ("tests/configs/test_recipes.py",),
    ),
    Mutation(
        "resnet/settings.py",
        "a learning rate holds a step too long",
        "sum(step >= b for b in self.boundaries)",
        "sum(step > b for b in self.boundaries)",
        ("tests/configs/test_recipes.py",),
    ),
    Mutation(
        "resnet/settings.py",
        "a number may be what it must stay below",
        "(below is None or value < below)",
        "(below is None or value <= below)",
        ("tests/configs/test_config.py::test_validation",),
    ),
    Mutation(
        "resnet/sizes.py",
        "a GB of a million bytes",
        '"GB": 10**9',
        '"GB": 10**6',
        ("tests/test_sizes.py",),
    ),
    Mutation(
        "resnet/files.py",
        "copies instead of renaming",
        "        os.replace(temporary, path)",
        "        shutil.copy(temporary, path)",
        ("tests/test_files.py",),
    ),
    Mutation(
        "resnet/commands/experiments/plan.py",
        "flags given to the runner are dropped",
        "self._results, self._defaults = results, DEFAULTS | defaults",
        "self._results, self._defaults = results, dict(DEFAULTS)",
        (f"{RUNS}::test_flags_hold_for_what_the_file_does_not_say",),
    ),
    Mutation(
        "resnet/commands/experiments/runs.py",
        "signals are not handed on",
        "process.send_signal(signal.SIGTERM)",
        "process.poll()",
        (f"{RUNS}::test_a_signal_is_handed_on_to_the_running_training",),
    ),
    Mutation(
        "resnet/commands/plot/trained.py",
        "an untrained model is plotted",
        "step = restore_trained(experiment, model, best)",
        "step = restore_trained(experiment, get_model(config), best)",
        ("tests/test_plot.py::test_pictures_of_a_run",),
    ),
    Mutation(
        "resnet/commands/plot/predictions.py",
        "the confusion matrix transposed",
        "tf.math.confusion_matrix(labels, predicted, num_classes)",
        "tf.math.confusion_matrix(predicted, labels, num_classes)",
        ("tests/test_plot.py::test_a_confusion_matrix_counts_true_by_predicted",),
    ),
]
