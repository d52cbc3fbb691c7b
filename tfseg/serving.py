"""The functions of a SavedModel: from image files or pixels to label maps, and every check that a server must not leave out.

A server passes on what it gets. TensorFlow's kernels abort the whole process on some of it, and decode anything at any size. So
the graph itself checks ranks, sizes and headers, and a bad request is an error of that request only.
"""

import tensorflow as tf

from tfseg import image_files, image_headers, objects

FILES = tf.TensorSpec([None], tf.string, name="image_bytes")
IMAGES = tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")
OUTPUTS = ("classes", "confidence", "probabilities", "logits")


def outputs(scores: tf.Tensor, names) -> dict[str, tf.Tensor]:
    """What is asked for of scores, float32 [batch, height, width, classes].

    `classes` are train ids, uint8 or, of more than 256, uint16 [batch, height, width]. `confidence` is the probability of
    that class, float32 [batch, height, width]. `probabilities` and `logits` are float32 [batch, height, width, classes].
    """
    kind = tf.uint8 if scores.shape[-1] <= 256 else tf.uint16
    made = {
        "classes": lambda: tf.cast(tf.argmax(scores, -1, tf.int32), kind),
        "confidence": lambda: tf.reduce_max(tf.nn.softmax(scores), -1),
        "probabilities": lambda: tf.nn.softmax(scores),
        "logits": lambda: tf.identity(scores),
    }
    return {name: made[name]() for name in names}


def _named(scores, others):
    return {"logits": scores, **others}


class Serving(tf.Module):
    """What a SavedModel holds."""

    def __init__(self, network, image_range="", max_pixels=2**24, more=(), finder=objects.NONE):
        """What is served.

        Args:
            network: a function of images to (scores, {name: output that `finder` reads}).
            image_range: the values of images with more than 8 bits that become 0 and 255.
            max_pixels: the most of a request.
            more: `probabilities`, `logits` or both.
            finder: finds the boxes.
        """
        super().__init__(name="segmentation")
        self._max_pixels, self._finder = max_pixels, finder
        # Functions that are traced once for all signatures: the constants of the network, and the decoders, are there once.
        file = [tf.TensorSpec([], tf.string, name="file")]
        self._decode = tf.function(lambda file: image_files.decode(file, image_range), input_signature=file)
        self._decoded = tf.function(self._decode_batch, input_signature=[FILES])
        self.outputs = tf.function(lambda images: _named(*network(self._checked(images))), input_signature=[IMAGES])
        self.scores = tf.function(lambda images: self.outputs(images)["logits"], input_signature=[IMAGES])
        self.more = {}
        if finder.cells:
            self.more["boxes"] = tf.function(self._boxes_of_files, input_signature=[FILES])
        if finder.things:
            self.more["embedding"] = tf.function(self._embedding_of_images, input_signature=[IMAGES])
        for name in more:
            self.more[name] = tf.function(
                lambda images, name=name: outputs(self.scores(images), [name]), input_signature=[IMAGES]
            )

    def signatures(self):
        """{name: function}, as `tf.saved_model.save` takes them."""
        named = {"serving_default": self.classes_of_files, "png": self.png, "predict_images": self.predict_images}
        return named | self.more

    @tf.function(input_signature=[IMAGES])
    def predict_images(self, images):
        """Classes and confidence of RGB images, and the boxes of a network that has some."""
        found = self.outputs(images)
        return outputs(found["logits"], ["classes", "confidence"]) | self._boxes(found, images)

    @tf.function(input_signature=[FILES])
    def classes_of_files(self, image_bytes):
        """The same of image files."""
        return self.predict_images(self._decoded(image_bytes))

    @tf.function(input_signature=[FILES])
    def png(self, image_bytes):
        """The classes of image files as gray PNG files; TensorFlow Serving answers names in `_bytes` in base64."""
        classes = self.predict_images(self._decoded(image_bytes))["classes"]
        encoded = tf.map_fn(
            lambda one: tf.io.encode_png(one[..., tf.newaxis]),
            classes,
            fn_output_signature=tf.TensorSpec([], tf.string),
        )
        return {"png_bytes": encoded}

    def _boxes_of_files(self, image_bytes):
        """The boxes of image files alone."""
        images = self._decoded(image_bytes)
        return self._boxes(self.outputs(images), images)

    def _embedding_of_images(self, images):
        """Classes, confidence and embedding of RGB images: what `clustering.mean_shift` makes instances of, class by class."""
        found = self.outputs(images)
        result = outputs(found["logits"], ["classes", "confidence"])
        return result | {"embedding": self._finder.embedding(found["embedding"], result["classes"])}

    def _boxes(self, found, images):
        return self._finder.located(found, tf.shape(images)[1:3]) if self._finder.cells else {}

    def _decode_batch(self, files):
        """uint8 [batch, height, width, 3] of image files of one size."""
        check = tf.debugging.Assert(tf.size(files) > 0, ["Expected image files. Received: an empty batch."])
        with tf.control_dependencies([check]):
            counts = tf.map_fn(image_headers.pixels, files, fn_output_signature=tf.TensorSpec([], tf.int64))
        with tf.control_dependencies([self._few(tf.reduce_sum(counts))]):
            files = tf.identity(files)
        first = self._decode(files[0])

        def decode(i):
            image = tf.cond(i > 0, lambda: self._decode(files[i]), lambda: first)
            same = tf.reduce_all(tf.shape(image) == tf.shape(first))
            sizes = [tf.shape(first)[:2], "and", tf.shape(image)[:2]]
            said = ["Expected images of one size in a batch. Received:", *sizes]
            with tf.control_dependencies([tf.debugging.Assert(same, said)]):
                return tf.ensure_shape(tf.identity(image), [None, None, 3])

        pixels = tf.TensorSpec([None, None, 3], tf.uint8)
        return tf.map_fn(decode, tf.range(tf.size(files)), fn_output_signature=pixels)

    def _checked(self, images):
        """Images whose shape has been checked at run time: a convolution aborts the process on one without its batch."""
        # Of no known shape, since the check would be optimized away otherwise.
        given = tf.compat.v1.placeholder_with_default(images, None)
        shape = tf.shape(given, tf.int64)
        right = tf.cond(tf.size(shape) == 4, lambda: (shape[-1] == 3) & (tf.reduce_min(shape) > 0), lambda: False)
        check = tf.debugging.Assert(
            right, ["Expected images [batch, height, width, 3], none of them 0. Received shape:", shape], summarize=8
        )
        with tf.control_dependencies([check]):
            few = self._few(tf.reduce_prod(shape[:3]))
        with tf.control_dependencies([few]):
            return tf.ensure_shape(tf.identity(given), IMAGES.shape)

    def _few(self, count):
        said = [f"Expected at most {self._max_pixels} pixels in a request. Received:", count]
        return tf.debugging.Assert(count <= self._max_pixels, said)
