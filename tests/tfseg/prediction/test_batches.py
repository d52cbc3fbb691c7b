from typing import NamedTuple

import numpy as np

from tfseg.prediction import batches


class Image(NamedTuple):
    name: str
    pixels: np.ndarray


def test_images_of_one_size_are_together_and_in_order():
    tall, wide = np.zeros((4, 2, 3), np.uint8), np.zeros((2, 4, 3), np.uint8)
    images = [Image("a", tall), Image("b", wide), Image("c", tall), Image("d", tall), Image("e", wide)]
    found = batches.of_equal_size(images, lambda shape: 2)
    assert ["".join(one.name for one in batch) for batch in found] == ["ac", "be", "d"]


def test_no_more_than_the_budget_waits():
    """Images of 3 to 30 bytes, each of another size, and a budget of 40: when more wait, the oldest goes."""
    images = [Image(str(i), np.zeros((i, 1, 3), np.uint8)) for i in range(1, 11)]
    found, taken = [], []

    def counted():
        for image in images:
            taken.append(image)
            yield image

    most = 0
    for batch in batches.of_equal_size(counted(), lambda shape: 5, budget=40):
        held = [sum(image.pixels.nbytes for image in images) for images in (taken, found)]
        most = max(most, held[0] - held[1])
        found += batch
    assert 40 < most <= 40 + 30  # the image that is one too many has just come
    assert [image.name for image in found] == [str(i) for i in range(1, 11)]


def test_a_batch_has_no_more_pixels_than_one_of_training():
    """4 crops of 100 x 200 are 80,000 pixels: 4 of 100 x 100, for there are never more than 4; 2 of 200 x 200; 1 of more."""
    limit = batches.limit(4, (100, 200))
    assert [limit(shape) for shape in ((100, 100, 3), (200, 200, 3), (210, 200, 3), (2000, 2000, 3))] == [4, 2, 1, 1]
