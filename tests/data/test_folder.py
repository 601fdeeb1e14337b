"""Own images in class folders: found, divided, read, trained on."""

import json
import os
import shutil
import tracemalloc
import types

import numpy as np
import pytest
from PIL import Image

from images import picture
from processes import assert_same_checkpoint, error_of, run_quickly, write_config
from resnet.data.cifar import synthetic
from resnet.data.cifar.input import load_dataset
from resnet.data.cifar.pipeline import channels_of
from resnet.data.dataset import Split
from resnet.data.folder import read
from resnet.data.folder.read import read_folder
from resnet.data.folder.tree import find_tree
from resnet.errors import DataError, UserError
from resnet.training.own_images import dataset_of, folder_of, keep_own_images

TRAIN = "run_cifar_train.py"


def make_tree(folder, counts, size=(20, 30), ending="png"):
    """Class folders of pictures; `counts` is {class: how many}."""
    for i, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for j in range(count):
            picture(100 * i + j, size).save(folder / name / f"{j:02}.{ending}")
    return folder


def names_of(files):
    return [f"{path.parent.name}/{path.name}" for path, _ in files]


def test_splits_of_their_own(tmp_path):
    make_tree(tmp_path / "train", {"b": 2, "a": 3})
    make_tree(tmp_path / "val", {"a": 1})
    (tmp_path / "train/a/notes.txt").touch()
    (tmp_path / "train/.hidden").mkdir()
    (tmp_path / "train/a/more").mkdir()
    shutil.move(tmp_path / "train/a/02.png", tmp_path / "train/a/more/02.PNG")
    tree = find_tree(tmp_path)
    assert tree.label_names == ("a", "b") and not tree.held_out
    assert names_of(tree.train) == ["a/00.png", "a/01.png", "more/02.PNG", "b/00.png", "b/01.png"]
    assert [label for _, label in tree.train] == [0, 0, 0, 1, 1]
    assert names_of(tree.test) == ["a/00.png"]


def test_folders_in_capitals_and_what_programs_leave_in_classes(tmp_path):
    make_tree(tmp_path / "Train", {"a": 2, "b": 1})
    make_tree(tmp_path / "TEST", {"a": 1})
    make_tree(tmp_path / "Train/a", {".ipynb_checkpoints": 3})
    tree = find_tree(tmp_path)
    assert names_of(tree.train) == ["a/00.png", "a/01.png", "b/00.png"]
    assert names_of(tree.test) == ["a/00.png"]


def test_training_and_testing(tmp_path):
    make_tree(tmp_path / "training", {"a": 2, "b": 1})
    make_tree(tmp_path / "testing", {"a": 1, "b": 1})
    tree = find_tree(tmp_path)
    assert tree.label_names == ("a", "b") and (len(tree.train), len(tree.test)) == (3, 2)
    make_tree(tmp_path / "one/train", {"a": 2, "b": 1})
    make_tree(tmp_path / "one", {"test": 1})
    with pytest.raises(DataError, match="test has images in no class folders: put some into"):
        find_tree(tmp_path / "one")


def test_training_and_testing_may_be_classes(tmp_path):
    make_tree(tmp_path / "one", {"coding": 2, "training": 2, "testing": 2})
    assert find_tree(tmp_path / "one").label_names == ("coding", "testing", "training")
    for name in ("train", "val", "testing"):
        make_tree(tmp_path / "two" / name, {"a": 2, "b": 2})
    assert {path.parts[-3] for path, _ in find_tree(tmp_path / "two").test} == {"val"}


def test_links_within_a_class(tmp_path):
    make_tree(tmp_path / "own", {"a": 2, "b": 2})
    make_tree(tmp_path, {"elsewhere": 3})
    (tmp_path / "own/a/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "own/a/up").symlink_to(tmp_path / "own")
    (tmp_path / "own/a/beside").symlink_to(tmp_path / "own/b")
    tree = find_tree(tmp_path / "own")
    assert len(tree.train) + len(tree.test) == 2 + 3 + 2


def test_a_class_of_trains(tmp_path):
    make_tree(tmp_path / "one", {"Bus": 2, "Train": 2})
    assert find_tree(tmp_path / "one").label_names == ("Bus", "Train")
    make_tree(tmp_path / "two", {"resting": 2, "training": 2})
    assert find_tree(tmp_path / "two").label_names == ("resting", "training")


def test_names_that_are_no_text(tmp_path):
    make_tree(tmp_path, {"a": 4, "b": 4})
    os.rename(tmp_path / "a/00.png", os.fsencode(tmp_path) + b"/a/caf\xe9.png")
    tree = find_tree(tmp_path)
    assert len(tree.train) == 6 and len(tree.test) == 2
    dataset = read_folder(tmp_path, 8, strict=True)
    assert dataset.train.images.shape == (6, 8, 8, 3)
    os.rename(tmp_path / "b", os.fsencode(tmp_path) + b"/caf\xe9")
    assert find_tree(tmp_path).label_names == ("a", "caf\\xe9")


def test_test_images_beside_classes_are_no_class(tmp_path):
    make_tree(tmp_path / "one", {"cat": 2, "dog": 2})
    make_tree(tmp_path / "one/Test", {"cat": 1, "dog": 1})
    with pytest.raises(DataError, match=r"one has Test/, of class folders, but no train/: give"):
        find_tree(tmp_path / "one")
    for name in ("learning", "validation"):
        make_tree(tmp_path / "two" / name, {"cat": 2, "dog": 2})
    with pytest.raises(DataError, match=r"two has validation/, of class folders, but no train/"):
        find_tree(tmp_path / "two")
    make_tree(tmp_path / "three", {"test": 2, "exam": 2})  # a class's own name
    assert find_tree(tmp_path / "three").label_names == ("exam", "test")


def test_images_that_were_trained_on_do_not_test(tmp_path):
    experiment = types.SimpleNamespace(
        id="own",
        results=tmp_path,
        options=types.SimpleNamespace(dataset="folder", strict=False),
        config=types.SimpleNamespace(image_size=8),
        require_label_names=lambda names: None,
    )
    make_tree(tmp_path / "images/train", {"a": 4, "b": 4})
    make_tree(tmp_path / "images/test", {"a": 1, "b": 1})
    assert len(dataset_of(experiment, tmp_path / "images").test) == 2
    shutil.rmtree(tmp_path / "images/test")
    assert dataset_of(experiment, tmp_path / "images").held_out  # nothing is trained yet
    for ending in (".index", ".data-00000-of-00001"):
        (tmp_path / f"model.ckpt-3{ending}").touch()
    with pytest.raises(
        UserError, match="no test/, and which of its images own was trained on is not kn"
    ):
        dataset_of(experiment, tmp_path / "images")


def test_a_fifth_of_each_class_is_held_out(tmp_path):
    make_tree(tmp_path, {"a": 60, "b": 2, "c": 41, "d": 5})
    tree = find_tree(tmp_path)
    assert len(tree.train) + len(tree.test) == 108
    assert np.bincount([label for _, label in tree.test]).tolist() == [12, 1, 8, 1]
    assert tuple(names_of(tree.test)) == tree.held_out
    assert names_of(tree.test)[:12] != [f"a/{i:02}.png" for i in range(12)]
    shutil.copytree(tmp_path, tmp_path.with_name("copy"))
    assert find_tree(tmp_path.with_name("copy")).held_out == tree.held_out
    # Even a training that starts anew finds most of them where they were.
    make_tree(tmp_path, {"a": 90})
    now = find_tree(tmp_path)
    assert len({path for path, _ in tree.train} & {path for path, _ in now.test}) <= 6


def test_what_was_held_out_stays_held_out(tmp_path):
    make_tree(tmp_path, {"a": 20, "b": 5})
    first = find_tree(tmp_path)
    make_tree(tmp_path, {"a": 40})
    first.train[0][0].unlink()
    first.test[0][0].unlink()
    now = find_tree(tmp_path, first.held_out)
    assert now.test == first.test[1:] and now.held_out == first.held_out
    assert len(now.train) == 20 + 20 - 1
    # Test images in a folder of their own count for themselves.
    other = make_tree(tmp_path / "other/train", {"a": 2, "b": 2}).parent
    make_tree(other / "test", {"a": 1})
    assert names_of(find_tree(other, first.held_out).test) == ["a/00.png"]
    with pytest.raises(DataError, match=r"none of the images that were held out .*such as a/"):
        find_tree(other / "train", ("a/77.png",))
    with pytest.raises(DataError, match="only test images of b, which were held out before"):
        find_tree(other / "train", ("a/01.png", "b/00.png", "b/01.png"))


@pytest.mark.parametrize("content", ['{"held_out": []}', '{"held_out": [1]}', "{}"])
def test_a_damaged_list_of_what_is_held_out_is_named(tmp_path, content):
    experiment = types.SimpleNamespace(
        results=tmp_path,
        options=types.SimpleNamespace(dataset="folder", strict=False),
        config=types.SimpleNamespace(image_size=8),
    )
    make_tree(tmp_path / "images", {"a": 2, "b": 2})
    (tmp_path / "held_out.json").write_text(content)
    with pytest.raises(UserError, match=r"held_out.json is damaged: .* Restore it"):
        dataset_of(experiment, tmp_path / "images")


def test_the_place_that_is_kept_is_whole(tmp_path):
    experiment = types.SimpleNamespace(results=tmp_path / "results")
    for name in ("results", "images", "here"):
        (tmp_path / name).mkdir()
    dataset = types.SimpleNamespace(held_out=("a/0.png",))
    keep_own_images(experiment, dataset, tmp_path / "here/../images")
    assert folder_of(experiment) == str(tmp_path / "images")
    later = types.SimpleNamespace(held_out=("a/1.png",))
    keep_own_images(experiment, later, tmp_path / "here")
    kept = json.loads((experiment.results / "held_out.json").read_text())
    assert kept == {"held_out": ["a/0.png"]} and folder_of(experiment) == str(tmp_path / "images")


def test_folders_that_do_not_do(tmp_path):
    def expect(message, folder=tmp_path):
        with pytest.raises(DataError, match=message):
            find_tree(folder)

    expect("no folder .*gone'", tmp_path / "gone")
    expect("needs two class folders or more, of images each, and has none")
    make_tree(tmp_path / "train", {"a": 1})
    expect("train needs two class folders or more, of images each, and has only one, a")
    (tmp_path / "train/empty").mkdir()
    expect(r"train has class folders without images \(.jpg, .*\): empty. Fill or remove")
    picture(0).save(tmp_path / "train/empty/0.png")
    expect("train/a has one image, and two are needed where there is no folder test/")
    (tmp_path / "test/a").mkdir(parents=True)
    expect("test has no images")
    (tmp_path / "test/x").mkdir()
    expect("test has classes that train/ has not: x")


@pytest.mark.parametrize("ending", ["png", "bmp", "webp", "jpg"])
def test_images_of_every_format_are_resized(tmp_path, ending, capsys):
    make_tree(tmp_path / "train", {"a": 2, "b": 1}, (40, 20), ending)
    make_tree(tmp_path / "test", {"a": 1, "b": 1}, (8, 8), ending)
    dataset = read_folder(tmp_path, 8, strict=True)
    assert dataset.name == "folder" and dataset.label_names == ("a", "b")
    assert dataset.train.images.shape == (3, 8, 8, 3) and list(dataset.train.labels) == [0, 0, 1]
    if ending in ("png", "bmp"):
        np.testing.assert_array_equal(dataset.test.images[0], picture(0, (8, 8)))
    middle = picture(0, (40, 20)).crop((10, 0, 30, 20)).resize((8, 8), Image.Resampling.BICUBIC)
    found = dataset.train.images[0].astype(int)
    assert abs(found - np.asarray(middle)).mean() < (1 if ending in ("png", "bmp") else 6)
    said = capsys.readouterr().out
    assert "2 classes, 3 training images, 2 test images\n" in said
    assert "images of 40x20 pixels: the middle square of each is resized to 8x8" in said


@pytest.mark.parametrize("has_tests", [True, False])
def test_the_first_test_images_are_a_sample_of_all_classes(tmp_path, has_tests):
    counts = dict.fromkeys("abc", 60)
    make_tree(tmp_path / ("train" if has_tests else ""), counts)
    if has_tests:
        make_tree(tmp_path / "test", dict.fromkeys("abc", 12))
    dataset = load_dataset("folder", tmp_path, 8)
    assert np.bincount(dataset.test.labels).tolist() == [12, 12, 12]
    assert set(dataset.test.labels[:10]) == {0, 1, 2}
    again = load_dataset("folder", tmp_path, 8)
    np.testing.assert_array_equal(again.test.images, dataset.test.images)
    read = read_folder(tmp_path, 8, strict=False).test  # each image with its own label
    pairs = [
        {(image.tobytes(), int(label)) for image, label in zip(s.images, s.labels, strict=True)}
        for s in (read, dataset.test)
    ]
    assert pairs[0] == pairs[1]


def test_files_that_cannot_be_read(tmp_path, capsys):
    make_tree(tmp_path / "train", {"a": 3, "b": 1})
    make_tree(tmp_path / "test", {"a": 1})
    (tmp_path / "train/a/00.png").write_text("no image")
    content = (tmp_path / "train/a/01.png").read_bytes()
    (tmp_path / "train/a/01.png").write_bytes(content[: len(content) // 2])
    dataset = read_folder(tmp_path, 8, strict=False)
    assert list(dataset.train.labels) == [0, 1]
    np.testing.assert_array_equal(
        dataset.train.images[0], read.load_photo(tmp_path / "train/a/02.png", 8)[0]
    )
    said = capsys.readouterr().out
    assert "notice: 2 files left out (--strict ends): " in said
    assert "00.png' is no image" in said and "01.png' cannot be read" in said
    assert "notice: classes without test images: b" in said
    with pytest.raises(
        DataError, match=r"2 files cannot be read, such as: .*00.png.* leave --strict"
    ):
        read_folder(tmp_path, 8, strict=True)
    (tmp_path / "train/b/00.png").write_text("")
    with pytest.raises(
        DataError, match=r"of b in .*, no training image can be read: .* Put images there"
    ):
        read_folder(tmp_path, 8, strict=False)


def test_more_than_memory_holds_is_said_before_it_is_read(tmp_path, monkeypatch):
    make_tree(tmp_path, {"a": 2, "b": 2})
    monkeypatch.setattr(read, "available_bytes", lambda: 1900)  # of each image, there are two
    with pytest.raises(DataError, match=r"the 4 images .* resnet build-imagenet"):
        read_folder(tmp_path, 8, strict=False)


def test_channel_statistics():
    images = np.random.default_rng(0).integers(0, 256, [30, 4, 5, 3], np.uint8)
    found = channels_of(Split(images, np.zeros(30, np.int32)))
    pixels = images.reshape(-1, 3) / 255
    np.testing.assert_allclose(found, [pixels.mean(axis=0), pixels.std(axis=0)], rtol=1e-5)


def test_channel_statistics_take_little_memory():
    images = np.random.default_rng(0).integers(0, 256, [400, 128, 128, 3], np.uint8)
    tracemalloc.start()
    found = channels_of(Split(images, np.zeros(400, np.int32)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * images.nbytes, peak
    np.testing.assert_allclose(found[0], images.mean(axis=(0, 1, 2)) / 255, rtol=1e-6)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A part of the embedded data set as PNG files, in one tree of class folders."""
    folder = tmp_path_factory.mktemp("shapes")
    part = synthetic.load().train
    for label, name in enumerate(synthetic.LABEL_NAMES):
        (folder / name).mkdir()
        for i in np.flatnonzero(part.labels == label)[:8]:
            Image.fromarray(part.images[i]).save(folder / name / f"{i:04}.png")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory, shared):
    """ImageNet's sample images as two classes, animals and things, with test images."""
    folder = tmp_path_factory.mktemp("photos")
    for i, path in enumerate(sorted((shared / "data/imagenet-sample").iterdir())):
        split = "train" if i % 3 else "test"
        place = folder / split / ("animals" if path.name < "n026" else "things")
        place.mkdir(exist_ok=True, parents=True)
        shutil.copy(path, place)
    return folder


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("shapes", "10 classes, 60 training images, 20 test images, a fifth of each class held"),
        ("photos", "2 classes, "),
    ],
    ids=["shapes", "photos"],
)
def test_a_run_on_own_images(tmp_path, kind, said, request):
    """Trained, restored to the bit, evaluated, exported; classes known by their names."""
    folder = request.getfixturevalue(kind)
    config = write_config(tmp_path, preprocessor="cifar-standard")
    places = [f"--results={tmp_path}/results", f"--logs={tmp_path}/logs", f"--data_folder={folder}"]
    start = [TRAIN, "--dataset=folder", f"--config={config}", *places]

    def succeed(*arguments):
        done = run_quickly(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert said in succeed(*start, "--id=whole", "--max_num_steps=4")
    succeed(*start, "--id=parts", "--max_num_steps=2")
    last = succeed(TRAIN, *places, "--restore", "--id=parts", "--max_num_steps=4").splitlines()[-1]
    one, other = (tmp_path / "results" / name / "model.ckpt-4" for name in ("whole", "parts"))
    assert_same_checkpoint(one, other)
    classes = folder / "train" if kind == "photos" else folder
    names = sorted(path.name for path in classes.iterdir())
    kept = json.loads((one.parent / "label_names.json").read_text())
    assert kept == {"label_names": names}
    channels = np.load(one.parent / "channels.npy")
    assert channels.shape == (2, 3)

    # Without --data_folder: the images' place is kept.
    assert succeed("evaluate", *places[:2], "--id=whole").splitlines()[-1] == last
    two = succeed("evaluate", *places[:2], "--id=parts", "--ckpt_num=2")
    assert "restored step 2\n" in two
    done = run_quickly("evaluate", *places[:2], "--id=parts", "--ckpt_num=3")
    assert "no checkpoint of step 3" in (said := error_of(done)) and "has steps 2, 4" in said
    succeed("publish", *places[:2], "--id=whole", f"--output={tmp_path}/published")
    weights = ["evaluate", f"--weights={tmp_path}/published", f"--data_folder={folder}"]
    if kind == "photos":
        assert succeed(*weights).splitlines()[-1] == last
    else:
        assert "has no test/, and which of its images" in error_of(run_quickly(*weights))
    image = next((classes / names[0]).iterdir())
    lines = succeed("predict", image, f"--weights={tmp_path}/published", "--top=10").splitlines()
    assert sorted(line.split("%  ")[1] for line in lines[1:]) == names
    own = succeed("predict", image, f"--results={tmp_path}/results", "--id=whole", "--top=10")
    assert own.splitlines() == lines
    succeed("export", *places[:2], "--id=whole", f"--output={tmp_path}/whole.npz", "--format=npz")
    with np.load(tmp_path / "whole.npz") as arrays:
        assert arrays["label_names"].tolist() == names
    if kind == "photos":
        return

    # Evaluated on the same images elsewhere, and others: those that it was trained on stay known.
    moved = shutil.copytree(folder, tmp_path / "moved")
    make_tree(moved, dict.fromkeys(names, 5))
    said = succeed("evaluate", *places[:2], f"--data_folder={moved}", "--id=whole")
    assert (
        "110 training images, 20 test images, those that were held out before" in said
        and said.splitlines()[-1] == last
    )
    kept = json.loads((one.parent / "data_folder.json").read_text())
    assert kept == {"data_folder": str(folder)}
    for name in (names[0], "other"):
        shutil.copytree(classes / names[0], tmp_path / "other" / name)
    other = [*places[:2], f"--data_folder={tmp_path}/other", f"--output={tmp_path}/output"]
    of_others = f"the classes are {names[0]}, other, but whole was trained on"
    assert of_others in error_of(run_quickly("publish", "--id=whole", *other))
    assert f"whole: no predictions: {of_others}" in succeed("plot", "whole", *other)
    on = [TRAIN, *places[:2], "--restore", "--id=whole", "--num_epochs=1"]  # in its own folder
    assert "--num_epochs is 1, which is 6 steps, but whole" in error_of(run_quickly(*on))
    again = [TRAIN, "--dataset=folder", "--model=revnet-38", "--init_from=whole", "--dry_run"]
    assert "images are prepared as for whole: cifar-standard" in succeed(*again, *places)
    done = run_quickly("evaluate", *places[:2], f"--data_folder={tmp_path}/other", "--id=whole")
    assert f"the classes are {names[0]}, other, but whole was trained on" in error_of(done)
