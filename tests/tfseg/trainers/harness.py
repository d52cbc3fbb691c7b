"""A run of a trainer up to its loop; the test takes the steps. Without evaluations and logs this costs what its graphs cost."""

import pathlib

import pytest
import tensorflow as tf

from tfseg import checkpoint, train


class Run:
    """What a trainer hands to `train.loop`: parts, state, values, step and stream."""

    def __init__(self, config):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train, "loop", self._keep)
            train.train(config)

    def _keep(self, parts, state, values, step, stream):
        self.parts, self.state, self.values, self.step, self.stream = parts, state, values, step, stream

    def batches(self):
        """From the step of the state on."""
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
