"""A run of a trainer up to its loop; the test takes the steps. Without evaluations and logs this costs what its graphs cost."""

import pathlib

import pytest
import tensorflow as tf

from input_pipeline import IGNORE, labelled, pipeline
from tfseg import checkpoint, train


def drawn(prepared, *, batch_size, crop_size, split="train", stream=0, first_batch=0, replicas=1, **_):
    """A `pipeline.training` of noise that is quickly traced: a function of the stream and of the position in it.

    The labels are ten classes by the first channel; a share of the pixels, another one in each image, has none.
    """

    @tf.autograph.experimental.do_not_convert
    def example(position):
        seed = tf.stack([position, stream])
        image = tf.random.stateless_uniform([*crop_size, 3], seed, 0.0, 255.9)
        share = tf.random.stateless_uniform([], seed + 7, 0.0, 0.5)
        label = (
            tf.cast(image[..., 0] / 25.6, tf.uint8) if split != labelled.UNLABELLED else tf.zeros(crop_size, tf.uint8)
        )
        label = tf.where(image[..., 1] < 255 * share, tf.constant(IGNORE, tf.uint8), label)
        found = {"image": image, "label": label, "id": tf.strings.as_string(position)}
        return found | ({pipeline.SEED: tf.cast(seed, tf.int32)} if split == labelled.UNLABELLED else {})

    positions = tf.data.Dataset.range(first_batch * batch_size, tf.int64.max)
    return positions.map(example).batch(batch_size // replicas, drop_remainder=True)


class Run:
    """What a trainer hands to `train.loop`: parts, state, values, step and stream."""

    def __init__(self, config):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train, "loop", self._keep)
            train.train(config)

    def _keep(self, parts, state, values, step, stream):
        self.parts, self.state, self.values, self.step, self.stream = parts, state, values, step, stream

    def batches(self):
        """From the step of the state on; noise in place of the data."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pipeline, "training", drawn)
            return iter(self.parts.strategy.distribute_datasets_from_function(self.stream))

    def take(self, count, batches):
        """Takes steps; returns their numbers for the log."""
        found = []
        for _ in range(count):
            [logged] = self.step([next(batches)])
            self.state.step += 1
            strategy = self.parts.strategy
            found.append({name: float(strategy.experimental_local_results(v)[0]) for name, v in logged.items()})
        return found

    def variables(self, tmp_path):
        """What a checkpoint of this moment would hold, by key."""
        reader = tf.train.load_checkpoint(self.values.write(str(tmp_path / "variables")))
        return {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in key}

    def save(self):
        checkpoint.save(pathlib.Path(self.parts.config.workdir), self.values, self.state, self.parts.config)

    def go_back(self):
        """Everything becomes as it was saved, as when a run resumes."""
        self.state.step = checkpoint.restore(self.parts.folder, self.values).step
