"""Peaks, their responses and masks: the reference's numbers, and masks by hand."""

import math
import os
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from models import layers, weights
from tests.parity import fill
from tests.tfseg.inference import reference
from tfseg import peaks

FILES = [file for file in reference.files("prm_") if "state" in file]


def spec(file):
    """Our name for the network of a file, from its name and arguments."""
    backbone = file["name"].split("_")[1]
    level = "c4" if backbone.startswith("vgg") else "c5"
    factor, window = argument(file, "sub_pixel_locating_factor"), argument(file, "win_size")
    return f"peak_response(backbone='{backbone}', level='{level}', factor={factor}, window={window})"


def argument(file, name):
    return int(re.search(rf"{name}=(\d+)", file["source"]["arguments"])[1])


@pytest.fixture(scope="module")
def networks():
    """file name -> the network with the file's weights, built once."""
    return {}


def parameters():
    """(file, case, how many of its peaks): the strongest one of the smallest network; slow tests have all of every network.

    Whoever names another folder wants its files run.
    """
    own = not os.environ.get("REFERENCE_DIR")
    for file in FILES:
        for case in file["cases"]:
            for count in (1, len(case["strongest"])):
                slow = own and (count > 1 or file["name"] != "prm_resnet18")
                name, marks = f"{file['name']}-{case['h']}-{count}", [pytest.mark.slow] if slow else []
                yield pytest.param(file, case, count, id=name, marks=marks)


@pytest.mark.parametrize(("file", "case", "most"), [*parameters()])
def test_peaks_and_responses_are_those_of_the_reference(file, case, most, networks):
    """The tolerance of networks, 1e-5 deviations, in float32 as in prediction; the reference computed in float64."""
    if file["name"] not in networks:
        networks.clear()
        keras.backend.clear_session()
        networks[file["name"]] = models.build(spec(file), file["num_classes"], normalization=None)
        weights.load(networks[file["name"]], fill.state_dict(file))
    respond = peaks.Search(score=-math.inf, value=-math.inf, most=most).responder(networks[file["name"]])
    found = {name: value[0].numpy() for name, value in respond(fill.image(case)).items()}
    expected = case["response_maps"]
    assert list(found["class_maps"].shape) == expected["shape"][1:]
    check(fill.samples(found["class_maps"]), expected["values"], expected["std"])
    check(found["class_scores"], case["aggregation"], expected["std"])
    every = layers.peaks(found["class_maps"][np.newaxis], argument(file, "win_size"))
    assert np.count_nonzero(every) == case["number_of_peaks"]
    strongest = case["strongest"][:most]
    assert [[kind, row, column] for row, column, kind in found["peaks"].tolist()] == [one["peak"] for one in strongest]
    for value, response, one in zip(found["peak_values"], found["responses"], strongest, strict=True):
        assert value == pytest.approx(one["value"], abs=1e-5 * expected["std"])
        check(fill.samples(response), one["values"], one["std"])
        assert response.sum(dtype=np.float64) == pytest.approx(one["sum"], rel=1e-5)
        assert response.max() == pytest.approx(one["max"], rel=1e-4)
        assert list(np.unravel_index(np.argmax(response), response.shape)) == one["argmax"]
        assert np.mean(response == 0) == pytest.approx(one["zero_share"], abs=1e-3)


def check(found, expected, deviation):
    """For 99.9 % of the values."""
    assert np.mean(np.abs(found - expected) <= 1e-5 * deviation) >= 0.999, np.abs(found - expected).max() / deviation


def one_blob(size, row, column):
    """A response [size, size] of 3 x 3 pixels around a place, with the sum 1."""
    response = np.zeros((size, size), np.float32)
    response[row - 1 : row + 2, column - 1 : column + 2] = 1 / 9
    return response


def found_of(responses, kinds, values, maps):
    """What a responder gives, of peaks in the cell (0, 0)."""
    count = len(responses)
    return {
        "peaks": np.array([(0, 0, kind) for kind in kinds], np.int64).reshape(count, 3),
        "peak_values": np.array(values, np.float32),
        "responses": np.array(responses, np.float32).reshape(count, 16, 16),
        "class_maps": maps,
        "class_scores": np.zeros(maps.shape[-1], np.float32),
    }


def test_masks_by_hand():
    """Two peaks on one object are one mask; another object of the class, and another class at the same place, are their own."""
    search = peaks.Search(level=0.5, blur=0.0, overlap=0.3)
    same, shifted, apart = one_blob(16, 3, 3), one_blob(16, 3, 4), one_blob(16, 12, 12)
    maps = np.ones((2, 2, 3), np.float32)  # nowhere background
    given = found_of([same, shifted, apart, same], (1, 1, 1, 2), (4, 3, 2, 1), maps)
    found, masks = search.peaks(given)
    # IoU of the first two: 6 of 12 pixels. Their sum is 2/9 on 3 x 2 pixels; above half of it is nothing else.
    assert [(one.kind, one.peaks) for one in masks] == [(1, [0, 1]), (1, [2]), (2, [3])]
    wanted = np.zeros((16, 16), bool)
    wanted[2:5, 3:5] = True
    np.testing.assert_array_equal(masks[0].mask, wanted)
    np.testing.assert_array_equal(masks[1].mask, apart > 0)
    assert [one.instance for one in found.listed] == [1, 1, 2, 3]
    assert [one.place for one in found.listed] == [(2, 2), (3, 2), (11, 11), (2, 2)]  # the first pixel of the maximum
    # Without merging each peak has its own.
    assert len(peaks.Search(level=0.5, blur=0.0, overlap=1.0).peaks(given)[1]) == 4


def test_a_mask_is_where_the_class_may_be_and_in_one_part():
    """The map of the class is 0 in its left column and 1 in its right one: its right half is not below 0.95 of the mean.

    The 16 pixels have values k/15 whose mean is 1/2: from .475 on, k = 8 of 15.
    """
    maps = np.zeros((2, 2, 1), np.float32)
    maps[:, 1] = 1
    allowed = peaks.inside(maps[..., 0], (16, 16))
    assert np.flatnonzero(allowed[5]).tolist() == list(range(8, 16))
    search, response = peaks.Search(level=0.1, blur=0.0), one_blob(16, 4, 8) + 2 * one_blob(16, 12, 13)
    mask = search.mask(response, allowed)
    np.testing.assert_array_equal(mask, one_blob(16, 12, 13) > 0)
    beside = search.mask(one_blob(16, 4, 8), allowed)
    assert np.flatnonzero(beside[4]).tolist() == [8, 9]
    # A response that is nowhere where the class may be has its mask all the same.
    np.testing.assert_array_equal(search.mask(one_blob(16, 4, 3), allowed), one_blob(16, 4, 3) > 0)


def test_nothing_is_found_where_nothing_responds():
    search, maps = peaks.Search(), np.ones((2, 2, 1), np.float32)
    found, masks = search.peaks(found_of(np.zeros((1, 16, 16)), [0], [1.0], maps))
    assert (masks, [one.instance for one in found.listed]) == ([], [0])
    found, masks = search.peaks(found_of([], [], [], maps))
    assert (masks, found.listed) == ([], [])


def test_thresholds_and_order_inside_a_graph():
    """Class maps are the pixels: of class 0 the peaks are 9 and 5, of class 1, whose score is too low, there is none."""
    inputs = keras.Input((None, None, 3))
    maps = layers.conv(inputs, 2, 1, "conv", bias=False)
    model = keras.Model(inputs, {"class_maps": maps, "class_scores": layers.stimulate(maps), "logits": maps})
    model.get_layer("conv").set_weights([np.float32([[[[1, -1], [0, 0], [0, 0]]]])])
    image = np.zeros((1, 4, 6, 3), np.uint8)
    image[0, 0, 1, 0], image[0, 3, 4, 0], image[0, 0, 5, 0] = 5, 9, 2
    graph = tf.function(peaks.Search(value=3.0, most=5).responder(model), autograph=False)
    found = {name: value.numpy() for name, value in graph(tf.constant(image)).items()}
    assert found["peaks"].tolist() == [[[3, 4, 0], [0, 1, 0]]]
    assert found["peak_values"].tolist() == [[9, 5]]
    wanted = np.zeros((2, 4, 6))
    wanted[0, 3, 4] = wanted[1, 0, 1] = 1
    np.testing.assert_allclose(found["responses"], [wanted], atol=1e-6)
    assert graph(tf.zeros([1, 4, 6, 3], tf.uint8))["responses"].shape == (1, 0, 4, 6)


@pytest.mark.parametrize("wrong", [{"most": 0}, {"level": 1}, {"blur": -0.1}, {"overlap": 2}])
def test_wrong_options(wrong):
    with pytest.raises(ValueError, match="Expected most of 1 or more"):
        peaks.strongest(**wrong)


def test_the_options_are_those_of_the_search():
    assert peaks.Search(**peaks.strongest()) == peaks.Search()


def test_an_export_is_refused():
    with pytest.raises(ValueError, match="Expected a network with its weights for peak responses"):
        peaks.Search().responder(object())
