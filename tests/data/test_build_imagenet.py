"""The builder of ImageNet's shards: what is in them, and what stops it."""

import os
import pathlib
import platform
import resource
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import children
from images import SYNSETS, build, claiming, encoded, make_tree, picture, write_tar
from processes import REPOSITORY, command, error_of
from resnet.data.imagenet.annotations import read_boxes, read_synset_names, read_validation_labels
from resnet.data.imagenet.example import jpeg_of, parse_example
from resnet.data.imagenet.raw_images import RawImage, list_images
from resnet.data.imagenet.shards import count_records, find_shards, first_record
from resnet.data.imagenet.writer import write_shard
from resnet.data.photos import whole_photo
from resnet.errors import DataError, UserError


def examples(folder, split):
    """{file name: features} of all records of a split."""
    found = {}
    for shard in find_shards(folder, split):
        for record in tf.data.TFRecordDataset(shard.path).as_numpy_iterator():
            feature = tf.train.Example.FromString(record).features.feature
            found[_name_of(feature)] = feature
    return found


def _name_of(feature):
    return feature["image/filename"].bytes_list.value[0].decode()


def test_every_kind_of_image_and_what_is_written(tmp_path):
    make_tree(tmp_path / "train")
    folder = tmp_path / "train" / SYNSETS[1]
    original = picture(7)
    (folder / "cmyk.JPEG").write_bytes(encoded(original.convert("CMYK")))
    (folder / "png.JPEG").write_bytes(encoded(original, "PNG"))
    (folder / "webp.webp").write_bytes(encoded(original, "WEBP"))
    (folder / "gray.JPEG").write_bytes(encoded(original.convert("L")))
    (folder / "cut.JPEG").write_bytes(encoded(original)[:600])
    (folder / "gone.JPEG").symlink_to(tmp_path / "nowhere")
    (folder / "notes.txt").write_text("no image")
    (tmp_path / "boxes.csv").write_text("png.JPEG,0.1,0.2,0.7,0.9\npng.JPEG,0,0,0.5,0.5\n")
    (tmp_path / "names.txt").write_text(f"{SYNSETS[1]} water snake, colubrid\n")
    arguments = [
        f"--train_dir={tmp_path}/train",
        f"--bounding_boxes={tmp_path}/boxes.csv",
        f"--synset_names={tmp_path}/names.txt",
        "--train_shards=3",
        "--num_workers=2",
    ]
    done = build(tmp_path / "out", *arguments)
    assert done.returncode == 0, done.stderr
    assert f"unreadable, left out: {folder}/cut.JPEG: " in done.stdout
    assert f"unreadable, left out: {folder}/gone.JPEG: No such file" in done.stdout
    assert "24 images of 4 classes in 3 shards; 2 unreadable left out" in done.stdout
    listing = (tmp_path / "out" / "train-unreadable.txt").read_text()
    assert len(listing.splitlines()) == 2 and f"{folder}/cut.JPEG: " in listing
    assert not list((tmp_path / "out").glob("*.unreadable"))
    assert "images/s" in done.stderr

    found = examples(tmp_path / "out", "train")
    assert len(found) == 24
    feature = found["png.JPEG"]
    assert feature["image/class/label"].int64_list.value == [2]  # rank 1, from 1
    assert feature["image/class/synset"].bytes_list.value == [SYNSETS[1].encode()]
    assert feature["image/class/text"].bytes_list.value == [b"water snake, colubrid"]
    assert feature["image/object/bbox/ymax"].float_list.value == pytest.approx([0.9, 0.5])
    assert feature["image/object/bbox/xmin"].float_list.value == pytest.approx([0.1, 0.0])
    for name in ("image/height", "image/width", "image/channels"):
        assert len(feature[name].int64_list.value) == 1
    for name in ("cmyk.JPEG", "png.JPEG", "webp.webp", "gray.JPEG"):
        content = found[name]["image/encoded"].bytes_list.value[0]
        decoded = tf.io.decode_jpeg(content, channels=3)
        assert tf.io.is_jpeg(content) and decoded.shape == (40, 50, 3)
        assert tf.io.extract_jpeg_shape(content)[2] == (1 if "gray" in name else 3)
        if "gray" not in name:
            error = tf.abs(tf.cast(decoded, tf.float32) - tf.cast(original, tf.float32))
            assert tf.reduce_mean(error) < 4  # of 255
    encoded_, label, boxes = parse_example(
        first_record(find_shards(tmp_path / "out", "train")[0].path)
    )
    assert tf.io.is_jpeg(encoded_) and 1 <= label <= 4 and boxes.shape[::2] == (1, 4)

    # Run again: what is there is kept, what is missing is made anew, the same.
    shards = [tmp_path / "out" / f"train-0000{i}-of-00003" for i in range(3)]
    contents, kept = [path.read_bytes() for path in shards], shards[0].stat().st_mtime_ns
    shards[1].unlink()
    (tmp_path / "out" / f"{shards[1].name}.{platform.node()}@4999999.part").write_text("half")
    again = build(tmp_path / "out", *arguments)
    assert "2 of 3 shards are there already" in again.stdout
    assert [path.read_bytes() for path in shards] == contents
    assert shards[0].stat().st_mtime_ns == kept
    assert not list((tmp_path / "out").glob("*.part"))

    other = build(tmp_path / "out", f"--train_dir={tmp_path}/train", "--train_shards=4")
    assert "holds train shards of other images or flags" in error_of(other)
    late = build(tmp_path / "out", *arguments, "--strict")
    assert "2 train images were left out when an earlier build was not --strict" in error_of(late)
    (folder / "gone.JPEG").unlink()
    strict = build(tmp_path / "strict", *arguments[:1], "--train_shards=3", "--strict")
    assert f"{folder}/cut.JPEG cannot be read: " in error_of(strict)
    (tmp_path / "out" / "dataset.json").unlink()  # as if they were another converter's
    unknown = build(tmp_path / "out", *arguments)
    assert "holds train shards of other images or flags" in error_of(unknown)
    assert [path.read_bytes() for path in shards] == contents


ANNOTATION = """<annotation><size><width>50</width><height>40</height></size><object>
<name>{}</name><bndbox><xmin>5</xmin><ymin>4</ymin><xmax>25</xmax><ymax>30</ymax></bndbox>
</object></annotation>"""


@pytest.mark.parametrize("name", ["palette.bmp", "transparent.png", "turned.png", "tiff.jpg"])
def test_what_is_no_jpeg_is_stored_as_predictions_see_it(tmp_path, name):
    image = picture(3)
    if name == "transparent.png":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    turned = image.getexif()
    turned[0x0112] = 6  # its orientation
    if name == "palette.bmp":
        image = image.quantize(16)
    path = tmp_path / name
    exif = turned if name == "turned.png" else None
    image.save(path, "TIFF" if name == "tiff.jpg" else None, **({"exif": exif} if exif else {}))
    wanted = whole_photo(path, name)
    content, shape = jpeg_of(path.read_bytes(), name)
    assert shape == wanted.shape
    assert shape[:2] == ((50, 40) if exif else (40, 50))
    stored = tf.io.decode_jpeg(content).numpy().astype(int)
    assert np.abs(stored - wanted).mean() < 12  # colours are stored by half the pixels


def test_archives_as_published(tmp_path):
    train = make_tree(tmp_path / "trees" / "train", per_class=3)
    per_class = {}
    for synset in SYNSETS:
        members = {p.name: p.read_bytes() for p in (tmp_path / "trees/train" / synset).iterdir()}
        inner = write_tar(tmp_path / f"{synset}.tar", members)
        per_class[inner.name] = inner.read_bytes()
    raw = tmp_path / "raw"
    raw.mkdir()
    write_tar(raw / "ILSVRC2012_img_train.tar", per_class)
    labels = {f"ILSVRC2012_val_0000000{i}": SYNSETS[-i] for i in range(1, 5)}
    pictures = {f"{name}.JPEG": encoded(picture(i)) for i, name in enumerate(labels)}
    write_tar(raw / "ILSVRC2012_img_val.tar", pictures)
    written = {f"val/{n}.xml": ANNOTATION.format(s).encode() for n, s in labels.items()}
    write_tar(raw / "ILSVRC2012_bbox_val_v3.tgz", written, "w:gz")
    boxed = {f"{s}/{n[:-5]}.xml": ANNOTATION.format(s).encode() for n, s in train.items()}
    write_tar(raw / "ILSVRC2012_bbox_train_v2.tar.gz", boxed, "w:gz")
    done = build(tmp_path / "out", f"--raw_dir={raw}", "--num_workers=1")
    assert done.returncode == 0, done.stderr
    found = examples(tmp_path / "out", "train")
    assert {
        n: f["image/class/synset"].bytes_list.value[0].decode() for n, f in found.items()
    } == train
    for name, feature in found.items():
        path = tmp_path / "trees/train" / train[name] / name
        assert feature["image/encoded"].bytes_list.value == [path.read_bytes()]
        assert feature["image/object/bbox/xmax"].float_list.value == [0.5]
    validation = examples(tmp_path / "out", "validation")
    got = {n[:-5]: f["image/class/label"].int64_list.value[0] for n, f in validation.items()}
    assert got == {name: SYNSETS.index(synset) + 1 for name, synset in labels.items()}


def test_a_full_disk_names_the_shard(tmp_path):
    (tmp_path / "a.JPEG").write_bytes(encoded(picture(1)))
    image = RawImage("a.JPEG", "n1", str(tmp_path / "a.JPEG"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, before[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write .*train-00000-of-00001: .*Free some"):
            records = [(image, 1, "n1", "", ())] * 20
            write_shard(tmp_path / "train-00000-of-00001", records, strict=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["a.JPEG"]


def test_validation_labels_in_every_form(tmp_path):
    names, path = ["b.JPEG", "a.JPEG"], tmp_path / "labels.txt"
    wanted = {"a.JPEG": SYNSETS[0], "b.JPEG": SYNSETS[2]}
    for text in (
        f"{SYNSETS[0]}\n{SYNSETS[2]}\n",
        f"b.JPEG {SYNSETS[2]}\na.JPEG\t{SYNSETS[0]}\n",
        f"ImageId,PredictionString\nb,{SYNSETS[2]} 1 2 3 4\na,{SYNSETS[0]} 5 6 7 8\n",
        f"\ufeffval/b.png,{SYNSETS[2]}\na.JPEG,{SYNSETS[0]}\n",  # as spreadsheets begin files
    ):
        path.write_text(text, encoding="utf-8")
        assert read_validation_labels(path, names, set(SYNSETS)) == wanted
    for text, message in {
        f"{SYNSETS[0]}\n": "has 1 labels for 2 images",
        ",,,\n": "has 0 labels for 2 images",
        f",,\nb,{SYNSETS[0]}\n,\n": "no known class for 1 of 2 images, such as a.JPEG",
        "a,cow 1 2\nb,cat 1 2\n": "line 1: 'cow' is none of the 4 classes",
        f"a {SYNSETS[0]}\nb {SYNSETS[1]}\na {SYNSETS[2]}\n": "has two classes for a, ",
        "490\n361\n": "line 1: '490' is none of the 4 classes, which are named like n00000003",
        f"a {SYNSETS[0]}\nc {SYNSETS[1]}\n": "no known class for 1 of 2 images, such as b.JPEG",
    }.items():
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_validation_labels(path, names, set(SYNSETS))


def test_validation_labels_with_blanks(tmp_path):
    path, classes = tmp_path / "labels.txt", {"cat", "golden retriever"}
    wanted = {"my cat.jpg": "cat", "my dog.jpg": "golden retriever"}
    for text in (
        "my cat.jpg,cat\nmy dog.jpg,golden retriever\n",
        "my dog.jpg\tgolden retriever\nmy cat.jpg\tcat\n",
        "cat\ngolden retriever\n",
    ):
        path.write_text(text)
        assert read_validation_labels(path, list(wanted), classes) == wanted
    for line in ("a.jpg {} sea, snake", "a.jpg\t{}\tsea, snake", "a.jpg {}, sea", "a.jpg,{},1"):
        for label in classes if line[5] in "\t," else ("cat",):
            path.write_text(line.format(label))
            assert read_validation_labels(path, ["a.jpg"], classes) == {"a.jpg": label}, line


def test_validation_labels_of_names_that_are_alike(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("a.jpg cat\na.png dog\n")
    labels = read_validation_labels(path, ["a.png", "a.jpg"], {"cat", "dog"})
    assert labels == {"a.jpg": "cat", "a.png": "dog"}
    path.write_text("a cat\nb.jpg dog\n")
    with pytest.raises(DataError, match=r"no known class for 2 of 3 images, such as a\.jpg"):
        read_validation_labels(path, ["a.png", "a.jpg", "b.jpg"], {"cat", "dog"})
    path.write_text("cat\ndog\n")
    with pytest.raises(DataError, match=r"2 images are called 1\.jpg, and .*: rename them, or put"):
        read_validation_labels(path, ["1.jpg", "1.jpg"], {"cat", "dog"})


def test_boxes_and_names(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("a.JPEG,-0.1,0.2,0.5,1.5\na.JPEG,0.5,0.5,0.5,0.9\nb.JPEG,0,0,1,1\n")
    found = {("", "a"): [(0.0, 0.2, 0.5, 1.0)], ("", "b"): [(0.0, 0.0, 1.0, 1.0)]}
    assert read_boxes(path) == found
    path.write_text("train/n1/a.JPEG,0,0,1,1\n")
    assert read_boxes(path) == {("n1", "a"): [(0.0, 0.0, 1.0, 1.0)]}
    path.write_text("a.JPEG,0,0,1,1\nb.JPEG,0,zero,1,1\n")
    with pytest.raises(DataError, match=r"line 2: .* is not file name,xmin"):
        read_boxes(path)
    path.write_text("x" * 200_000)
    with pytest.raises(DataError, match=r"line 1: 'xx.{0,250} is not file name,xmin"):
        read_boxes(path)
    (tmp_path / "cut.tgz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="truncated"):
        read_boxes(tmp_path / "cut.tgz")
    (tmp_path / "names.txt").write_text("n1 tench, Tinca tinca\nn2\tgoldfish\n")
    names = {"n1": "tench, Tinca tinca", "n2": "goldfish"}
    assert read_synset_names(tmp_path / "names.txt") == names


def test_places_without_images(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        list_images(tmp_path / "nowhere")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match="holds no images: none of its 1 files"):
        list_images(tmp_path)
    with pytest.raises(DataError, match="truncated, compressed or no archive"):
        list_images(write_tar(tmp_path / "x.tar", {"a.JPEG": b"x"}, "w:gz"))
    assert "holds no ImageNet: it should have train, " in error_of(
        build(tmp_path / "out", f"--raw_dir={tmp_path}")
    )


def test_folders_below_a_class_and_every_ending(tmp_path, capsys):
    """As Tiny ImageNet has them: train/CLASS/images/FILE, with a text file beside."""
    for name in ("n1/images/a.JPEG", "n1/b.webp", "n1/.hidden/c.JPEG", "n2/d.bmp", "n2/e.gif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "n1/images/again").symlink_to(tmp_path)
    (tmp_path / ".elsewhere").mkdir()
    (tmp_path / ".elsewhere/f.png").write_bytes(b"x")
    (tmp_path / "n2/linked").symlink_to(tmp_path / ".elsewhere")
    found = [(image.folder, image.name) for image in list_images(tmp_path)]
    assert found == [("n1", "a.JPEG"), ("n1", "b.webp"), ("n2", "d.bmp"), ("n2", "f.png")]
    assert f"notice: 1 files of {tmp_path} are left out, for they do not end in .jpg, " in (
        output := capsys.readouterr().out
    )
    assert output.endswith(f", such as {tmp_path}/n2/e.gif\n")
    (tmp_path / "n2/d.bmp").unlink()
    (tmp_path / "n2/linked").unlink()
    (tmp_path / "n3").mkdir()
    message = r"has 2 class folders without images \(.*\), such as n2: fill or remove them"
    with pytest.raises(DataError, match=message):
        list_images(tmp_path, is_training=True)
    assert {image.folder for image in list_images(tmp_path)} == {"n1"}


def test_places_that_would_give_wrong_labels(tmp_path):
    for name in ("train/n1/1.jpg", "train/n2/2.jpg", "val/n1/3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds splits, not classes: give .*/train"):
        list_images(tmp_path)
    write_tar(tmp_path / "train/n1.tar", {"1.jpg": b"x"})  # beside what it extracts to
    assert [image.name for image in list_images(tmp_path / "train")] == ["1.jpg", "2.jpg"]
    deep = write_tar(tmp_path / "deep.tar", {"n1/images/1.jpg": b"x", "n2/images/2.jpg": b"x"})
    with pytest.raises(DataError, match="has folders within its class folders"):
        list_images(deep)


def test_the_folder_that_the_archive_of_class_archives_extracts_to(tmp_path):
    train = make_tree(tmp_path / "trees", per_class=1)
    for name, synset in train.items():
        contents = {name: (tmp_path / "trees" / synset / name).read_bytes()}
        write_tar(tmp_path / f"{synset}.tar", contents)
    (tmp_path / "trees").rename(tmp_path / ".trees")
    found = list_images(tmp_path)
    assert {image.name: image.folder for image in found} == train
    content = (tmp_path / ".trees" / found[0].folder / found[0].name).read_bytes()
    assert found[0].read() == content


def test_boxes_of_a_name_that_several_classes_have(tmp_path):
    for synset in SYNSETS[:2]:
        (tmp_path / "train" / synset).mkdir(parents=True)
        for name in ("1.JPEG", f"{synset}.JPEG"):
            (tmp_path / "train" / synset / name).write_bytes(encoded(picture(1)))
    flags = [f"--train_dir={tmp_path}/train", f"--bounding_boxes={tmp_path}/boxes.csv"]
    (tmp_path / "boxes.csv").write_text("1.JPEG,0,0,0.5,0.5\n")
    one, other = SYNSETS[:2]
    images = f"{tmp_path}/train/{one}/1.JPEG and of {tmp_path}/train/{other}/1.JPEG"
    message = f"boxes of 1.JPEG, the name of {images}: call it CLASS/1.JPEG there, or give"
    assert message in error_of(build(tmp_path / "out", *flags))
    (tmp_path / "boxes.csv").write_text(f"{other}/1.JPEG,0,0,0.5,0.5\n{one}.JPEG,0,0,1,0.25\n")
    done = build(tmp_path / "out", *flags)
    assert done.returncode == 0, done.stderr
    found = {}
    for shard in find_shards(tmp_path / "out", "train"):
        for record in tf.data.TFRecordDataset(shard.path).as_numpy_iterator():
            feature = tf.train.Example.FromString(record).features.feature
            key = (feature["image/class/label"].int64_list.value[0], _name_of(feature))
            found[key] = list(feature["image/object/bbox/ymax"].float_list.value)
    assert found == {(1, "1.JPEG"): [], (2, "1.JPEG"): [0.5]} | {
        (1, f"{one}.JPEG"): [0.25],
        (2, f"{other}.JPEG"): [],
    }


def test_boxes_of_a_name_that_a_class_has_twice(tmp_path):
    for folder in (f"train/{SYNSETS[0]}/left", f"train/{SYNSETS[1]}", f"val/{SYNSETS[0]}"):
        (tmp_path / folder).mkdir(parents=True)
    for name in (f"{SYNSETS[0]}/left/1.JPEG", f"{SYNSETS[0]}/1.JPEG", f"{SYNSETS[1]}/2.JPEG"):
        (tmp_path / "train" / name).write_bytes(encoded(picture(1)))
    shutil.copy(tmp_path / "train" / SYNSETS[1] / "2.JPEG", tmp_path / "val" / SYNSETS[0])
    (tmp_path / "boxes.csv").write_text(f"{SYNSETS[0]}/1.JPEG,0,0,0.5,0.5\n")
    flags = [f"--train_dir={tmp_path}/train", f"--bounding_boxes={tmp_path}/boxes.csv"]
    assert "boxes of 1.JPEG, the name of " in error_of(build(tmp_path / "out", *flags))
    (tmp_path / "boxes.csv").write_text("2.JPEG,0,0,0.5,0.5\n")
    assert build(tmp_path / "out", *flags).returncode == 0
    flags.append(f"--validation_dir={tmp_path}/val")
    assert "boxes of 2.JPEG, the name of " in error_of(build(tmp_path / "other", *flags))


def test_shards_of_other_classes_are_not_given_others_labels(tmp_path):
    make_tree(tmp_path / "train", per_class=2)
    val = [f"--validation_dir={tmp_path}/train"]
    assert build(tmp_path / "out", *val).returncode == 0
    index = (tmp_path / "out/dataset.json").read_bytes()
    shutil.copytree(tmp_path / "train" / SYNSETS[0], tmp_path / "train" / "a-new-first")
    done = build(tmp_path / "out", f"--train_dir={tmp_path}/train")
    assert "holds validation shards of 4 classes, which are not the 5 of" in error_of(done)
    assert (tmp_path / "out/dataset.json").read_bytes() == index
    assert not list((tmp_path / "out").glob("train-*"))


def test_names_that_are_no_text(tmp_path):
    folder = os.fsencode(tmp_path) + b"/train/n1"
    os.makedirs(folder)
    for name, content in ((b"caf\xe9.JPEG", encoded(picture(1))), (b"cut\xe9.JPEG", b"x")):
        with open(folder + b"/" + name, "wb") as file:
            file.write(content)
    done = build(tmp_path / "out", f"--train_dir={tmp_path}/train")
    assert done.returncode == 0, done.stderr
    record = first_record(find_shards(tmp_path / "out", "train")[0].path)
    feature = tf.train.Example.FromString(record).features.feature
    assert feature["image/filename"].bytes_list.value == [b"caf\xe9.JPEG"]
    assert "cut\\udce9.JPEG" in (tmp_path / "out/train-unreadable.txt").read_text()


def test_classes_that_are_no_text(tmp_path):
    for name in (b"a", b"caf\xe9"):
        os.makedirs(os.fsencode(tmp_path) + b"/train/" + name)
        with open(os.fsencode(tmp_path) + b"/train/" + name + b"/1.jpg", "wb") as file:
            file.write(b"x")
    assert [image.folder for image in list_images(tmp_path / "train", True)] == ["a", "caf\\xe9"]


def test_ctrl_c_while_workers_start(tmp_path):
    make_tree(tmp_path / "train", per_class=10)
    arguments = [f"--train_dir={tmp_path}/train", "--train_shards=2", "--num_workers=2"]
    line = command("build-imagenet", *arguments, f"--output_dir={tmp_path}/out")
    pipe = subprocess.PIPE
    process = children.start(line, stdout=pipe, stderr=pipe, text=True, cwd=REPOSITORY)
    children_of = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while len(children_of.read_text().split()) < 3:  # two, and multiprocessing's own
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.3)  # they load what they need
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode not in (0, None)
    assert "Traceback" not in errors and "error: interrupted" in errors, errors


def test_damaged_shards(tmp_path):
    def write(name, num_records):
        with tf.io.TFRecordWriter(str(tmp_path / name)) as writer:
            for _ in range(num_records):
                writer.write(b"record" * 100)
        return tmp_path / name

    with pytest.raises(DataError, match="no train shards"):
        find_shards(tmp_path, "train")
    path = write("train-00000-of-00002", 3)
    assert count_records(path) == 3
    with pytest.raises(DataError, match="lacks 1 of 2 train shards, such as train-00001-of-00002"):
        find_shards(tmp_path, "train")
    write("train-00001-of-00002", 0)
    with pytest.raises(DataError, match="train-00001-of-00002 holds no records"):
        find_shards(tmp_path, "train")
    write("train-00001-of-00002", 1)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match="damaged: record 2 does not end within its"):
        find_shards(tmp_path, "train")
    write("train-00000-of-00003", 1)
    with pytest.raises(DataError, match="several builds"):
        find_shards(tmp_path, "train")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "nothing to build"),
        ("--train_dir={}/train --train_shards=21", "is 21, but there are 20 images"),
        ("--train_dir={}/train/n00000003", "lie in no class folder"),
        ("--validation_dir={}/train/n00000003", "need --train_dir, for the classes"),
        ("--train_dir={0}/train --validation_dir={0}/train/n00000003", "with --validation_labels"),
        ("--train_dir={0}/train --validation_dir={0}/other", "which is no class of the training"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    make_tree(tmp_path / "train")
    (tmp_path / "other").mkdir()
    for folder in (SYNSETS[0], "n99"):
        (tmp_path / "other" / folder).mkdir()
        (tmp_path / "other" / folder / "a.JPEG").write_bytes(b"x")
    done = build(tmp_path / "out", *arguments.format(tmp_path).split())
    assert message in error_of(done)
    assert not (tmp_path / "out").exists()


def test_what_claims_to_be_more_than_an_image_is_left_out(tmp_path, monkeypatch):
    """By its header, its size on disk, or because it is no file: before memory is taken for it."""
    good, names = tmp_path / "good.JPEG", []
    good.write_bytes(encoded(picture(1)))
    for form in ("JPEG", "PNG", "GIF", "BMP"):
        names.append(f"{form.lower()}.JPEG")
        (tmp_path / names[-1]).write_bytes(claiming(form, 20_000, 20_000))
    os.mkfifo(tmp_path / "pipe.JPEG")
    with open(tmp_path / "endless.JPEG", "wb") as file:
        file.truncate(2**40)
    names += ["pipe.JPEG", "endless.JPEG"]
    monkeypatch.setattr(tf.io, "decode_image", lambda *_, **__: pytest.fail("decoded"))
    records = [
        (RawImage(name, "n1", str(tmp_path / name)), 1, "n1", "", ())
        for name in ("good.JPEG", *names)
    ]
    problems = write_shard(tmp_path / "train-00000-of-00001", records, strict=False)
    assert len(problems) == len(names)
    for name, problem in zip(names, problems, strict=True):
        assert name in problem
    assert all("is too large: " in problem for problem in problems[:4]), problems
    assert "pipe.JPEG: it is no file" in problems[4]
    assert "1,099,511,627,776 bytes are more than" in problems[5]
    assert count_records(tmp_path / "train-00000-of-00001") == 1
