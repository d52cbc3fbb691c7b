"""Moving the image and putting the scores of all moves together."""

import keras
import numpy as np
import pytest

from models import layers


def run(function, x):
    inputs = keras.Input((None, None, x.shape[-1]))
    return np.asarray(keras.Model(inputs, function(inputs))(x))


def test_shifted_images():
    # Steps 2 of stride 4: moves of -1 and 1 pixels. A place sees the pixel before it, then the one after it.
    x = np.arange(1.0, 10.0, dtype=np.float32).reshape(1, 3, 3, 1)  # 1 2 3 | 4 5 6 | 7 8 9
    moved = run(lambda x: layers.shifted(x, 2, 4), x)[..., 0]
    assert moved.tolist() == [
        [[0, 0, 0], [0, 1, 2], [0, 4, 5]],  # up and left of it
        [[0, 0, 0], [2, 3, 0], [5, 6, 0]],  # up and right
        [[0, 4, 5], [0, 7, 8], [0, 0, 0]],  # down and left
        [[5, 6, 0], [8, 9, 0], [0, 0, 0]],  # down and right
    ]


def test_interleaved_scores():
    # Four moved forms of two images of 1 x 2 scores: hundreds are the move, tens the image, units the column.
    x = np.array([[[100 * move + 10 * image, 100 * move + 10 * image + 1]] for move in range(4) for image in range(2)])
    y = run(lambda x: layers.interleaved(x, 2), x[..., None].astype(np.float32))[..., 0]
    assert y.tolist() == [[[0, 100, 1, 101], [200, 300, 201, 301]], [[10, 110, 11, 111], [210, 310, 211, 311]]]


@pytest.mark.parametrize("steps", [0, 3])
def test_refuses(steps):
    message = rf"Expected simulated_steps that divide output_stride=8\. Received: simulated_steps={steps}"
    with pytest.raises(ValueError, match=message):
        layers.shifted(keras.Input((None, None, 3)), steps, 8)
