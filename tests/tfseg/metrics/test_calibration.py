import numpy as np
import pytest

from tests.tfseg.inference import reference
from tests.tfseg.metrics import samples
from tfseg.metrics import calibration

CASES = [case for file in reference.files("calibration") for case in file["cases"]]


def inputs(case):
    """The probabilities and the label of a case; those of the second and the third are drawn as the file says."""
    if "probabilities" in case:
        return np.array(case["probabilities"]), np.array(case["label"])
    rng = np.random.default_rng(case["seed"])
    scores = np.exp(1.5 * rng.standard_normal((6, 8, 4)))
    probabilities = scores / scores.sum(-1, keepdims=True)
    label = rng.integers(0, 4, (6, 8))
    label = np.where(rng.random((6, 8)) < 0.7, probabilities.argmax(-1), label)
    label[0, :3] = 255
    return probabilities, label


def values(probabilities, label, bins):
    count = calibration.calibration([str(i) for i in range(probabilities.shape[-1])], bins=bins)
    scores = np.log(probabilities).astype("float32")[np.newaxis]
    return count.values(samples.total(count, label.astype("uint8")[np.newaxis], scores)), count


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['name']} {case['bins']}")
def test_values_are_those_of_the_reference(case):
    found, _ = values(*inputs(case), case["bins"])
    for key in ("ece", "mce", "brier", "nll"):
        assert found["calibration"][key] == pytest.approx(case[key], rel=1e-5), key
    assert found["expected_calibration_error"] == found["calibration"]["ece"]
    rows = found["calibration"]["rows"]
    assert [row[:2] for row in rows] == [row[:2] for row in case["rows"]]
    np.testing.assert_allclose(rows, case["rows"], atol=1e-6)


def test_a_perfect_and_an_overconfident_network():
    """Certain and right: no error. Certain (to 1e-9) and always wrong: the error is the confidence, 1."""
    sure = np.array([[[1 - 1e-9, 1e-9]] * 3])
    right, count = values(sure, np.zeros((1, 3), int), 10)
    wrong, _ = values(sure, np.ones((1, 3), int), 10)
    assert right["expected_calibration_error"] == pytest.approx(0, abs=1e-7)
    assert wrong["expected_calibration_error"] == pytest.approx(1)
    assert wrong["calibration"]["brier"] == pytest.approx(2)
    assert wrong["calibration"]["nll"] == pytest.approx(9 * np.log(10), abs=1e-5)
    section = count.section(wrong)
    assert "confidence 100.00 %: 0.00 % right, 3 pixels" in section
    assert "Calibration errors: expected error 100.00 %, largest error 100.00 %" in section


def test_a_class_that_only_the_network_has_is_wrong_but_has_a_probability():
    """Confidence 0.6 in the network's third class: wrong. Brier: (0.3 - 1)^2 + 0.1^2 + 0.6^2 = 0.86."""
    count = calibration.calibration(["a", "b"], bins=5)
    scores = np.log(np.array([[[[0.3, 0.1, 0.6]]]], "float32"))
    found = count.values(samples.total(count, np.zeros((1, 1, 1), "uint8"), scores))["calibration"]
    assert found["rows"] == [[2, 1, 0.0, pytest.approx(0.6)]]
    assert found["brier"] == pytest.approx(0.86, rel=1e-6)
