"""Recipes: names for whole chains."""

import numpy as np
import pytest

from input_pipeline import ops
from input_pipeline.ops.recipes import RECIPES
from tests.input_pipeline.ops.samples import FILL, SIZE, example, group_of, seeds


def test_the_recipes_are_there_and_no_op_has_their_name():
    assert {"camvid", "cityscapes", "voc", "ade20k"} <= set(RECIPES)
    assert not set(RECIPES) & set(ops.names())


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_its_chain(name):
    for seed in seeds(2):
        got, expected = (ops.build(chain, SIZE, FILL)(example(), seed) for chain in (name, RECIPES[name]))
        np.testing.assert_array_equal(got["image"], expected["image"])
        np.testing.assert_array_equal(got["label"], expected["label"])


def test_a_recipe_is_a_part_of_a_chain():
    members = [example(seed=i) for i in range(4)]
    got, expected = (
        group_of(chain)(members, seeds(4)) for chain in ("voc | cutmix(1.0)", f"{RECIPES['voc']} | cutmix(1.0)")
    )
    np.testing.assert_array_equal(got["label"], expected["label"])
    assert np.any(got["label"] != group_of("voc")(members, seeds(4))["label"])


def test_a_recipe_takes_no_options_and_a_mistyped_one_is_suggested():
    with pytest.raises(
        ValueError, match=r"Expected the recipe voc without options.*Received: voc\(rotation=5\).*affine"
    ):
        ops.build("voc(rotation=5)", SIZE, FILL)
    with pytest.raises(ValueError, match=r"saturation, .*voc.*Did you mean 'cityscapes'\?"):
        ops.build("cityscape", SIZE, FILL)
