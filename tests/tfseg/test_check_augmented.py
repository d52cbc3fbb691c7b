"""--mode=check --augment: the picture of augmented samples."""

import cv2
import numpy as np
import pytest

from input_pipeline import checking
from tfseg import check as check_lib
from tfseg.config import Config
from tfseg.pictures.contact_sheet import CAPTION, GAP

SPEC, SHAPE = "streets(train=4, val=2, size=(32, 48))", (32, 48)


def run(folder, **options):
    check_lib.check(Config(mode="check", dataset=SPEC, output_dir=str(folder), **options))


def test_augmented_samples_are_shown_where_a_chain_is_given(tmp_path, capsys):
    path = tmp_path / "check_streets_augmented.png"
    run(tmp_path)
    assert not path.exists()
    run(tmp_path, augment="affine(scale=(1.0, 1.0), flip=True) | cutmix(1.0)", crop_size=(16, 24), overwrite=True)
    assert f"Augmented samples: {path}" in capsys.readouterr().out
    written = cv2.imread(str(path))
    # 4 training images are one group, in two rows of 3 and 1, of a sample and its overlay, 24 pixels wide each.
    assert written.shape[1] == 3 * (GAP + 2 * 24)
    assert written.shape[0] > 2 * (CAPTION + 16 + GAP)
    with pytest.raises(ValueError, match=r"no earlier report.*check_streets_augmented\.png"):
        run(tmp_path, augment="camvid")


def test_augmented_samples_are_the_groups_of_the_chain():
    options = {"chain": "affine(scale=(1.0, 1.0), flip=False) | cutmix(1.0, area=(1.0, 1.0))", "crop_size": SHAPE}
    tiles = checking.augmented(SPEC, **options)
    plain = checking.augmented(SPEC, **options | {"chain": ""})
    assert [tile.id for tile in tiles] == [tile.id for tile in plain]
    assert len({tile.id for tile in tiles}) == 4
    for tile, other in zip(tiles, [*plain[1:], plain[0]], strict=True):
        # A rectangle of the whole area, about any centre: at least a quarter of the next image.
        assert np.mean(np.all(tile.image == other.image, -1)) >= 0.25
        assert tile.image.shape == (*SHAPE, 3)
        assert tile.label.shape == SHAPE
        assert tile.split == "train"


def test_a_wrong_chain_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "check", lambda *_: pytest.fail("read before"))
    with pytest.raises(ValueError, match=r"Did you mean 'cutmix'\?"):
        run(tmp_path / "out", augment="cutmx")
    assert not (tmp_path / "out").exists()
