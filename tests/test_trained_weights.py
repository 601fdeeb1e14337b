"""Trained weights: folders that one argument loads, and what is said of those that do not fit."""

import dataclasses
import hashlib
import json
import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import resnet
from images import SYNSETS, claiming, make_tree
from processes import error_of, run_quickly, write_config
from resnet import pretrained
from resnet.commands import weights as weights_command
from resnet.commands.experiments.plan import read_plan
from resnet.commands.publish import chosen_by
from resnet.data.cifar.input import load_dataset
from resnet.data.cifar.records import write_records
from resnet.data.dataset import Dataset, Split
from resnet.data.feed import Feed
from resnet.data.registry import CIFAR
from resnet.errors import UsageError
from resnet.models.keras_model import Classifier
from resnet.pixels import Scaling
from resnet.pretrained.card import OWN, card
from resnet.settings import RunOptions, SettingError
from resnet.training.experiment import Experiment
from resnet.training.placement import Placement
from resnet.training.state import Training
from resnet.weights.checkpoint_format import read_checkpoint

TRAIN = "run_cifar_train.py"
STEPS = 30
NOTE = "A few steps, for tests."
LARGEST = 2_000_000  # bytes of a file that comes with the package
SHIPPED = {str(one): one for one in pretrained.list_pretrained()}
PIXELS = np.random.default_rng(0).integers(0, 256, [3, 32, 32, 3], np.uint8)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """A folder with a tiny network's training, some steps of it, and what was published of it."""
    folder = tmp_path_factory.mktemp("published")
    config = write_config(folder, ema_decay=0.5, preprocessor="cifar-standard")
    places = [f"--results={folder}/results", f"--logs={folder}/logs"]
    arguments = ["--dataset=synthetic", "--id=a", f"--config={config}", f"--max_num_steps={STEPS}"]
    assert run_quickly(TRAIN, *places, *arguments).returncode == 0
    output = f"--output={folder}/shelf/revnet-38_synthetic"
    done = run_quickly("publish", *places, "--id=a", output, f"--note={NOTE}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def published(experiment, tmp_path):
    """A copy of the published folder."""
    return shutil.copytree(experiment / "shelf/revnet-38_synthetic", tmp_path / "weights")


@pytest.fixture
def shelf(experiment, monkeypatch):
    """The package's own shelf is that of the experiment."""
    monkeypatch.setattr(pretrained, "SHELF", experiment / "shelf")


def change_facts(folder, **changes):
    path = folder / pretrained.FACTS
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_published(experiment, published):
    checkpoint = read_checkpoint(experiment / "results/a/model.ckpt-30")
    facts = json.loads((published / pretrained.FACTS).read_text())
    with np.load(published / pretrained.WEIGHTS, allow_pickle=False) as file:
        arrays = dict(file)
    for name in ("offset", "divisor"):
        assert arrays.pop(name).shape == (3,)
    for name, value in arrays.items():  # averaged weights, and moving averages
        wanted = checkpoint.get(f"Model/{name}/ExponentialMovingAverage", checkpoint[name])
        np.testing.assert_array_equal(value, wanted.astype(value.dtype), err_msg=name)
        assert value.dtype == (facts["stored_as"] if value.ndim > 1 else np.float32), name
    content = (published / pretrained.WEIGHTS).read_bytes()
    assert facts["bytes"] == len(content)
    assert facts["sha256"] == hashlib.sha256(content).hexdigest()
    assert facts["step"] == STEPS and facts["config"]["units"] == [2, 2]
    assert facts["commands"][0].endswith("--max_num_steps=30") and facts["training_seconds"] > 0
    counts = np.array([row.split() for row in facts["confusion"]], int)
    assert counts.sum() == facts["accuracy"]["num_images"] == 2_000
    assert 100 * counts.trace() / 2_000 == pytest.approx(facts["accuracy"]["top1"])
    again = run_quickly(
        "publish", f"--results={experiment}/results", "--id=a", f"--output={published}"
    )
    assert "exists: give another --output" in error_of(again)


def test_a_record_without_times_is_not_published(experiment, tmp_path):
    shutil.copytree(experiment / "results", tmp_path / "results")
    path = tmp_path / "results/a/result.json"
    record = json.loads(path.read_text())
    del record["evaluation_seconds"]
    path.write_text(json.dumps(record))
    done = run_quickly("publish", f"--results={tmp_path}/results", "--id=a")
    assert "result.json has no evaluation_seconds: continue it with --restore" in error_of(done)


@pytest.mark.parametrize(
    ("name", "image_size", "said"),
    [
        ("revnet-38", 32, "model:             revnet-38, basic units 2-2"),
        ("my-net", 32, "model:             my-net, basic units 2-2"),
        ("revnet-38", 64, "revnet-38 takes 64x64 images, but synthetic has 32x32 ones"),
    ],
)
def test_a_training_from_a_folders_weights_is_of_their_network(
    published, tmp_path, name, image_size, said
):
    config = json.loads((published / pretrained.FACTS).read_text())["config"]
    config |= {"name": name, "image_size": image_size}
    change_facts(published, model=name, config=config)
    start = [f"--init_from=pretrained:{name}:{published}", "--dataset=synthetic"]
    done = run_quickly(TRAIN, *start, "--dry_run", f"--results={tmp_path}/results")
    assert said in (done.stdout if image_size == 32 else error_of(done))
    file = tmp_path / "tuned.yaml"
    file.write_text(f"- {{name: tuned, {start[0][2:].replace('=', ': ', 1)}, dataset: synthetic}}")
    runs, problems, _ = read_plan(file, tmp_path / "results", {})
    if image_size == 32:
        assert not problems and (runs[0].config.name, runs[0].config.units) == (name, (2, 2))
        assert runs[0].config.num_steps == resnet.get_config("revnet-38").num_steps
    else:
        assert said in problems[0]


def test_accuracies_are_the_models(published):
    """Of test images that are prepared and counted here, in NumPy."""
    model = resnet.get_model("revnet-38", weights=published)
    accuracy = json.loads((published / pretrained.FACTS).read_text())["accuracy"]
    test = load_dataset("synthetic", None).test
    mean, deviation = (255 * np.array(x) for x in CIFAR["synthetic"].channels)
    images = ((test.images - mean) / deviation).astype(np.float32)
    np.testing.assert_allclose(model.prepare(test.images[:9]), images[:9], rtol=1e-5, atol=1e-6)
    classify = tf.function(model)
    plain, mirrored = classify(images).numpy(), classify(images[:, :, ::-1]).numpy()
    for logits, name in ((plain, "top1"), (plain + mirrored, "flipped_top1")):
        hits = (logits.argmax(axis=1) == test.labels).sum()
        assert abs(20 * accuracy[name] - hits) <= 1, name  # a tie may go either way
    assert len(set(plain.argmax(axis=1))) > 1  # it does not answer one class always


def test_pixels_in_every_form(published):
    model = resnet.get_model("revnet-38", weights=published, dtype="bfloat16")
    assert model.computation.dtype == "bfloat16" and model.config.units == (2, 2)
    wanted = model.prepare(PIXELS)
    assert wanted.dtype == tf.float32 and wanted.shape == (3, 32, 32, 3)
    for images in (PIXELS.astype(np.float32), tf.constant(PIXELS), PIXELS.astype(np.float64)):
        np.testing.assert_array_equal(model.prepare(images), wanted)
    np.testing.assert_array_equal(model.prepare(PIXELS[0]), wanted[:1])
    with pytest.raises(UsageError, match=r"shape \(32, 32\), .*: put three channels last"):
        model.prepare(PIXELS[0, :, :, 0])
    with pytest.raises(UsageError, match="only trained weights say"):
        resnet.get_model("resnet-32").prepare(PIXELS)
    other = np.zeros([1, 48, 48, 3], np.uint8)
    assert model.prepare(other).shape == other.shape  # of channels alone
    model.scaling = Scaling(np.zeros([32, 32, 3], np.float32), 1.0)
    assert model.prepare(PIXELS).shape == PIXELS.shape
    with pytest.raises(UsageError, match=r"\(1, 48, 48, 3\), but .* mean image of 32 x 32 pixels"):
        model.prepare(other)


def test_the_number_of_classes_follows(shelf, published, monkeypatch):
    model = resnet.get_model("revnet-38", weights="synthetic")
    assert model.config.num_classes == len(model.label_names) == 10
    config = dataclasses.replace(model.config, num_classes=7, preprocessor="cifar", units=(2, 2))
    assert resnet.get_model(config, weights="synthetic").config.num_classes == 10
    with pytest.raises(UsageError, match=r"units is \(1, 2\), but was \(2, 2\)"):
        resnet.get_model(dataclasses.replace(config, units=(1, 2)), weights="synthetic")


def test_a_config_of_ones_own_keeps_its_recipe(published):
    trained = resnet.get_model("revnet-38", weights=published).config
    own = dataclasses.replace(trained, weight_decay=0.5, label_smoothing=0.3)
    config = resnet.get_model(own, weights=published).config
    assert (config.weight_decay, config.label_smoothing) == (0.5, 0.3)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own
def test_a_keras_layer_takes_them_too(published, tmp_path):
    model = resnet.get_model("revnet-38", weights=published)
    wanted = model(model.prepare(PIXELS))
    plain = Classifier("revnet-38", weights=published)
    assert (
        plain.label_names
        == model.label_names
        == Classifier.from_config(plain.get_config()).label_names
    )
    np.testing.assert_array_equal(plain(plain.prepare(PIXELS)), wanted)
    keras.Sequential([keras.Input([32, 32, 3]), plain]).save(tmp_path / "plain.keras")
    loaded = keras.saving.load_model(tmp_path / "plain.keras").layers[-1]
    np.testing.assert_array_equal(loaded.prepare(PIXELS), plain.prepare(PIXELS))
    whole = keras.Sequential(
        [keras.Input([32, 32, 3]), Classifier("revnet-38", weights=published, prepares=True)]
    )
    whole.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one in (whole, loaded):
        np.testing.assert_allclose(one(PIXELS.astype(np.float32)), wanted, rtol=1e-5, atol=1e-5)


def test_a_new_last_layer_for_other_classes_and_features(published):
    wanted = resnet.get_model("revnet-38", weights=published)
    model = resnet.get_model("revnet-38", weights=published, num_classes=3)
    assert model.config.num_classes == 3 and model.label_names is None
    initial = resnet.get_model(model.config).get_weights()
    for name, value in model.get_weights().items():
        source = initial if "logit" in name else wanted.get_weights()
        np.testing.assert_array_equal(value, source[name], err_msg=name)
    features = Classifier("revnet-38", weights=published, include_top=False)
    images = features.prepare(PIXELS)
    maps = features(images).numpy()
    w, b = (wanted.get_weights()[f"Model/logit/{name}"] for name in "wb")
    np.testing.assert_allclose(maps.mean(axis=(1, 2)) @ w + b, wanted(images), atol=1e-4)


def test_weights_that_are_not_there(shelf, published):
    for config, weights, message in (
        ("revnet-38", "imagenet", "there are no weights of 'revnet-38' for 'imagenet': there are "
         "those of revnet-38 for synthetic"),
        ("resnet-32", "synthetic", "there are no weights of 'resnet-32' for 'synthetic'"),
        ("revnet-38", published.parent, "no weights in .*: give a folder with weights.npz"),
        ("revnet-38", "./nowhere", "no weights in 'nowhere'"),
        ("resnet-32", published, "are of 'revnet-38', not of 'resnet-32'"),
        ("revnet38", "synthetic", "unknown model 'revnet38': did you mean 'revnet-38'"),
        ("revnet-38", "syntetic", "for 'syntetic': did you mean 'synthetic'. there are those of"),
        ("revnet-38", True, "weights is True, but must be the name of a data set"),
        ("revnet-38", 3, "weights is 3, but must be"),
        (None, "synthetic", "unknown model None: choose one of"),
        (None, None, "unknown model None: choose one of"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            resnet.get_model(config, weights=weights)
        with pytest.raises(UsageError, match=message):
            Classifier(config, weights=weights)


def pack_bomb(path):
    """Zeros, which take a thousandth of their size."""
    np.savez_compressed(path, offset=np.zeros(130_000), divisor=np.ones(3))


def test_damaged_files(published, monkeypatch):
    monkeypatch.setattr(pretrained, "LARGEST_BYTES", 1_000_000)

    def expect(message):
        with pytest.raises(pretrained.WeightsError, match=message):
            resnet.get_model("revnet-38", weights=published)

    path = published / pretrained.WEIGHTS
    content = path.read_bytes()
    for damaged in (content[:-1], b"", bytes([content[0] ^ 1]) + content[1:]):
        path.write_bytes(damaged)
        expect("is damaged: its SHA-256 is .*, but facts.json says .* publish the weights again")
    path.unlink()
    expect("cannot be read")
    for bad in (b"no archive", content[:100]):
        path.write_bytes(bad)
        change_facts(published, sha256=hashlib.sha256(bad).hexdigest())
        expect("holds no weights")
    np.savez(path, offset=np.array([print]), divisor=np.ones(3))
    change_facts(published, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    expect("holds no weights .*allow_pickle=False")
    for made_up, message in {
        lambda: np.savez(path, offset=np.ones(3, complex), divisor=np.ones(3)): "offset holds no",
        lambda: np.savez(path, offset=np.array("x"), divisor=np.ones(3)): "offset holds no",
        lambda: path.write_bytes(b"PK\5\6" + bytes(18)): "holds no weights",
        lambda: pack_bomb(path): "would take 1[0-9,]+ bytes, more than 1,000,000",
    }.items():
        made_up()
        change_facts(published, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        expect(message)
    change_facts(published, label_names=["a", "b"])
    expect("facts.json is damaged: it names 2 of 10 classes")
    (published / pretrained.FACTS).write_text("{}")
    expect("lacks config, dataset, label_names, model, sha256: is it damaged")
    (published / pretrained.FACTS).write_text('{"model": "revn')
    expect("facts.json is damaged: .* line 1")


def test_weights_of_another_shape_are_refused(published):
    config = json.loads((published / pretrained.FACTS).read_text())["config"]
    change_facts(published, config=config | {"filters": [4, 16]})
    with pytest.raises(UsageError, match="the weights do not fit revnet-38"):
        resnet.get_model("revnet-38", weights=published)


def test_training_starts_from_them(shelf, published, tmp_path):
    weights = resnet.get_model("revnet-38", weights="synthetic").get_weights()
    config = dataclasses.replace(pretrained.find_pretrained("revnet-38", "synthetic").config)
    options = RunOptions(
        dataset="synthetic", init_from="pretrained:revnet-38:synthetic", backprop="reversible"
    )
    experiment = Experiment(
        "b", dataclasses.replace(config, num_classes=7), options, tmp_path / "b", tmp_path / "logs"
    )
    placement = Placement(tf.distribute.get_strategy(), ("/cpu:0",))
    training = Training(experiment, Feed(None, {}), placement)
    assert training.step == 0
    for name, value in training.model.get_weights().items():
        if "logit" not in name:
            np.testing.assert_array_equal(value, weights[name], err_msg=name)
    for reference, message in {
        "pretrained:revnet-38": "revnet-38:cifar-10, or pretrained:MODEL:FOLDER, such as",
        "pretrained:revnet-38:cifar-11": "there are no weights of 'revnet-38' for 'cifar-11'",
    }.items():
        run = dataclasses.replace(options, init_from=reference)
        with pytest.raises(SettingError, match=message):
            dataclasses.replace(experiment, options=run).init_source()


def test_a_card_for_many_classes_names_the_most_frequent_mistakes(published):
    facts = json.loads((published / pretrained.FACTS).read_text())
    written = (published / pretrained.CARD).read_text()
    place = "./revnet-38_synthetic"  # what it says to run is what works
    assert card(facts, place) == written and f'weights="{place}"' in written
    assert "|  | disc | ring |" in card(facts)
    assert "| started from | random weights |" in written and OWN in written
    assert f"```\n\n{NOTE}\n\n## What it takes" in written
    assert card({**facts, "note": ""}, place) == written.replace(f"{NOTE}\n\n", "")
    assert OWN not in card(facts) and "licence, MIT" in card(facts)
    own = card(facts | {"dataset": "folder"}, place)
    assert "# revnet-38 for own images\n" in own and "images of its training" in own
    tuned = facts | {"run": facts["run"] | {"init_from": "pretrained:revnet-38:cifar-10"}}
    assert "| started from | `pretrained:revnet-38:cifar-10` |" in card(tuned)
    run = RunOptions(dataset="cifar-10", eval_images=50)
    assert chosen_by(run, 51).endswith("on the first 50 of these test images")
    assert chosen_by(run, 50).endswith("on these test images")
    run = RunOptions(dataset="cifar-10", validation=True)
    best = {"chosen": chosen_by(run, 50), "last_step": 300}
    chosen = card(facts | best | {"training_seconds": 10.0})
    assert f"| chosen | {best['chosen']}, of 300 steps |" in chosen and "chosen" not in written
    assert f"0:00:10, {300 * facts['config']['batch_size'] / 10:,.0f} images/s" in chosen
    assert "| time |" not in card(facts | {"training_seconds": 0.0})  # of an imported network
    names = [f"class {i}" for i in range(30)]
    counts = np.eye(30, dtype=int) * 90
    counts[3, 4], counts[8, 1] = 7, 10
    rows = [" ".join(map(str, row)) for row in counts]
    few = card(facts | {"label_names": names[:5], "confusion": ["1 " * 5] * 5})
    assert "| top-1 | top-5 |" in card(facts) and "top-5" not in few
    text = card(facts | {"label_names": names, "confusion": rows})
    first, second = re.findall(r"\| class \d+ \| class \d+ \|.*", text)[:2]
    assert first == "| class 8 | class 1 | 10 | 100 |"
    assert second == "| class 3 | class 4 | 7 | 97 |"


def test_images_are_named(experiment, tmp_path, published):
    from PIL import Image

    model = resnet.get_model("revnet-38", weights=published)
    Image.fromarray(PIXELS[0]).save(tmp_path / "small.png")
    (tmp_path / "no.jpg").write_text("no image")
    (tmp_path / "bomb.png").write_bytes(claiming("PNG", 20_000, 20_000))
    done = run_quickly(
        "predict",
        *(tmp_path / name for name in ("no.jpg", "small.png", "gone.jpg", "bomb.png")),
        "--model=revnet-38",
        f"--weights={published}",
        "--top=2",
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: '{tmp_path}/no.jpg' is no image in a known format, such as JPEG or PNG",
        f"error: no image '{tmp_path}/gone.jpg': give the path of a file",
        f"error: image '{tmp_path}/bomb.png' is too large: Image size (400000000 pixels) exceeds "
        "limit of 178956970 pixels, could be decompression bomb DOS attack. "
        "Shrink it to 178,956,970 pixels at most",
    ]
    probabilities = tf.nn.softmax(model(model.prepare(PIXELS[0]))[0]).numpy()
    best = probabilities.argsort()[::-1][:2]
    lines = [f"  {100 * probabilities[i]:6.2f} %  {model.label_names[i]}" for i in best]
    assert done.stdout.splitlines() == [f"{tmp_path}/small.png", *lines]
    unknown = run_quickly("predict", tmp_path / "small.png", "--weights=cifar-11")
    assert "there are no weights of 'revnet-38' for 'cifar-11'" in error_of(unknown)
    both = run_quickly("predict", tmp_path / "small.png", "--id=own", "--weights=cifar-10")
    assert "--weights does not go with --id" in error_of(both)
    best = run_quickly("predict", tmp_path / "small.png", "--best")
    assert "--best does not go with trained weights" in error_of(best)


def test_they_are_exported(published, tmp_path):
    """A folder's as a SavedModel; what comes with the package as arrays, under its own name."""
    line = ["export", "--model=revnet-38", "--preprocessing"]
    own = run_quickly("export", "--preprocessing", f"--weights={published}", folder=tmp_path)
    assert own.stdout == (f"exports/revnet-38_synthetic: revnet-38 with weights {published}\n"), (
        own.stderr
    )
    done = run_quickly(*line, "--weights=cifar-10", "--format=npz", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    model = resnet.get_model("revnet-38", weights=published)
    wanted = model(model.prepare(PIXELS))
    loaded = tf.saved_model.load(str(tmp_path / "exports/revnet-38_synthetic"))
    for name, dtype in {"serving_default": tf.float32, "uint8": tf.uint8}.items():
        got = loaded.signatures[name](images=tf.constant(PIXELS, dtype))["logits"]
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
    names = loaded.signatures["label_names"]()["label_names"].numpy()
    assert tuple(name.decode() for name in names) == model.label_names
    stored = SHIPPED["revnet-38:cifar-10"].read()
    with np.load(tmp_path / "exports/revnet-38_cifar-10.npz") as file:
        arrays = dict(file)
    assert tuple(arrays.pop("label_names")) == SHIPPED["revnet-38:cifar-10"].label_names
    wanted = stored.weights | {"offset": stored.offset, "divisor": stored.divisor}
    assert arrays.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(arrays[name], value, err_msg=name)


def test_they_are_evaluated(published, tmp_path):
    line = ["evaluate", f"--weights={published}", "--test_time_flip"]
    facts = json.loads((published / pretrained.FACTS).read_text())
    plain, flipped = (f"{facts['accuracy'][name]:.3f}" for name in ("top1", "flipped_top1"))
    done = run_quickly(*line)
    assert done.stdout.splitlines() == [
        f"With mirror images, test accuracy = {flipped}",
        f"Final test accuracy = {plain}",
    ], done.stderr
    test = load_dataset("synthetic", None).test
    model = resnet.get_model("revnet-38", weights=published)
    taken = tf.argmax(model(model.prepare(test.images[:50])), axis=1)
    hits = (taken.numpy() == test.labels[:50]).sum()
    few = run_quickly(*line, "--notest_time_flip", "--eval_images=50")
    assert few.stdout == f"Final test accuracy = {2 * hits:.3f} (of the first 50 images)\n"
    for flag in ("--ckpt_num=3", "--follow", "--data_dir=x", "--results=x", "--logs=x"):
        error = error_of(run_quickly(*line, flag))
        assert f"{flag.split('=')[0]} does not go with trained weights: leave it out" in error
    split = Split(PIXELS, np.zeros(len(PIXELS), np.int64))
    names = pretrained.find_pretrained("revnet-38", published).label_names
    write_records(Dataset("cifar-10", names, split, split), tmp_path / "data/cifar-10")
    change_facts(published, dataset="cifar-10")  # whose reading starts TensorFlow's devices
    done = run_quickly(*line, f"--data_folder={tmp_path}/data", "--logical_cpus=2")
    assert "Final test accuracy = " in done.stdout, done.stderr
    make_tree(tmp_path / "own")
    change_facts(published, dataset="folder")
    other = error_of(run_quickly(*line, f"--data_folder={tmp_path}/own"))
    assert f"are of the classes {SYNSETS}, but the weights tell apart ('disc', 'ring'" in other


def test_an_export_computes_in_the_type_asked_for(experiment, published, tmp_path):
    model = resnet.get_model("revnet-38", weights=published)
    wanted = model(model.prepare(PIXELS))
    sources = {
        "run": [f"--results={experiment}/results", "--id=a"],
        "weights": ["--model=revnet-38", f"--weights={published}"],
    }
    for name, source in sources.items():
        line = ["export", "--preprocessing", "--dtype=bfloat16", f"--output={tmp_path}/of_{name}"]
        done = run_quickly(*line, *source)
        assert done.returncode == 0, done.stderr
        loaded = tf.saved_model.load(str(tmp_path / f"of_{name}")).signatures["serving_default"]
        got = loaded(images=tf.constant(PIXELS, tf.float32))["logits"]
        assert 1e-4 < np.abs(got - wanted).max() < 1


@pytest.mark.parametrize("command", ["export", "evaluate"])
def test_what_is_taken_is_named_in_one_way(command):
    for line, message in {
        (): f"either --id is needed, the experiment to {command}",
        ("--weights=cifar-10",): "--weights FOLDER, or both --model and --weights",
        ("--id=a", "--model=revnet-38", "--weights=cifar-10"): "either --id is needed",
        ("--best", "--model=revnet-38", "--weights=cifar-10"): "perhaps with --best, or trained",
        ("--id=pretrained:revnet-38:cifar-10",): "give trained weights as --model and --weights",
        ("--model=revnet-38", "--weights=cifar-11"): "no weights of 'revnet-38' for 'cifar-11'",
    }.items():
        assert message in error_of(run_quickly(command, *line))
    both = ("--model=revnet-38", "--weights=cifar-10", "--results=nowhere")
    assert "--results does not go with" in error_of(run_quickly(command, *both))


def test_only_what_is_finished_is_published(experiment, tmp_path):
    results = shutil.copytree(experiment / "results", tmp_path / "results")
    (results / "a/result.json").unlink()
    done = run_quickly("publish", f"--results={results}", "--id=a", f"--output={tmp_path}/x")
    assert "a has not come to its end: continue it with --restore" in error_of(done)
    # Trained on since: what result.json says is of an earlier step.
    shutil.copy(experiment / "results/a/result.json", results / "a/result.json")
    for path in (results / "a").glob("model.ckpt-30.*"):
        shutil.copy(path, results / "a" / path.name.replace("-30", "-40"))
    done = run_quickly("publish", f"--results={results}", "--id=a", f"--output={tmp_path}/x")
    assert "a has not come to its end" in error_of(done)
    assert "--id is needed" in error_of(run_quickly("publish"))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own
def test_an_experiment_is_loaded_as_a_keras_model(experiment, tmp_path):
    model = resnet.load("a", results=experiment / "results")
    assert isinstance(model, keras.Model) and len(model.layers[-1].label_names) == 10
    network = resnet.get_model("revnet-38", weights=experiment / "shelf/revnet-38_synthetic")
    wanted = network(network.prepare(PIXELS))
    for pixels in (PIXELS, PIXELS.astype(np.float32)):  # float16 kernels there
        np.testing.assert_allclose(model(pixels), wanted, rtol=0.1, atol=0.02)
    with pytest.raises(UsageError, match=r"no experiment 'b' in .*results= in Python"):
        resnet.load("b", results=experiment / "results")


def test_they_are_listed(shelf):
    (row,) = weights_command.rows(with_folders=True)
    assert row[:2] == ("revnet-38", "synthetic") and row[4] == "paper"
    assert row[-1].endswith("shelf/revnet-38_synthetic")


@pytest.mark.parametrize("name", SHIPPED)
def test_what_comes_with_the_package(name):
    one = SHIPPED[name]
    assert (one.folder / pretrained.WEIGHTS).stat().st_size < LARGEST
    assert (one.folder / pretrained.CARD).read_text() == card(one.facts)
    model = resnet.get_model(one.model, weights=one.dataset)
    assert len(model.label_names) == model.config.num_classes == CIFAR[one.dataset].num_classes


def test_a_run_prepares_images_as_its_weights_were(tmp_path):
    line = ["train-cifar", "--dataset=synthetic", "--init_from=pretrained:revnet-38:cifar-10"]
    small = ["--max_num_steps=1", "--batch_size=2", "--eval_images=10", f"--logs={tmp_path}/logs"]
    done = run_quickly(*line, *small, f"--results={tmp_path}", "--id=own")
    assert done.returncode == 0, done.stderr
    assert "images are prepared as for pretrained:revnet-38:cifar-10: cifar-stand" in done.stdout
    kept = json.loads((tmp_path / "own" / "conf.json").read_text())
    assert kept["preprocessor"] == "cifar-standard"
    config = tmp_path / "own.json"
    config.write_text('{"name": "revnet-38", "preprocessor": "cifar-unit"}')
    done = run_quickly(*line, f"--config={config}", "--dry_run")
    assert "prepared as 'cifar-unit' here, and were as 'cifar-standard'" in done.stdout
