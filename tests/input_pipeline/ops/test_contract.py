"""What the stream relies on, for every augmentation there is: one is tested by being in `input_pipeline/ops/`.

The test file of its module, tests/input_pipeline/ops/test_<module>.py, tests what it does, and may bring CHAINS, further
specs for which the properties below must hold; those of an augmentation's defaults hold without.
"""

import importlib
import importlib.util
import inspect
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline import IGNORE, ops
from tests.input_pipeline.ops.samples import FILL, SIZE, example, seeds


def own(name):
    """The test file of the augmentation's module, None where there is none."""
    module = f"{__package__}.test_{ops.names()[name].__module__.rpartition('.')[2]}"
    return importlib.import_module(module) if importlib.util.find_spec(module) else None


CHAINS = list(
    dict.fromkeys(
        ["", *ops.names(), *(chain for name in ops.names() for chain in getattr(own(name), "CHAINS", ()))]
        + [" | ".join(ops.names())]
    )
)


@pytest.mark.parametrize("name", ops.names())
def test_is_documented_and_has_a_test(name):
    function = ops.names()[name]
    module = function.__module__.rpartition(".")[2]
    file = f"tests/input_pipeline/ops/test_{module}.py"
    assert (function.__doc__ or "").strip(), f"input_pipeline/ops/{module}.py: expected a docstring of {name}"
    assert own(name), f"Expected a test of the augmentation {name!r} in {file}. Received: no such file."
    text = pathlib.Path(own(name).__file__).read_text()
    assert re.search(rf"\b{name}\b", text), f"Expected a test of the augmentation {name!r} in {file}. Received: none."
    assert list(inspect.signature(function).parameters)[:2] == ["example", "seed"], name


@pytest.mark.parametrize("chain", CHAINS)
def test_eager_and_tf_data_agree(chain):
    augment = ops.build(chain, SIZE, FILL)
    streamed = tf.data.Dataset.from_tensors(example()).map(lambda x: augment(x, seeds(3)[2])).get_single_element()
    eager = augment(example(), seeds(3)[2])
    np.testing.assert_allclose(streamed["image"], eager["image"], atol=1e-3)
    # A label may differ where a coordinate lies on the border of two pixels, to rounding.
    assert np.mean(streamed["label"] != eager["label"]) < 0.01


@pytest.mark.parametrize("chain", CHAINS)
def test_result_has_the_crop_size_the_range_and_known_ids(chain):
    augment = ops.build(chain, SIZE, FILL)
    for seed in seeds(10):
        result = augment(example(), seed)
        assert result["image"].shape == (*SIZE, 3)
        assert result["label"].shape == SIZE
        assert result["image"].dtype == tf.float32
        assert result["label"].dtype == tf.uint8
        assert np.min(result["image"]) >= 0
        assert np.max(result["image"]) <= 255
        assert set(np.unique(result["label"])) <= {0, 1, 2, 3, 4, IGNORE}
        assert result["id"] == b"x"


@pytest.mark.parametrize("chain", CHAINS)
def test_same_seed_same_result_other_seed_another(chain):
    augment = ops.build(chain, SIZE, FILL)
    first, again, *others = (augment(example(), s)["image"].numpy() for s in (seeds(1)[0], *seeds(10)))
    np.testing.assert_array_equal(first, again)
    assert any(np.any(first != other) for other in others)


@pytest.mark.parametrize("name", ops.names())
def test_an_unknown_option_lists_the_known(name):
    with pytest.raises(ValueError, match=rf"Expected {name}\("):
        ops.build(f"{name}(no_such_option=1)", SIZE, FILL)


def test_an_unknown_augmentation_lists_the_known():
    with pytest.raises(ValueError, match=f"Expected an augmentation: {', '.join(ops.names())}"):
        ops.build("afine", SIZE, FILL)
