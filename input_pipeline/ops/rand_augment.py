"""A random subset of the colour ops with one magnitude."""

import tensorflow as tf

from input_pipeline.ops import _draws, camera, color

LARGEST = 10  # magnitude
# The ops at magnitude 1..10; m is a tenth of the magnitude. Contrast and saturation are RandAugment's range, 1 +- 0.9 at 10.
WAYS = (
    lambda example, seed, m: example,
    lambda example, seed, m: color.brightness(example, seed, 0.4 * m),
    lambda example, seed, m: color.contrast(example, seed, 0.9 * m),
    lambda example, seed, m: color.saturation(example, seed, 0.9 * m),
    lambda example, seed, m: color.hue(example, seed, 0.1 * m),
    lambda example, seed, m: color.gamma(example, seed, 1.0 + 1.5 * m),
    lambda example, seed, m: camera.blur(example, seed, (0.1, 0.1 + 2.0 * m), 1.0),
    lambda example, seed, m: camera.noise(example, seed, (0.0, 25.0 * m), 1.0),
    lambda example, seed, m: camera.jpeg(example, seed, (round(95 - 75 * m), 95), 1.0),
)


def rand_augment(example, seed, n: int = 2, magnitude: float = 9):
    """Does `n` ops one after the other. Each is drawn from nine: eight for colour and quality, and one that changes nothing.

    RandAugment (Cubuk et al., 2020): all ops have the same `magnitude`, 0..10. It is the largest strength; the strength of a
    draw is uniform up to it, which the paper found as good as a fixed one. At 10: brightness +-0.4 of the range, contrast and
    saturation 1 +- 0.9, hue +-36 degrees, gamma to 2.5, blur to 2.1 pixels, noise to 25 levels, JPEG to quality 20. The
    paper's rotation, shear and translation are options of `affine`, since an image is resampled only once.
    """
    _draws.check(n=(n, 1, 10), magnitude=(magnitude, 0, LARGEST))
    for i in range(int(n)):
        own = tf.random.experimental.stateless_fold_in(seed, i)
        number = tf.random.stateless_uniform([], own, 0, len(WAYS), tf.int32)
        draw = tf.random.experimental.stateless_fold_in(own, 0)
        branches = [lambda way=way, x=example, s=draw: way(x, s, magnitude / LARGEST)["image"] for way in WAYS]
        example = {**example, "image": tf.switch_case(number, branches)}
    return example
