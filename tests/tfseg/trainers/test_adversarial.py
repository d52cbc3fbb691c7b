"""The discriminator, and every term of both networks, against the numbers of the authors' code."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import weights
from tests.parity import fill, test_parity
from tests.tfseg.inference import reference
from tests.tfseg.trainers.conftest import SPECS
from tests.tfseg.trainers.harness import Run
from tfseg import gradients
from tfseg.losses.cross_entropy import cross_entropy
from tfseg.trainers import adversarial

NETWORKS = reference.files("advsemiseg_discriminator")
LOSSES = reference.files("advsemiseg_losses")
BY = {"labelled": 0, "unlabelled": 1}  # the logits that a gradient of the file is by


def filled(file, gain=None):
    """The discriminator with the weights of the file."""
    keras.backend.clear_session()
    model = adversarial.build_discriminator(file["num_classes"])
    model.renames, model.aliases, model.unused = (), (), ()
    weights.load(model, fill.state_dict({**file, "gain": gain or file["gain"]}))
    return model


@pytest.mark.parametrize("file", NETWORKS, ids=lambda file: file["name"])
def test_the_discriminator_is_the_reference(file):
    model = filled(file)
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == file["trainable_params"]
    small = keras.Model(model.input, model.get_layer("classifier").output)
    for case in file["cases"]:
        drawn = np.random.default_rng(case["seed"]).standard_normal((1, case["h"], case["w"], file["num_classes"]))
        maps = np.exp(drawn) / np.exp(drawn).sum(-1, keepdims=True)
        test_parity.check(np.asarray(small(maps.astype(np.float32))), case)


@pytest.mark.parametrize(
    ("file", "case"), [(f, c) for f in LOSSES for c in f["cases"]], ids=lambda x: x.get("name", str(x.get("seed")))
)
def test_all_terms_and_gradients_are_those_of_the_reference(file, case):
    draw = np.random.default_rng(case["seed"])
    shape = (case["images"], case["h"], case["w"])
    logits = 2 * draw.standard_normal((*shape, file["num_classes"]))
    label = draw.integers(0, file["num_classes"], shape)
    label[:, : case["h"] // 4, : case["w"] // 3] = 255
    given = [tf.constant(x, tf.float32) for x in (logits, 2 * draw.standard_normal((*shape, file["num_classes"])))]
    labels, everywhere = tf.constant(label, tf.uint8), tf.zeros(shape, tf.uint8)
    threshold = file["settings"]["T_semi"]
    discriminator = filled(NETWORKS[0], file["gain"])
    factors = {
        "cross_entropy": 1.0,
        "adversarial/labelled": file["settings"]["lambda_adv"],
        "adversarial/unlabelled": file["settings"]["lambda_semi_adv"],
        "adversarial/semi": file["settings"]["lambda_semi"],
    }

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(given)
        seen = [adversarial.see(discriminator, x, y) for x, y in zip(given, (labels, everywhere), strict=True)]
        pairs = {"cross_entropy": cross_entropy(given[0], labels), **adversarial.deceiving(seen, threshold)}
        means = {name: total / count for name, (total, count) in pairs.items()}
        total = sum(factors[name] * mean for name, mean in means.items())
    told, shares = adversarial.telling(discriminator, seen, labels, threshold)
    found = {
        "cross_entropy": means["cross_entropy"],
        "adversarial_labelled": means["adversarial/labelled"],
        "adversarial_unlabelled": means["adversarial/unlabelled"],
        "semi_supervised": means["adversarial/semi"],
        "segmentation_total": total,
    }
    found |= {f"discriminator_on_{k.split('/')[1]}": total / count for k, (total, count) in told.items()}
    both = found["discriminator_on_predictions"] + found["discriminator_on_labels"]
    found |= {"discriminator_total_of_the_code": both / 2, "discriminator_total_of_the_paper": both}
    assert found.keys() == case["losses"].keys()
    for name, value in case["losses"].items():
        assert float(found[name]) == pytest.approx(value, rel=1e-5), name
    assert float(pairs["adversarial/labelled"][1]) == case["counts"]["labelled_pixels"]
    assert [float(x) for x in shares["confident_share"]] == [case["counts"]["confident_pixels"], np.prod(shape)]

    terms = {"adversarial_labelled": means["adversarial/labelled"], "semi_supervised": means["adversarial/semi"]}
    for name, expected in case["gradients"].items():
        term, by = name.removesuffix("_logits").split("_by_")
        gradient = tape.gradient(terms.get(term, total), given[BY[by]]).numpy().ravel()
        tolerance = 1e-4 * max(abs(expected["max"]), abs(expected["min"]))
        found = fill.samples(gradient)[: len(expected["values"])]
        np.testing.assert_allclose(found, expected["values"], rtol=0, atol=tolerance, err_msg=name)
        assert gradient.max() == pytest.approx(expected["max"], abs=tolerance)


def test_the_log_has_each_term_and_what_the_discriminator_recognises(run):
    """The term of confident pixels begins at half of the four steps; with the threshold 0 every pixel is confident."""
    _, found, _, _ = run(SPECS["adversarial"])
    in_the_loss = {"logits/cross_entropy", "adversarial/labelled", "adversarial/unlabelled", "adversarial/semi"}
    of_the_other = {"discriminator/predictions", "discriminator/labels"}
    for line in found:
        assert {name for name in line if "/" in name and "norms/" not in name} == in_the_loss | of_the_other
        assert line["loss"] == pytest.approx(sum(line[name] for name in in_the_loss), rel=1e-5)
        assert min(line["recognised_predictions"], line["recognised_labels"]) >= 0
        assert max(line["recognised_predictions"], line["recognised_labels"]) <= 1
        assert line["confident_share"] == pytest.approx(1)
    assert [line["adversarial/semi"] > 0 for line in found] == [False, False, True, True]
    # ln 2 / 2 for a discriminator that knows nothing; the first weights are small.
    assert found[0]["discriminator/labels"] == pytest.approx(np.log(2) / 2, rel=0.2)


def test_no_confident_pixel_leaves_the_other_terms_also_in_half_precision(config, normed_network):
    """The authors' code drops the adversarial term of the unlabelled images then."""
    config = dataclasses.replace(
        config, labelled="0.5", precision="mixed_float16", trainer="adversarial(threshold=1.0, start=0, width=2)"
    )
    run = Run(config)
    for line in run.take(2, run.batches()):
        assert (line["confident_share"], line["adversarial/semi"]) == (0, 0)
        assert line["adversarial/unlabelled"] > 0
        assert 0 < line["loss_scale"] <= gradients.INITIAL
        assert all(np.isfinite(value) for value in line.values())
