"""A part of the train split has labels: which part, what is known of it, and the streams of both parts."""

import numpy as np
import pytest

import input_pipeline
from input_pipeline import labelled, pipeline
from tests.input_pipeline.test_stream import assert_same, stream, taken


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    return input_pipeline.prepare(
        "streets(train=8, val=2, size=(32, 48), instances=True)", cache_dir=str(tmp_path_factory.mktemp("cache"))
    )


@pytest.fixture(scope="module")
def halves(streets):
    return labelled.divide(streets, labelled.choose(streets, "0.5", seed=0))


def ids(dataset):
    return {example["id"].decode() for example in dataset.as_numpy_iterator()}


def test_a_share_is_chosen_by_the_seed_and_smaller_ones_are_part_of_it(streets):
    eighth, quarter, half = (labelled.choose(streets, text, seed=0) for text in ("0.125", "0.25", "0.5"))
    assert [len(eighth), len(quarter), len(half)] == [1, 2, 4]
    assert set(eighth) < set(quarter) < set(half) < ids(streets.encoded("train"))
    assert labelled.choose(streets, "0.5", seed=0) == half
    assert any(labelled.choose(streets, "0.5", seed=seed) != half for seed in (1, 2))
    assert len(labelled.choose(streets, "0.01", seed=0)) == 1  # never none


def test_a_file_names_them(streets, tmp_path):
    some = sorted(ids(streets.encoded("train")))[2:5]
    file = tmp_path / "ids.txt"
    file.write_text("\n".join(some) + "\n\n")
    assert labelled.choose(streets, str(file), seed=0) == some
    file.write_text(f"{some[0]}\nnobody\n")
    with pytest.raises(ValueError, match=r"ids of the train split of streets.*Received: nobody"):
        labelled.choose(streets, str(file), seed=0)
    file.write_text("")
    with pytest.raises(ValueError, match=r"Received: none\."):
        labelled.choose(streets, str(file), seed=0)


@pytest.mark.parametrize("text", ["0", "1.5", "-0.1", "nan", "an_eighth"])
def test_what_is_neither_a_share_nor_a_file_is_refused(text):
    with pytest.raises(ValueError, match="Expected --labelled as a share above 0 and up to 1"):
        labelled.share(text)


def test_the_parts_are_the_whole_and_what_is_known_of_labels_is_that_of_the_labelled(streets, halves):
    assert halves.splits == {"train": 4, "unlabelled": 4, "val": 2}
    parts = [ids(halves.encoded(split)) for split in ("train", "unlabelled")]
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == ids(streets.encoded("train"))
    assert halves.digest != streets.digest

    pixels, images, objects = (np.zeros(streets.num_classes, int) for _ in range(3))
    for example in halves.encoded("train").map(input_pipeline.decode).as_numpy_iterator():
        found = np.bincount(example["label"].ravel(), minlength=256)[: streets.num_classes]
        pixels, images = pixels + found, images + (found > 0)
        objects += np.bincount(example["box_classes"], minlength=streets.num_classes)
    known = halves.statistics["train"]
    assert known["pixels"] == pixels.tolist() != streets.statistics["train"]["pixels"]
    assert known["images"] == images.tolist()
    assert known["objects"] == objects.tolist()
    np.testing.assert_allclose(known["weights"]["enet"], input_pipeline.CLASS_WEIGHTS["enet"]({"pixels": pixels}))
    # Nothing of the other labels is there.
    assert halves.statistics["unlabelled"].keys() == {"mean", "std", "sizes"}
    assert halves.statistics["unlabelled"]["sizes"] == {"32x48": 4}


def test_if_all_are_labelled_there_is_no_other_split(streets):
    whole = labelled.divide(streets, labelled.choose(streets, "1.0", seed=0))
    assert "unlabelled" not in whole.splits
    assert whole.statistics["train"] == streets.statistics["train"]


@pytest.mark.parametrize("cache", ["memory", "disk"])
@pytest.mark.parametrize("split", ["train", "unlabelled"])
def test_streams_of_parts_come_from_a_cache_too(halves, cache, split):
    plain = taken(stream(halves, split=split), 2)
    assert_same(taken(stream(halves, split=split, cache=cache), 2), plain)
    # Two batches of four are two epochs of the part.
    for batch in plain:
        assert {name.decode() for name in batch["id"]} == ids(halves.encoded(split))


def test_images_without_labels_are_those_of_the_ordinary_stream_and_say_nothing_of_their_labels(streets, halves):
    """The labels of the stream are 0 inside the image; zoomed out, a crop also shows what is outside."""
    chain = "affine(scale=(0.5, 0.5)) | brightness(0.2)"
    found = taken(stream(halves, split="unlabelled", augment=chain), 2)
    for batch in found:
        assert batch.keys() == {"id", "image", "label", pipeline.SEED}
        # A picture of 32 x 48 at half its size is 16 x 24 pixels.
        assert [(label == 0).sum() for label in batch["label"]] == [16 * 24] * 4
        assert set(np.unique(batch["label"])) == {0, 255}


def test_streams_beside_each_other_begin_anywhere(halves):
    def together(first_batch):
        one, other = ({"split": split, "stream": n, "batch_size": 2, "first_batch": first_batch}
                      for n, split in enumerate(("train", "unlabelled")))  # fmt: skip
        return pipeline.beside(stream(halves, **one), unlabelled=stream(halves, **other))

    whole, later = taken(together(0), 5), taken(together(3), 2)
    assert {"image", "label", "unlabelled/image", "unlabelled/label"} <= whole[0].keys()
    assert len(whole[0]["id"]) == 4  # an error names all examples
    for one, other in zip(whole[3:], later, strict=True):
        for key, value in one.items():
            np.testing.assert_array_equal(other[key], value)
    part = pipeline.of_stream(whole[0], "unlabelled")
    assert part.keys() == {"image", "label", pipeline.SEED}


def test_another_stream_is_another_order_of_the_same_examples(streets):
    orders = [[tuple(batch["id"]) for batch in taken(stream(streets, stream=n), 2)] for n in (0, 1)]
    assert orders[0] != orders[1]
    assert {name for batch in orders[0] for name in batch} == {name for batch in orders[1] for name in batch}
