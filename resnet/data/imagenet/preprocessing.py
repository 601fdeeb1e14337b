"""From an encoded ImageNet image to the network's input.

What must happen before images have one size (choosing a box, decoding it, resizing)
happens image by image on the host; the rest (flip, colours, scale) in whole batches
on the device that trains: there it costs next to nothing, on the host it would take
four times as long as decoding. In between, images are 8-bit.

The crop is chosen before decoding, so that a JPEG's pixels outside of it are never
computed.
"""

import dataclasses

import tensorflow as tf

CHANNELS = 3

# Columns of what `draw` returns.
FLIP, ORDER, BRIGHTNESS, SATURATION, HUE, CONTRAST = range(6)
NUM_DRAWS = 6


def draw(batch_size, seed):
    """Random numbers of a batch's augmentation: (N, NUM_DRAWS) float32 in [0, 1)."""
    return tf.random.stateless_uniform([batch_size, NUM_DRAWS], seed)


def unflipped(draws):
    """`draws` by which no image is mirrored."""
    column = tf.one_hot(FLIP, NUM_DRAWS, on_value=True, off_value=False, dtype=tf.bool)
    return tf.where(column, tf.ones_like(draws), draws)


def decode_box(encoded, choose_box, size):
    """Decodes a part of an image and resizes it.

    Args:
      encoded: scalar string, JPEG or another format that TensorFlow decodes.
      choose_box: function of the image's shape, (3,) int32, to (4,) int32: top, left,
        height and width of the part, in pixels.
      size: pixels a side of the result.

    Returns:
      (size, size, 3) float32 in [0, 255], bilinear.
    """

    def jpeg():
        box = choose_box(tf.io.extract_jpeg_shape(encoded))
        return tf.io.decode_and_crop_jpeg(encoded, box, channels=CHANNELS)

    def other():
        image = tf.io.decode_image(encoded, channels=CHANNELS, expand_animations=False)
        top, left, height, width = tf.unstack(choose_box(tf.shape(image)))
        return image[top : top + height, left : left + width]

    image = tf.cond(tf.io.is_jpeg(encoded), jpeg, other)
    image = tf.ensure_shape(image, [None, None, CHANNELS])
    return tf.image.resize(image, [size, size])


def central_box(shape, height, width):
    """(4,) int32: the box of a height and a width in an image's middle."""
    sides = tf.cast(tf.stack([height, width]), tf.int32)
    return tf.concat([(shape[:2] - sides) // 2, sides], axis=0)


def flipped(images, draws):
    """Every second image or so, left to right."""
    flip = draws[:, FLIP, None, None, None] < 0.5
    return tf.where(flip, tf.reverse(images, axis=[2]), images)


@dataclasses.dataclass(frozen=True)
class Inception:
    """A box of random size and shape, distorted colours; values in [-1, 1].

    In evaluation, the central 87.5 % of each side. Szegedy et al. 2014,
    https://arxiv.org/abs/1409.4842, as TensorFlow's models of the time had it.
    """

    size: int  # pixels a side

    MIN_OBJECT_COVERED = 0.1
    ASPECT_RATIOS = (0.75, 1.33)
    AREAS = (0.05, 1.0)
    MAX_ATTEMPTS = 100
    CENTRAL_FRACTION = 0.875
    MAX_BRIGHTNESS = 32 / 255
    SATURATIONS = (0.5, 1.5)
    MAX_HUE = 0.2
    CONTRASTS = (0.5, 1.5)

    def training_box(self, shape, boxes, seed):
        """(4,) int32: a part of an image that shows enough of one of its objects.

        Args:
          shape: (3,) int32, the image's.
          boxes: (1, N, 4) float32, objects' ymin, xmin, ymax, xmax; none is the whole.
          seed: (2,) integers.
        """
        begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
            shape,
            boxes,
            seed,
            min_object_covered=self.MIN_OBJECT_COVERED,
            aspect_ratio_range=self.ASPECT_RATIOS,
            area_range=self.AREAS,
            max_attempts=self.MAX_ATTEMPTS,
            use_image_if_no_bounding_boxes=True,
        )
        return tf.concat([begin[:2], size[:2]], axis=0)

    def evaluation_box(self, shape):
        """(4,) int32: what tf.image.central_crop takes."""
        margins = tf.cast(shape[:2], tf.float64) * (1 - self.CENTRAL_FRACTION) / 2
        top, left = tf.unstack(tf.cast(margins, tf.int32))
        return central_box(shape, shape[0] - 2 * top, shape[1] - 2 * left)

    def augment(self, images, draws):
        """Flips images, distorts their colours and scales them.

        Brightness, then saturation, hue and contrast, or contrast before these two.

        Args:
          images: (N, H, W, 3) float32 in [0, 255].
          draws: (N, NUM_DRAWS) float32 in [0, 1).

        Returns:
          (N, H, W, 3) float32 in [-1, 1].
        """

        def between(column, low, high):
            return (low + (high - low) * draws[:, column])[:, None, None]

        def contrasted(x, factor):
            mean = tf.reduce_mean(x, axis=[1, 2], keepdims=True)
            return (x - mean) * factor[..., None] + mean

        x = flipped(images, draws) / 255
        x += between(BRIGHTNESS, -self.MAX_BRIGHTNESS, self.MAX_BRIGHTNESS)[..., None]
        contrast = between(CONTRAST, *self.CONTRASTS)
        is_first = draws[:, ORDER, None, None] < 0.5
        x = contrasted(x, tf.where(is_first, contrast, 1.0))
        hue, saturation, value = tf.unstack(tf.image.rgb_to_hsv(x), axis=-1)  # (N, H, W)
        hue = tf.math.floormod(hue + between(HUE, -self.MAX_HUE, self.MAX_HUE), 1.0)
        saturation = tf.clip_by_value(saturation * between(SATURATION, *self.SATURATIONS), 0, 1)
        x = tf.image.hsv_to_rgb(tf.stack([hue, saturation, value], axis=-1))
        x = contrasted(x, tf.where(is_first, 1.0, contrast))
        return self.scale(255 * tf.clip_by_value(x, 0, 1))

    def scale(self, images):
        """[0, 255] -> [-1, 1]."""
        return images * (2 / 255) - 1


@dataclasses.dataclass(frozen=True)
class Vgg:
    """The short side resized, a crop of it; the training images' mean colour subtracted.

    The short side has 256 to 512 pixels in training, for crops of 224, and 256 in
    evaluation, where the crop is central. Simonyan & Zisserman 2014,
    https://arxiv.org/abs/1409.1556.
    """

    size: int  # pixels a side

    # Short side over the crop's.
    SIDES = (256 / 224, 512 / 224)
    MEAN = (123.68, 116.78, 103.94)  # red, green, blue

    def training_box(self, shape, boxes, seed):
        """(4,) int32: a random square of the image; see `Inception.training_box`."""
        del boxes
        drawn = tf.random.stateless_uniform([3], seed)
        low, high = self.SIDES
        side = self._side(shape, low + (high - low) * drawn[0])
        room = tf.cast(shape[:2] - side + 1, tf.float32)
        start = tf.cast(room * drawn[1:], tf.int32)
        return tf.concat([start, [side, side]], axis=0)

    def evaluation_box(self, shape):
        """(4,) int32: the central square."""
        side = self._side(shape, self.SIDES[0])
        return central_box(shape, side, side)

    def _side(self, shape, ratio):
        """Pixels of the original that the crop's side covers, int32."""
        short = tf.cast(tf.reduce_min(shape[:2]), tf.float32)
        return tf.maximum(tf.cast(tf.round(short / ratio), tf.int32), 1)

    def augment(self, images, draws):
        """Flips images and subtracts the mean colour; see `Inception.augment`."""
        return self.scale(flipped(images, draws))

    def scale(self, images):
        """Subtracts the mean colour."""
        return images - tf.constant(self.MEAN)


PREPROCESSORS = {"inception": Inception, "vgg": Vgg}
