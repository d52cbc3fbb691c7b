"""What a run is made of, where its data is a mixture."""

import dataclasses

import pytest

from tests.tfseg.conftest import STREETS
from tests.tfseg.trainers.harness import Run

MIXTURE = f"{STREETS} + 0.5*streets(train=2, val=1, size=(32, 48), seed=1)"


def test_a_run_trains_on_a_mixture(config, normed_network, capsys):
    """Eight and four images are an epoch, three batches of four; what evaluates is the val split of the first."""
    config = dataclasses.replace(config, dataset=MIXTURE, steps=0, epochs=2)
    parts = Run(config).parts
    assert parts.prepared.splits == {"train": 12, "val": 3}
    assert parts.total_steps == 6
    printed = capsys.readouterr().out
    assert "an epoch has 8 of streets (1 times each of 8), 4 of streets (2 times each of 2)" in printed
    with pytest.raises(ValueError, match="Expected one data set with --labelled"):
        Run(dataclasses.replace(config, labelled="0.5"))
