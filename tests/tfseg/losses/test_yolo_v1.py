import numpy as np
import pytest
import tensorflow as tf

from tests.tfseg.inference import reference
from tfseg import detection, losses
from tfseg.losses.yolo_v1 import yolo_v1

FILES = reference.files("yolo_v1")
SIZE = 64  # pixels of the drawn images: shares times a power of two are exact


def boxes_of(targets):
    """Boxes in pixels and classes, padded to the same number in all images and one more."""
    most = max(len(t["classes"]) for t in targets) + 1
    boxes, classes = np.zeros([len(targets), most, 4]), np.full([len(targets), most], -1, np.int32)
    for i, target in enumerate(targets):
        n = len(target["classes"])
        boxes[i, :n], classes[i, :n] = np.reshape(target["boxes"], [n, 4]) * SIZE, target["classes"]
    return boxes, classes


def inputs(case, dtype=np.float64):
    if "prediction" in case:
        cells = np.array(case["prediction"], dtype)
    else:
        shape = (len(case["targets"]), case["S"], case["S"], 5 * case["B"] + case["C"])
        cells = 1 / (1 + np.exp(-np.random.default_rng(case["seed"]).standard_normal(shape)))
    boxes, classes = boxes_of(case["targets"])
    image, logits = np.zeros([len(cells), SIZE, SIZE, 3], np.float32), np.zeros([1, 1, 1, case["C"]], np.float32)
    return cells.astype(dtype), boxes.astype(dtype), classes, image, logits


def run(given, **options):
    cells, *others = map(tf.convert_to_tensor, given)
    with tf.GradientTape() as tape:
        tape.watch(cells)
        total, count = yolo_v1(cells, *others, **options)
    return float(total), float(count), tape.gradient(total, cells).numpy()


# One cell with one box of three classes, exact in place: conf .8 to IoU 1: .04; probabilities (.6, 0, .1) to (1, 0, 0): .17.
ONE = np.array([[[[0.5, 0.5, 0.5, 0.25, 0.8, 0.6, 0.0, 0.1]]]], np.float32)
EMPTY = np.zeros([1, 8, 16, 3], np.float32)  # an image of 8 rows and 16 columns: the box is 8 wide and 2 high
BOX = np.array([[[4, 3, 12, 5]]], np.float32)
THREE = np.zeros([1, 1, 1, 3], np.float32)
CASES = [
    ((ONE, BOX, [[0]], EMPTY, THREE), {}, (0.21, 1)),
    ((ONE, BOX, [[9]], EMPTY, THREE[..., :2]), {"classes": (9, 4, 5)}, (0.21, 1)),
    ((ONE, BOX, [[7]], EMPTY, THREE[..., :2]), {"classes": (9, 4, 5)}, (0.5 * 0.64, 1)),  # no object: noobj .8^2
    # 2 columns to the right: x off by 2/16, weight 5. The IoU is 6 / 10: (.8 - .6)^2, and .17 as before.
    ((ONE, BOX + [2, 0, 2, 0], [[0]], EMPTY, THREE), {}, (5 / 64 + 0.04 + 0.17, 1)),
]  # fmt: skip


@pytest.mark.parametrize("case", [c for f in FILES for c in f["cases"]], ids=lambda c: c["name"])
def test_values_are_those_of_the_reference(case):
    images = len(case["targets"])
    total, count, gradient = run(inputs(case), **FILES[0]["settings"])
    assert count == images
    assert total / images == pytest.approx(case["terms"]["total"], rel=1e-6)
    assert np.isfinite(gradient).all()
    # Without both weights the object's confidence and its classes are left; each weight alone adds its terms.
    left = run(inputs(case), coord=0.0, noobj=0.0)[0] / images
    assert left == pytest.approx(case["terms"]["object"] + case["terms"]["classes"], rel=1e-6, abs=1e-12)
    placed = run(inputs(case), coord=5.0, noobj=0.0)[0] / images - left
    assert placed == pytest.approx(case["terms"]["xy"] + case["terms"]["wh"], rel=1e-5, abs=1e-6)
    assert run(inputs(case, np.float32), **FILES[0]["settings"])[0] / images == pytest.approx(
        case["terms"]["total"], rel=1e-5
    )


def test_images_add_up_and_xla_agrees():
    case = next(c for f in FILES for c in f["cases"] if len(c["targets"]) > 1)
    given = inputs(case, np.float32)
    whole = run(given)
    parts = [run([x[i : i + 1] if x.shape[0] > 1 else x for x in given]) for i in range(len(case["targets"]))]
    assert sum(p[0] for p in parts) == pytest.approx(whole[0], rel=1e-6)
    compiled = tf.function(yolo_v1, jit_compile=True)(*map(tf.constant, given))
    np.testing.assert_allclose(compiled[0], whole[0], rtol=1e-5)


def test_a_side_of_0_has_a_finite_gradient_and_no_gradient_passes_the_iou():
    cells = ONE.copy()
    cells[..., 2] = 0
    assert np.isfinite(run((cells, BOX, np.array([[0]]), EMPTY, THREE))[2]).all()
    # Without the weight of the place, x moves the loss only through the IoU.
    moved = run((ONE, BOX + np.float32([2, 0, 2, 0]), np.array([[0]]), EMPTY, THREE), coord=0.0)[2]
    assert moved[0, 0, 0, :4].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("case", [c for f in FILES for c in f["decode"]], ids=lambda c: f"seed {c['seed']}")
def test_decoded_boxes_are_those_of_the_reference(case):
    shape = (case["S"], case["S"], 5 * case["B"] + case["C"])
    cells = 1 / (1 + np.exp(-2 * np.random.default_rng(case["seed"]).standard_normal(shape)))
    cells[..., [2, 3, 7, 8]] *= 0.3
    options = {"threshold": case["threshold"], "overlap": case["overlap"], "most": 500}
    found = detection.decode(tf.constant(cells[None]), case["C"], **options)
    count = int(found.count[0])
    assert count == len(case["detections"])
    rows = np.concatenate([found.classes[0, :count, None], found.scores[0, :count, None], found.boxes[0, :count]], 1)
    rows = sorted(rows.tolist(), key=lambda row: (row[0], -row[1]))
    np.testing.assert_allclose(rows, case["detections"], atol=1e-5)


def test_a_spec_names_what_it_reads_and_wrong_options_are_refused():
    (term,) = losses.build("0.02*yolo_v1(noobj=0.2)")
    assert term.reads == ("detection", "boxes", "box_classes", "image", "logits")
    losses.check_reads(
        [*losses.build("cross_entropy"), term], ["logits", "detection"], ["image", "label", *term.reads[1:3]]
    )
    with pytest.raises(ValueError, match=r"8 channels\. Name the classes of the cells with classes"):
        yolo_v1(ONE, BOX, [[0]], EMPTY, THREE[..., :2])
    with pytest.raises(ValueError, match="Expected coord and noobj of 0 or more"):
        yolo_v1(ONE, BOX, [[0]], EMPTY, THREE, coord=-1.0)
