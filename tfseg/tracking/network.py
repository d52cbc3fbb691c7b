"""What tracking asks of a network: an object's probability from its mask in the frame before, its features, the foreground."""

import cv2
import keras
import numpy as np
import tensorflow as tf

from tfseg.tracking import crops

CHANNELS = 6
FEATURES = "features"  # the output by which objects are recognised


class Network:
    """A network of frame, flow and mask (models/mask_propagation.py), and the size of its crops."""

    def __init__(self, model: keras.Model, size: tuple[int, int]):
        """`size` is (height, width) in pixels.

        Raises:
            ValueError: if the network has other inputs or outputs.
        """
        channels, classes = model.input.shape[-1], model.output["logits"].shape[-1]
        if channels != CHANNELS or classes < 2 or FEATURES not in model.output:
            raise ValueError(
                f"Expected for --mode=track a network of {CHANNELS} channels with two classes or more and the output "
                f"{FEATURES}, such as mask_propagation. Received: {model.name} of {channels} channels and {classes} classes, "
                f"with {', '.join(model.output)}. Train one: python main.py --flagfile=configs/digits_mask_propagation.flags"
            )
        self.size = size
        signature = [tf.TensorSpec([None, None, None, CHANNELS], tf.float32)]

        @tf.function(input_signature=signature, autograph=False)
        def compute(inputs):
            outputs = model(inputs, training=False)
            # The background and the object; a network for data with more classes has further outputs, which mean nothing.
            return tf.nn.softmax(outputs["logits"][..., :2])[..., 1], outputs[FEATURES]

        self._compute = compute

    def objects(self, frame: np.ndarray, flow: np.ndarray, masks: list[np.ndarray]) -> list[np.ndarray]:
        """The probability of each object, float32 [height, width], in its box; the mean of the crop and of its mirror image.

        Args:
            frame: RGB uint8 [height, width, 3].
            flow: float [height, width, 2], where each pixel was, in pixels.
            masks: of each object, 0..1, moved along the flow; one or more pixels of each are above 0.5.
        """
        if not masks:
            return []
        boxes = [crops.around(mask > 0.5) for mask in masks]
        given = [crops.cut(frame, flow, mask, box, self.size) for mask, box in zip(masks, boxes, strict=True)]
        answers, _ = self._compute(np.stack([*given, *map(crops.mirrored, given)]))
        answers = answers.numpy()
        means = (answers[: len(given)] + answers[len(given) :, :, ::-1]) / 2
        return [crops.pasted(mean, box, frame.shape[:2]) for mean, box in zip(means, boxes, strict=True)]

    def features(self, frame: np.ndarray, masks: list[np.ndarray]) -> np.ndarray:
        """What each object looks like: the features in its box, the mean over its mask, of length 1; [objects, channels].

        Args:
            frame: RGB uint8 [height, width, 3].
            masks: bool [height, width], each of one pixel or more.
        """
        still = np.zeros((*frame.shape[:2], 2), np.float32)
        boxes = [crops.around(mask) for mask in masks]
        given = [crops.cut(frame, still, mask, box, self.size) for mask, box in zip(masks, boxes, strict=True)]
        found = self._compute(np.stack(given))[1]
        covered = tf.image.resize(np.stack(given)[..., -1:] / 255, found.shape[1:3], "area")
        mean = (found * covered).numpy().sum((1, 2))
        return mean / np.maximum(np.linalg.norm(mean, axis=-1, keepdims=True), 1e-12)

    def foreground(self, frame: np.ndarray) -> np.ndarray:
        """The probability that a pixel belongs to any object, float32 [height, width]: the answer to an empty mask.

        A frame that is smaller than the crops is enlarged to them, as images were in the training.
        """
        height, width = frame.shape[:2]
        scale = max(1.0, min(self.size) / min(height, width))
        size = round(height * scale), round(width * scale)
        nothing = np.zeros((height, width, 3), np.float32)
        empty = crops.cut(frame, nothing[..., :2], nothing[..., 0], crops.Box(0, 0, height, width), size)
        return cv2.resize(self._compute(empty[np.newaxis])[0][0].numpy(), (width, height))
