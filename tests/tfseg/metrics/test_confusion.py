"""The matrix, the dictionary of all metrics and its table; each metric has its own test file."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tfseg import metrics

NAMES = ("road", "car", "sky")

# cm =  [[3, 1, 0],   row sums    = [4, 2, 2]     diagonal = [3, 1, 2]
#        [1, 1, 0],   column sums = [4, 2, 2]     union    = [4+4-3, 2+2-1, 2+2-2] = [5, 3, 2]
#        [0, 0, 2]]                               IoU      = [3/5, 1/3, 1]
LABEL = np.array([[0, 0, 0, 0], [1, 1, 2, 2]], "uint8")
PREDICTION = np.array([[0, 0, 0, 1], [0, 1, 2, 2]], "int64")
CONFUSION = [[3, 1, 0], [1, 1, 0], [0, 0, 2]]


def test_confusion_matrix():
    result = metrics.confusion_matrix(LABEL, PREDICTION, 3)
    assert result.dtype == tf.int64
    np.testing.assert_array_equal(result, CONFUSION)


def test_ignored_pixels_do_not_count():
    label = np.stack([LABEL, np.full_like(LABEL, 255)])
    prediction = np.stack([PREDICTION, PREDICTION])
    np.testing.assert_array_equal(metrics.confusion_matrix(label, prediction, 3), CONFUSION)
    # 255 is no class of a network of 300 either, and ids that the network does not have do not wrap into other cells.
    assert not np.any(metrics.confusion_matrix([255, 255], [0, 255], 300))
    np.testing.assert_array_equal(metrics.confusion_matrix([3, 200, 1], [0, 2, 1], 3), np.diag([0, 1, 0]))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_confusion_matrix_in_a_graph_of_unknown_size(jit_compile):
    rng = np.random.default_rng(0)
    label, prediction = rng.integers(0, 12, (2, 2, 30, 40))
    label[label == 11] = 255
    expected = np.zeros((11, 11), int)
    np.add.at(expected, (label[(label < 11) & (prediction < 11)], prediction[(label < 11) & (prediction < 11)]), 1)
    label[prediction == 11], prediction[prediction == 11] = 255, 0
    signature = [tf.TensorSpec([None, None, None], tf.uint8), tf.TensorSpec([None, None, None], tf.int64)]
    run = tf.function(lambda a, b: metrics.confusion_matrix(a, b, 11), signature, jit_compile=jit_compile)
    result = run(label.astype("uint8"), prediction)
    assert result.shape == (11, 11)
    np.testing.assert_array_equal(result, expected)


def test_sum_over_replicas():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        total = tf.Variable(
            tf.zeros([3, 3], tf.int64),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.SUM,
        )
    data = tf.data.Dataset.from_tensor_slices((LABEL, PREDICTION)).batch(2)  # a row a replica

    @tf.function
    def step(batch):
        strategy.run(lambda a, b: total.assign_add(metrics.confusion_matrix(a, b, 3)), args=batch)

    for batch in strategy.experimental_distribute_dataset(data):
        step(batch)
    np.testing.assert_array_equal(total.numpy(), CONFUSION)


def test_compute():
    """Every metric: first single numbers, then metrics with one number per class, by name."""
    result = metrics.compute(CONFUSION, NAMES)
    of_classes = [name for name, value in result.items() if isinstance(value, dict)]
    assert list(result) == [*(n for n in metrics.names("confusion") if n not in of_classes), *of_classes]
    assert of_classes == sorted(of_classes)
    assert result["miou"] == pytest.approx((3 / 5 + 1 / 3 + 1) / 3)
    assert result["iou"] == pytest.approx({"road": 3 / 5, "car": 1 / 3, "sky": 1.0})


def test_class_in_neither_is_left_out():
    # cm = [[3, 0, 1],   row sums    = [4, 0, 2]   union    = [4, 0, 3]       class 1 is absent
    #       [0, 0, 0],   column sums = [3, 0, 3]   IoU      = [3/4, -, 2/3]
    #       [0, 0, 2]]                             accuracy = [3/4, -, 1]
    result = metrics.compute([[3, 0, 1], [0, 0, 0], [0, 0, 2]], NAMES)
    assert result["iou"] == pytest.approx({"road": 3 / 4, "car": None, "sky": 2 / 3})
    assert result["miou"] == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert result["mean_accuracy"] == pytest.approx((3 / 4 + 1) / 2)
    assert result["frequency_weighted_iou"] == pytest.approx(4 / 6 * 3 / 4 + 2 / 6 * 2 / 3)


def test_class_that_is_only_predicted_counts_as_0():
    # cm = [[3, 1, 0],   row sums    = [4, 0, 2]   union    = [4, 1, 2]
    #       [0, 0, 0],   column sums = [3, 1, 2]   IoU      = [3/4, 0, 1]
    #       [0, 0, 2]]                             accuracy = [3/4, -, 1]
    result = metrics.compute([[3, 1, 0], [0, 0, 0], [0, 0, 2]], NAMES)
    assert result["iou"] == pytest.approx({"road": 3 / 4, "car": 0, "sky": 1})
    assert result["miou"] == pytest.approx((3 / 4 + 0 + 1) / 3)
    assert result["mean_accuracy"] == pytest.approx((3 / 4 + 1) / 2)


def test_extra_classes_of_the_network_are_wrong():
    # cm = [[3, 0, 1],   two named classes, row sums    = [4, 4]   diagonal = [3, 2]
    #       [1, 2, 1],                      column sums = [4, 2]   union    = [5, 4]
    #       [0, 0, 0]]   as many wrong as pixels in column 2       IoU      = [3/5, 2/4]
    result = metrics.compute([[3, 0, 1], [1, 2, 1], [0, 0, 0]], NAMES[:2])
    assert result["iou"] == pytest.approx({"road": 3 / 5, "car": 1 / 2})
    assert result["miou"] == pytest.approx((3 / 5 + 1 / 2) / 2)
    assert result["pixel_accuracy"] == pytest.approx(5 / 8)
    assert result["mean_accuracy"] == pytest.approx((3 / 4 + 2 / 4) / 2)


def test_nothing_counted():
    result = metrics.compute(np.zeros((3, 3), "int64"), NAMES)
    assert all(value in (None, dict.fromkeys(NAMES)) for value in result.values())


def test_json_and_int64():
    # More pixels than int32 holds: 5000 Cityscapes images are 1e10.
    result = metrics.compute(np.int64(10**10) * np.array(CONFUSION), NAMES)
    assert json.loads(json.dumps(result)) == result
    assert result["pixel_accuracy"] == pytest.approx(6 / 8)


@pytest.mark.parametrize(
    ("confusion", "names", "message"),
    [
        (np.eye(2), NAMES, "3 or more classes"),
        (np.eye(4), NAMES, "1 pixels with a label of 3 or more"),
        (np.eye(3), ("road", "car", "car"), "names that differ"),
    ],
)
def test_errors(confusion, names, message):
    with pytest.raises(ValueError, match=message):
        metrics.compute(confusion, names)


def test_table():
    confusion = [[3, 0, 1], [0, 0, 0], [0, 0, 2]]
    some = ("frequency_weighted_iou", "iou", "mean_accuracy", "miou", "pixel_accuracy")
    values = {name: value for name, value in metrics.compute(confusion, NAMES).items() if name in some}
    result = metrics.table(values | {"images": 2, "step": 7}, confusion)
    assert result.split("\n") == [
        "class                   iou %  pixels %",
        "road                    75.00     66.67",
        "car                         -      0.00",
        "sky                     66.67     33.33",
        "",
        "frequency_weighted_iou  72.22",
        "mean_accuracy           87.50",
        "miou                    70.83",
        "pixel_accuracy          83.33",
    ]


def test_table_of_all_metrics_fits_a_terminal_and_leaves_out_dice():
    lines = metrics.table(metrics.compute(CONFUSION, NAMES), CONFUSION).split("\n")
    assert lines[0].split("  ")[0] == "class"
    assert lines[0].split() == ["class", *(w for n in ("iou", "precision", "recall", "pixels") for w in (n, "%"))]
    assert lines[2].split() == ["car", "33.33", "50.00", "50.00", "25.00"]
    assert max(map(len, lines)) <= 80


def test_table_of_nothing():
    empty = np.zeros((3, 3), "int64")
    lines = metrics.table(metrics.compute(empty, NAMES), empty).split("\n")
    assert set(lines[1].split()) == {"road", "-"}
    assert ["pixel_accuracy", "-"] in [line.split() for line in lines]
    assert "pixels" not in metrics.table(metrics.compute(empty, NAMES))


def test_unlabelled_pixels_in_the_unions():
    # The fourth pixel of each row has no label. A network of four classes gives it class 1 in the first row, 3 in the second.
    label = np.array([[[0, 0, 0, 255], [1, 1, 2, 255]]], "uint8")
    prediction = np.array([[[0, 0, 1, 1], [1, 0, 2, 3]]])
    confusion = metrics.confusion_matrix(label, prediction, 4)
    unlabelled = metrics.unlabelled(label, prediction, 4)
    assert unlabelled.dtype == tf.int64
    assert unlabelled.numpy().tolist() == [0, 1, 0, 1]
    # Without them the IoUs are 2/4, 1/3 and 1/1; the union of car grows by one pixel, and class 3 has no IoU.
    assert metrics.compute(confusion, NAMES)["iou"] == {"road": 2 / 4, "car": 1 / 3, "sky": 1.0}
    assert metrics.compute_with_unlabelled(confusion, unlabelled, NAMES) == {
        "miou": pytest.approx((2 / 4 + 1 / 4 + 1) / 3),
        "iou": {"road": 2 / 4, "car": 1 / 4, "sky": 1.0},
    }


def test_a_class_only_where_there_is_no_label_has_a_union():
    result = metrics.compute_with_unlabelled(np.diag([2, 0, 0]), np.array([0, 5, 0]), NAMES)
    assert result["iou"] == {"road": 1.0, "car": 0.0, "sky": None}
    assert result["miou"] == 0.5
    nothing = metrics.compute_with_unlabelled(np.zeros((3, 3)), np.zeros(3, int), NAMES)
    assert nothing["miou"] is None


def test_images_that_fill_up_a_batch_do_not_count_as_unlabelled():
    label = np.stack([np.full_like(LABEL, 255), np.where(LABEL == 2, 255, LABEL)])
    # Of the second image both pixels of class 2, which are predicted as it.
    assert metrics.unlabelled(label, np.stack([PREDICTION, PREDICTION]), 3).numpy().tolist() == [0, 0, 2]
