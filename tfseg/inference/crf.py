"""The fully connected conditional random field: labels that agree with those of near pixels of like colour.

Kraehenbuehl, Koltun. Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials. NIPS 2011.
https://arxiv.org/abs/1210.5644

Mean field, algorithm 1, with Potts' model: Q = softmax(log p + sum over the kernels of weight * K Q), where p are the
probabilities of the network. K is k_ij / sqrt(n_i n_j) with n_i the sum over all j of k_ij; the sum over j has i itself, as in
the authors' code.

Of images up to EXACT pixels the sums are exact. Of larger ones the bilateral kernel is that of a permutohedral lattice, and the
other one stays exact. The lattice gives the numbers of the authors' code (pydensecrf2 1.1, to 2e-5), which has no wheels,
no exact sums and no place in a graph.
"""

import tensorflow as tf

from tfseg.inference import lattice
from tfseg.inference.scores import same

EXACT = 64 * 64  # pixels; two float32 of each pair of them are 134 MB


def crf(predict, num_classes, steps=10, bilateral=(4, 67, 3), gaussian=(3, 1)):
    """Refines the scores of whole images by the colours of their pixels.

    The defaults are those of DeepLab on Pascal VOC (Chen et al., https://arxiv.org/abs/1606.00915). Every data set and network
    needs its own: search them on a few training images.

    Args:
        predict: images to scores.
        num_classes: number of classes in the scores.
        steps: of the mean field; 0 changes nothing.
        bilateral: weight of the kernel exp(-distance^2 / (2 s^2) - difference^2 / (2 c^2)); s in pixels; c in values of a
            channel, 0..255.
        gaussian: weight of the kernel exp(-distance^2 / (2 s^2)); s in pixels.
    """
    _check(steps, bilateral, gaussian)

    def scores(images, finish=same):
        images = tf.convert_to_tensor(images)

        def refined(pair):
            return mean_field(*pair, steps, bilateral, gaussian)

        logits = predict(images)
        # One image at a time: the kernels are what fills the memory.
        found = tf.map_fn(refined, (logits, images), parallel_iterations=1, fn_output_signature=logits.dtype)
        return finish(tf.ensure_shape(found, logits.shape))

    return scores


def mean_field(logits, image, steps, bilateral, gaussian, exact=None):
    """The logarithm of the marginals of one image's pixels.

    Args:
        logits: float32 or float64 [height, width, classes].
        image: uint8 or float [height, width, channels], 0..255.
        steps, bilateral, gaussian: see `crf`.
        exact: whether to sum over all pairs of pixels; None: if there are at most EXACT pixels.

    Returns:
        [height, width, classes], of the type of the logits.
    """
    image = tf.cast(image, logits.dtype)
    if exact is None:
        # By the static size if it is known: TensorFlow would fold the constants of the branch that is not taken, of any size.
        static = image.shape[:2].num_elements()
        exact = tf.size(image[..., 0]) <= EXACT if static is None else static <= EXACT

    def field(messages):
        unary = tf.nn.log_softmax(logits)
        # In a loop of the graph, so that memory does not grow with the steps.
        _, found = tf.while_loop(
            lambda i, _: i < steps,
            lambda i, scores: (i + 1, tf.nn.log_softmax(unary + messages(tf.nn.softmax(scores)))),
            (0, unary),
            parallel_iterations=1,
        )
        return found

    ways = [lambda way=way: field(way(image, bilateral, gaussian)) for way in (exact_messages, lattice_messages)]
    if isinstance(exact, bool):
        return ways[not exact]()
    return tf.cond(exact, *ways)


def exact_messages(image, bilateral, gaussian, normalized=True, itself=True):
    """Makes the function from marginals [height, width, classes] to messages of that shape, from all pairs of pixels.

    Args:
        image: float [height, width, channels], 0..255.
        bilateral, gaussian: see `crf`.
        normalized: whether to divide k_ij by sqrt(n_i n_j).
        itself: whether a pixel's sum has the pixel itself, as in the authors' code; not in their paper.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    places = tf.stack(tf.meshgrid(tf.range(height), tf.range(width), indexing="ij"), -1)
    places = tf.reshape(tf.cast(places, image.dtype), [-1, 2])
    colors = tf.reshape(image, [height * width, image.shape[-1]])

    def kernel(weight, *scaled):
        pairs = tf.exp(-0.5 * sum(_squared_distances(features / size) for features, size in scaled))
        if normalized:
            norm = tf.math.rsqrt(tf.reduce_sum(pairs, 1))
            pairs *= norm[:, None] * norm
        return weight * (pairs if itself else tf.linalg.set_diag(pairs, tf.zeros_like(pairs[0])))

    pairs = kernel(bilateral[0], (places, bilateral[1]), (colors, bilateral[2]))
    pairs += kernel(gaussian[0], (places, gaussian[1]))
    return lambda marginals: tf.reshape(
        tf.matmul(pairs, tf.reshape(marginals, [height * width, -1])), tf.shape(marginals)
    )


def lattice_messages(image, bilateral, gaussian):
    """The messages of `exact_messages`, where the bilateral kernel is approximated in time proportional to the pixels."""
    height, width = tf.unstack(tf.shape(image)[:2])
    rows, columns = (_line(length, gaussian[1], image.dtype) for length in (height, width))
    places = tf.meshgrid(tf.range(width), tf.range(height))  # x before y, as the authors' code has them
    places = tf.cast(tf.stack(places, -1), image.dtype) / bilateral[1]
    features = tf.concat([places, image / bilateral[2]], -1)
    grid = lattice.build(tf.reshape(features, [height * width, image.shape[-1] + 2]))
    norm = tf.math.rsqrt(lattice.blur(grid, tf.ones([height * width, 1], image.dtype)))

    def messages(marginals):
        shape = tf.shape(marginals)
        flat = tf.reshape(marginals, [height * width, -1])
        near = tf.reshape(tf.matmul(rows, tf.reshape(marginals, [height, -1])), shape)
        near = tf.matmul(columns, near)
        alike = norm * lattice.blur(grid, norm * flat)
        return bilateral[0] * tf.reshape(alike, shape) + gaussian[0] * near

    return messages


def _line(length, size, dtype):
    """The normalised gaussian kernel of the pixels in a row, [length, length]; that of an image is the product of two."""
    place = tf.cast(tf.range(length), dtype)[:, None] / size
    pairs = tf.exp(-0.5 * _squared_distances(place))
    norm = tf.math.rsqrt(tf.reduce_sum(pairs, 1))
    return pairs * norm[:, None] * norm


def _squared_distances(features):
    """[n, d] to [n, n], by differences: |a|^2 + |b|^2 - 2ab would cancel."""
    return sum(tf.square(one[:, None] - one) for one in tf.unstack(features, axis=1))


def _check(steps, bilateral, gaussian):
    if not isinstance(steps, int) or steps < 0:
        raise ValueError(f"Expected steps, a whole number of 0 or more. Received: steps={steps}.")
    expected = {"bilateral": (bilateral, "(weight, pixels, colours)"), "gaussian": (gaussian, "(weight, pixels)")}
    for name, (given, words) in expected.items():
        numbers = isinstance(given, (tuple, list)) and all(isinstance(n, (int, float)) for n in given)
        if not numbers or len(given) != words.count(",") + 1 or not given[0] >= 0 or not min(given[1:]) > 0:
            raise ValueError(
                f"Expected {name}={words}, the weight 0 or more, the others more than 0. Received: {name}={given}."
            )
