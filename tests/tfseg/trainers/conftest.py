"""Runs of the trainers that several tests look at."""

import dataclasses
import functools

import pytest

import models
from tests.tfseg.conftest import STREETS, normed
from tests.tfseg.trainers.harness import Run
from tfseg.config import Config

# The smallest options that use all of a trainer; a new one runs with its defaults. Nothing is as sure as 0.95 in four steps.
SPECS = {
    "adversarial": "adversarial(labelled=0.1, unlabelled=0.1, semi=1.0, start=0.5, threshold=0.0, width=2)",
    "mean_teacher": "mean_teacher(confidence=0.1, strong='brightness(0.3) | cutmix')",
}


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """Eight images are two groups of four that are mixed, on one device and on two."""
    folder = tmp_path_factory.mktemp("trainers")
    return Config(
        dataset=STREETS, cache_dir=str(folder / "cache"), model="unet(width=2)", augment="",
        crop_size=(32, 32), batch_size=8, steps=4, learning_rate=0.01, schedule="constant", optimizer="sgd", ema_decay=0.6,
        labelled="0.5", strategy="one_device", workdir=str(folder / "run"),
    )  # fmt: skip


@pytest.fixture(scope="session")
def run(base, tmp_path_factory):
    """A function (trainer, strategy) -> its run of four steps, saved after two; their numbers; its variables after 2 and 4."""
    folder = tmp_path_factory.mktemp("variables")

    @functools.cache
    def taken(trainer, strategy="one_device"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(models, "build", normed(width=4))
            run = Run(
                dataclasses.replace(
                    base, trainer=trainer, strategy=strategy, workdir=str(tmp_path_factory.mktemp("run"))
                )
            )
            batches = run.batches()
            numbers = run.take(2, batches)
            run.save()
            half = run.variables(folder)
            numbers += run.take(2, batches)
        return run, numbers, half, run.variables(folder)

    return taken
