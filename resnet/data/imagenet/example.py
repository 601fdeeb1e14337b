"""ImageNet's record: a tf.train.Example under the keys that converters agree on."""

import io

import tensorflow as tf

from resnet.data.photos import open_photo, whole_photo
from resnet.errors import DataError, message_of

ENCODED, LABEL = "image/encoded", "image/class/label"
BOX_CORNERS = ("ymin", "xmin", "ymax", "xmax")  # the order that TensorFlow's boxes have
JPEG_QUALITY = 100  # of images that had to be converted


def jpeg_of(content, name):
    """An image as RGB or grayscale JPEG: as it is where possible, else converted.

    What is no JPEG is turned as its camera says, and laid on white where it is transparent.

    Args:
      content: bytes of a JPEG of any colour space, or in another format that Pillow reads.
      name: of its file.

    Returns:
      (JPEG bytes, (height, width, channels)).

    Raises:
      DataError: it cannot be decoded to its end, or its header claims too many pixels.
    """
    with open_photo(io.BytesIO(content), name):  # before any memory is taken for it
        pass
    try:
        if content[:3] == b"\xff\xd8\xff":
            # Decoded to the end: a truncated image shows now, not in training.
            shape = tf.io.decode_jpeg(content).shape
            components = int(tf.io.extract_jpeg_shape(content)[2])
            if components in (1, 3):
                return content, tuple(shape)
            image = tf.io.decode_jpeg(content, channels=3)
        else:
            image = whole_photo(io.BytesIO(content), name)
        encoded = tf.io.encode_jpeg(image, format="rgb", quality=JPEG_QUALITY).numpy()
        return encoded, tuple(image.shape)
    except tf.errors.OpError as error:
        raise DataError(message_of(error)) from None


def make_example(content, name, label, synset, text, boxes):
    """One serialized record.

    Args:
      content: the image file's bytes.
      name: its file name.
      label: int from 1.
      synset: its class, such as n01440764.
      text: words for the class, or "".
      boxes: [(xmin, ymin, xmax, ymax)] in [0, 1].

    Raises:
      DataError: the image cannot be decoded.
    """
    encoded, (height, width, channels) = jpeg_of(content, name)

    def integers(*values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def text_of(value):
        # As files are named, whose bytes need not be text.
        value = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def floats(values):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    xmin, ymin, xmax, ymax = zip(*boxes, strict=True) if boxes else ((), (), (), ())
    feature = {
        ENCODED: text_of(encoded),
        LABEL: integers(label),
        "image/class/synset": text_of(synset),
        "image/class/text": text_of(text),
        "image/object/bbox/xmin": floats(xmin),
        "image/object/bbox/xmax": floats(xmax),
        "image/object/bbox/ymin": floats(ymin),
        "image/object/bbox/ymax": floats(ymax),
        "image/object/bbox/label": integers(*[label] * len(boxes)),
        "image/height": integers(height),
        "image/width": integers(width),
        "image/filename": text_of(name),
        "image/format": text_of("JPEG"),
        "image/colorspace": text_of("RGB" if channels == 3 else "Grayscale"),
        "image/channels": integers(channels),
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return example.SerializeToString(deterministic=True)  # two builds give the same bytes


def parse_example(record):
    """(encoded image, label from 1 as int64, boxes (1, N, 4) float32) of a serialized record."""
    features = {
        ENCODED: tf.io.FixedLenFeature([], tf.string),
        LABEL: tf.io.FixedLenFeature([], tf.int64),
    }
    for corner in BOX_CORNERS:
        features[f"image/object/bbox/{corner}"] = tf.io.VarLenFeature(tf.float32)
    parsed = tf.io.parse_single_example(record, features)
    corners = [parsed[f"image/object/bbox/{corner}"].values for corner in BOX_CORNERS]
    return parsed[ENCODED], parsed[LABEL], tf.stack(corners, axis=-1)[None]


def label_of(record, path):
    """Label of a serialized record, int from 1, without TensorFlow's runtime.

    Raises:
      DataError: it is no such record.
    """
    try:
        feature = tf.train.Example.FromString(record).features.feature
        found = feature[LABEL].int64_list.value
        if not feature[ENCODED].bytes_list.value or len(found) != 1:
            raise ValueError(f"it lacks {ENCODED} or {LABEL}")
        return found[0]
    except Exception as error:
        raise DataError(
            f"{path} holds no ImageNet records ({error}): remove it and build again"
        ) from None
