"""The attack and the check, with numbers derived by hand and those of the reference."""

import keras
import numpy as np
import pytest

import input_pipeline
from tests.tfseg.conftest import STREETS
from tests.tfseg.inference import reference
from tfseg import robustness
from tfseg.config import Config

FILES = reference.files("spatial_consistency")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file["name"])
def test_agreement_is_that_of_the_reference(file):
    scores = []
    for pair in file["pairs"]:
        maps = (np.array(pair[key]) for key in ("prediction_first", "prediction_second"))
        scores.append(robustness.agreement(*maps, pair["first"], pair["second"]))
        assert scores[-1] == pytest.approx(pair["miou"], rel=1e-6)
    assert np.mean(scores) == pytest.approx(file["mean"], rel=1e-6)


def test_agreement_by_hand():
    """Windows of 2 x 3 one column apart share 2 x 2: [[1, 2], [2, 2]] and [[1, 2], [1, 2]]: class 1 1/2, class 2 2/3."""
    first, second = np.array([[9, 1, 2], [9, 2, 2]]), np.array([[1, 2, 9], [1, 2, 9]])
    assert robustness.agreement(first, second, (4, 5), (4, 6)) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert robustness.agreement(second, first, (4, 6), (4, 5)) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_auc_by_hand():
    """Of six pairs (0.9, 0.5) x (0.1, 0.5, 0.7): 0.9 is above three; 0.5 is above one and equal to one: 4.5 of 6."""
    assert robustness.auc([0.9, 0.5], [0.1, 0.5, 0.7]) == 4.5 / 6
    assert robustness.auc([2, 3], [0, 1]) == 1
    assert robustness.auc([0, 1], [2, 3]) == 0
    assert robustness.auc([1, 1], [1, 1, 1]) == 0.5


def test_the_projection_by_hand():
    """Steps of 3 within eps 5: against the sign of the gradient, then held at 5 from the start, and inside 0..255."""
    attack = robustness.pgd(eps=5, steps=2, step=3)
    image = np.array([[[100.0, 2.0, 254.0]]], np.float32)
    seen = []

    def gradient(x):
        seen.append(x.ravel().tolist())
        return np.array([[[-0.1, 7.0, -2.0]]])

    assert robustness.perturbed(attack, image, gradient).ravel().tolist() == [105, 0, 255]
    assert seen == [[100, 2, 254], [103, 0, 255]]
    assert robustness.perturbed(attack, image, lambda x: np.zeros_like(x)).tolist() == image.tolist()


def test_targets_by_hand():
    prediction = np.array([[1, 1, 1, 2, 0, 0, 1, 1]], np.int32)
    # Mirrored it is 1 1 0 0 2 1 1 1; moved by two columns, 1 1 1 1 0 0 2 1.
    assert robustness.target_map("shift", prediction).tolist() == [[1, 1, 1, 1, 0, 0, 2, 1]]
    assert robustness.target_map("constant", prediction).tolist() == [[2] * 8]
    assert robustness.target_map("image:x", prediction, 2 - prediction).tolist() == (2 - prediction).tolist()
    with pytest.raises(ValueError, match="as large as the one that is attacked"):
        robustness.target_map("image:x", prediction, prediction[:, :4])


def test_windows_lie_in_the_image_and_share_a_quarter():
    checked = robustness.patches(size=(6, 9), pairs=300)
    pairs = robustness.windows(checked, (13, 20), np.random.default_rng(0))
    assert pairs == robustness.windows(checked, (13, 20), np.random.default_rng(0))
    for (y, x), (v, u) in pairs:
        assert 0 <= min(y, v) <= max(y, v) <= 7
        assert 0 <= min(x, u) <= max(x, u) <= 11
        assert (6 - abs(y - v)) * (9 - abs(x - u)) >= 6 * 9 / 4
    corners = np.array(pairs).reshape(-1, 2)
    assert set(corners[:, 0].tolist()) == set(range(8))  # every place occurs
    assert set(corners[:, 1].tolist()) == set(range(12))
    assert robustness.windows(robustness.patches(size=(13, 20)), (13, 20), np.random.default_rng(0))[0] == (
        (0, 0),
        (0, 0),
    )


def network(classes):
    """Large weights: easily deceived. The mean over 3 x 3 lets the borders of windows matter."""
    inputs = keras.Input((None, None, 3), dtype="float32")
    x = keras.layers.AveragePooling2D(3, 1, padding="same")(inputs / 255.0)
    model = keras.Model(inputs, {"logits": keras.layers.Conv2D(classes, 1, name="logits")(x)})
    rng = np.random.default_rng(0)
    model.set_weights([10 * rng.normal(size=(1, 1, 3, classes)), rng.normal(size=classes)])
    return model


def test_an_attack_on_a_network(cache):
    prepared = input_pipeline.prepare(STREETS, cache_dir=cache)
    model = network(prepared.num_classes)
    attack, checked = robustness.pgd(eps=60, images=2), robustness.patches(size=(16, 16), pairs=6)
    found = robustness.measure(model, prepared, "val", attack, checked, seed=1)
    assert found["images"] == 2
    assert list(found["consistency"]) == ["clean", "noise", "attacked"]
    assert found["target_reached"] > 0.5
    weaker = robustness.measure(model, prepared, "val", robustness.pgd(eps=4, images=2), None)
    assert weaker["target_reached"] < found["target_reached"]
    assert "consistency" not in weaker
    assert robustness.measure(model, prepared, "val", attack, checked, seed=1) == found
    clean = robustness.measure(model, prepared, "val", None, checked)
    assert list(clean["consistency"]) == ["clean"]
    assert 0 < clean["consistency"]["clean"]["mean"] <= 1
    text = robustness.table(found)
    assert f"{100 * found['target_reached']:.2f} %" in text
    assert "AUC clean / attacked" in text
    assert "Robustness" in robustness.section({"robustness": found})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attack": "pgd(eps=0)"}, "Expected pgd"),
        ({"attack": "fgsm"}, "fgsm"),
        ({"attack": "pgd(target='cat')"}, "Expected a target: shift"),
        ({"consistency": "patches"}, "size"),
        ({"consistency": "patches(size=(4, 4), pairs=0)"}, "Expected patches"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        robustness.build(Config(**options))


def test_windows_larger_than_an_image_are_refused(cache):
    prepared = input_pipeline.prepare(STREETS, cache_dir=cache)
    robustness.check_sizes(robustness.patches(size=(32, 48)), prepared, "val")
    with pytest.raises(ValueError, match="of no more pixels than the images have"):
        robustness.check_sizes(robustness.patches(size=(33, 48)), prepared, "val")
