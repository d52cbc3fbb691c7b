import numpy as np
import pytest
import tensorflow as tf

from tests.tfseg.inference import reference
from tfseg import clustering, counts, metrics
from tfseg.metrics import _matches, instance_ap

# Ids of cityscapesscripts to train ids of our own; road is counted by nobody.
KINDS = {24: 0, 25: 1, 26: 2, 27: 3, 28: 4, 31: 5, 32: 6, 33: 7}
NAMES = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
ROAD = 8
FILES = reference.files("cityscapes_instance_ap")
CASES = [(f, names) for f in FILES for names in f["results"]]


def scene(file, name):
    """(label, ids, guesses) of a scene, which is painted as the file says: `id * 1000 + k` is an instance, `id` a group."""
    given = file["scenes"][name]
    label, ids = np.full(file["size"], 255, np.uint8), np.zeros(file["size"], np.int32)
    for number, (top, bottom, left, right) in given["ground_truth"]:
        instance = number >= 1000
        kind = number // 1000 if instance else number
        label[top:bottom, left:right] = KINDS.get(kind, ROAD)
        ids[top:bottom, left:right] = number if instance else 0
    guesses = []
    for kind, score, (top, bottom, left, right) in given["predictions"]:
        mask = np.zeros(file["size"], bool)
        mask[top:bottom, left:right] = True
        guesses.append(_matches.Guess(KINDS.get(kind, ROAD), score, mask))
    return label, ids, guesses


@pytest.mark.parametrize(("file", "names"), CASES, ids=[names for _, names in CASES])
def test_ap_is_that_of_cityscapesscripts(file, names):
    total = _matches.zero(len(NAMES))
    for name in names.split(","):
        one = _matches.count(*scene(file, name), range(len(NAMES)), smallest=100)
        total = {key: total[key] + one[key] for key in total}
    expected = file["results"][names]
    found = instance_ap.values({**total, "images": np.zeros(4, np.int64)}, NAMES, NAMES)
    assert found["instance_ap"] == pytest.approx(expected["AP"], rel=1e-8)  # the file has nine digits
    assert found["instance_ap50"] == pytest.approx(expected["AP50"], rel=1e-8)
    for name, wanted in expected["classes"].items():
        for key, value in (("ap", wanted["AP"]), ("ap50", wanted["AP50"])):
            assert found[key][name] == (value if value is None else pytest.approx(value, rel=1e-8)), name
    by_overlap = _matches.average_precision(total)
    for name, values in expected["AP_by_overlap"].items():
        np.testing.assert_allclose(by_overlap[NAMES.index(name)], values, rtol=1e-8)


def test_symmetric_best_dice_by_hand():
    """True: 4 and 2 pixels; guessed: 3 of the 4, and 2 pixels of nothing.

    Dice of the first with the first guess is 2 * 3 / 7; the second has none: (6/7 + 0) / 2 both ways. A guess of another
    class finds nothing.
    """
    ids = np.array([[1, 1, 1, 1, 0, 0], [2, 2, 0, 0, 0, 0]])
    label = np.where(ids > 0, 0, 1)
    masks = [np.array([[1, 1, 1, 0, 0, 0], [0] * 6], bool), np.array([[0] * 6, [0, 0, 0, 0, 1, 1]], bool)]
    guesses = [_matches.Guess(0, 1.0, mask) for mask in masks]
    assert _matches.best_dice(label, ids, guesses, [0]) == (pytest.approx(3 / 7), 0)
    assert _matches.best_dice(label, ids, guesses[:1], [0]) == (pytest.approx(3 / 7), -1)
    other = [_matches.Guess(1, 1.0, masks[0])]
    assert _matches.best_dice(label, ids, other, [0, 1]) == (0, -1)
    assert _matches.best_dice(label, ids, [], [0]) == (0, -2)
    assert _matches.best_dice(label, 0 * ids, [], [0]) == (None, 0)


def test_clusters_by_hand():
    """Around 0, 4 and 8 in one dimension. The seed at 0.9 moves to the mean of its neighbours within 1, and takes them all."""
    x = np.array([[0.9], [4.0], [0.2], [0.1], [8.0], [4.2], [np.nan], [0.3]])
    assert clustering.mean_shift(x, bandwidth=1.0).tolist() == [1, 2, 1, 1, 3, 2, 0, 1]
    assert clustering.mean_shift(x, bandwidth=1.0, smallest=2).tolist() == [1, 2, 1, 1, 0, 2, 0, 1]
    assert clustering.mean_shift(x, bandwidth=1.0, most=1).tolist() == [1, 0, 1, 1, 0, 0, 0, 1]
    assert clustering.mean_shift(x[:0], bandwidth=1.0).tolist() == []
    with pytest.raises(ValueError, match="bandwidth above 0"):
        clustering.mean_shift(x, bandwidth=0)


def batch():
    """(label, ids, scores, embedding) of three images: a car each side, touching; the second image only fills the batch up."""
    label, ids = np.zeros((3, 12, 20), np.uint8), np.zeros((3, 12, 20), np.int32)
    label[:, 1:11], ids[:, 1:11, :10], ids[:, 1:11, 10:] = 1, 1, 2
    label[2, :, 10:], ids[2, :, 10:] = 0, 0
    label[1] = 255
    scores = np.where(label[..., None] == np.arange(2), 3.0, 0.0).astype(np.float32)
    scores[1] = 0
    embedding = np.stack([3.0 * ids, np.zeros(ids.shape)], -1).astype(np.float32)
    return label, ids, scores, embedding


def total(count, label, ids, scores, embedding):
    def of(label, ids, scores, embedding):
        others = {"embedding": embedding, "instances": ids}
        seen = counts.Seen(tf.zeros([*label.shape, 3]), label, scores, tf.argmax(scores, -1, tf.int32), {}, others)
        return count.update(seen)

    return counts.add(count.zero, tf.function(of)(label, ids, scores, embedding))


def test_of_a_batch_with_its_clusters():
    """All instances are found: AP 1. With one embedding for both cars, one guess finds none of the two in the first image.

    Its dice is 2 * 100 / 300 for the best of both, and (2/3 + 2/3) / 2 the other way; in the other image it is 1: mean 5/6.
    """
    (count,) = metrics.build("instance_ap(smallest=5)", ["ground", "car"], ("car",)).values()
    assert count.reads == ("embedding", "instances")
    found = count.values(total(count, *batch()))
    assert found["instance_ap"] == found["instance_ap50"] == 1
    assert found["ap"] == {"ground": None, "car": 1}
    assert found["instances"] == {"sbd": 1, "dic": 0, "objects": 3, "guesses": 3, "images": 2}
    label, ids, scores, embedding = batch()
    merged = count.values(total(count, label, ids, scores, 0 * embedding))
    assert merged["instances"]["sbd"] == pytest.approx(5 / 6, abs=1e-6)
    assert merged["instances"]["dic"] == 0.5
    assert merged["instances"]["guesses"] == 2
    # Both guesses have one score. Right: 1, wrong: 1, missed: 2. At this threshold precision 1/2 and recall 1/3; the area is
    # 1/2 * (1/3 - 0) / 2 + 1 * (1/3 - 0) / 2 = 1/4.
    assert merged["instance_ap"] == pytest.approx(0.25)
    assert count.values(count.zero)["instance_ap"] is None


def test_an_embedding_of_another_size_and_images_apart():
    (count,) = metrics.build("instance_ap(smallest=5)", ["ground", "car"], ("car",)).values()
    given = batch()
    whole = total(count, *given)
    # Bilinear enlarging blurs the border of an object, so that less than its 100 pixels are found.
    half = tf.image.resize(given[3], (6, 10), "nearest")
    (small,) = metrics.build("instance_ap(smallest=5, smallest_object=50)", ["ground", "car"], ("car",)).values()
    assert small.values(total(small, *given[:3], half.numpy()))["instance_ap50"] == 1
    parts = [total(count, *(x[i : i + 1] for x in given)) for i in range(3)]
    summed = count.zero
    for part in parts:
        summed = counts.add(summed, part)
    tf.nest.map_structure(np.testing.assert_array_equal, summed, whole)


def test_wrong_options_and_what_is_not_there():
    with pytest.raises(ValueError, match=r"things=\(\.\.\) of the classes a, b"):
        metrics.build("instance_ap(things=('c',))", ["a", "b"])
    with pytest.raises(ValueError, match="Expected bandwidth above 0"):
        metrics.build("instance_ap(bandwidth=0)", ["a", "b"])
    with pytest.raises(
        ValueError, match=r"what instance_ap reads .*: logits, image, label\. Received: embedding, instances"
    ):
        counts.check_reads(metrics.build("instance_ap", ["a", "b"]), ["logits"], ["image", "label"])
