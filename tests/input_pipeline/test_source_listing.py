"""Which files are listed (links, loops, hidden files), the messages for missing masks or images, and groups."""

import logging
import os

import numpy as np
import pytest
from PIL import Image

from input_pipeline.datasets import folder as folder_lib
from input_pipeline.source import files, listing
from input_pipeline.source.listing import Example

TABLE = "id,name\n0,ground\n1,house\n"


def save(path, pixels=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in (*files.IMAGES, ".gif"):
        Image.fromarray(np.zeros((2, 3), np.uint8) if pixels is None else pixels).save(path)
    else:
        path.write_text("{}")


def tree(root, images="images/{}.png", masks="masks/{}.png", names=("a0", "a1", "a2")):
    for name in names:
        save(root / images.format(name), np.zeros((2, 3, 3), np.uint8))
        save(root / masks.format(name))
    (root / "classes.csv").write_text(TABLE)
    return root


def builder(root, **options):
    return folder_lib.Builder(root.resolve(), root / "cache", **options)


def refused(root, message, error=FileNotFoundError, **options):
    with pytest.raises(error, match=message) as caught:
        builder(root, **options)
    assert "\n" not in str(caught.value), "one message"
    assert "partner" not in str(caught.value)


def names(paths, root):
    return [path.relative_to(root).as_posix() for path in paths]


def test_pictures_of_every_kind_and_nothing_else(tmp_path, caplog):
    wanted = ["B.PNG", "a.jpeg", "a.tif", "b c [1].webp", "deep/er/x.Bmp"]
    for name in wanted:
        save(tmp_path / name)
    for name in ("._a.png", ".hidden.png", ".thumbs/a.png", "__MACOSX/a.png", "@eaDir/a.png", "deep/._x.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\26\7")
    for name in ("Thumbs.db", "notes.txt", "a.json", "phone.heic"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "dir.png").mkdir()
    with caplog.at_level(logging.WARNING, "absl"):
        assert names(listing.pictures(tmp_path), tmp_path) == wanted
    assert "1 files in" in caplog.text
    assert "phone.heic" in caplog.text


def test_pictures_of_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder of images\. Received: .*nowhere"):
        listing.pictures(tmp_path / "nowhere")


def test_links_are_followed_once(tmp_path, caplog):
    save(tmp_path / "far/away/x.png")
    save(tmp_path / "photos/real/b.png")
    photos = tmp_path / "photos"
    (photos / "a_link").symlink_to("real")  # would come first in the alphabet
    (photos / "linked").symlink_to(tmp_path / "far")
    (photos / "file.png").symlink_to(tmp_path / "far/away/x.png")
    with caplog.at_level(logging.WARNING, "absl"):
        assert names(listing.pictures(photos), photos) == ["file.png", "linked/away/x.png", "real/b.png"]
    assert f"Not followed: {photos}/a_link" in caplog.text


@pytest.mark.parametrize("target", [".", "..", "../..", "../photos"])
def test_a_loop_ends_and_is_named(target, tmp_path, caplog):
    save(tmp_path / "top/photos/a.png")
    save(tmp_path / "top/masks/a.png")
    photos = tmp_path / "top/photos"
    (photos / "loop").symlink_to(target)
    with caplog.at_level(logging.WARNING, "absl"):
        assert names(listing.pictures(photos), photos) == ["a.png"]
    assert f"Not followed: {photos}/loop leads to" in caplog.text


def test_two_folders_that_link_to_each_other(tmp_path):
    save(tmp_path / "a/x.png")
    save(tmp_path / "b/y.png")
    (tmp_path / "a/to_b").symlink_to(tmp_path / "b")
    (tmp_path / "b/to_a").symlink_to(tmp_path / "a")
    assert names(listing.pictures(tmp_path / "a"), tmp_path / "a") == ["to_b/y.png", "x.png"]


def test_links_that_lead_nowhere_are_named(tmp_path, caplog):
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "itself.png").symlink_to("itself.png")
    (tmp_path / "more").symlink_to("/not/there")
    with caplog.at_level(logging.WARNING, "absl"):
        assert names(listing.pictures(tmp_path), tmp_path) == ["gone.png", "itself.png"], "to be named when it is read"
    for name in ("gone.png", "itself.png", "more"):
        assert f"The link {tmp_path / name} leads nowhere" in caplog.text


def test_images_that_are_a_link_to_the_folder_around_them(tmp_path):
    """`images -> .`: the images are directly in the folder, and masks/ is not a folder of images."""
    tree(tmp_path, images="{}.png")
    (tmp_path / "images").symlink_to(".")
    found = listing.pairs(tmp_path / "images", tmp_path / "masks")
    assert [(e.id, e.mask) for e in found] == [(f"a{i}", tmp_path / f"masks/a{i}.png") for i in range(3)]


@pytest.mark.parametrize("name", ["labels", "annotations", "SegmentationClass", "Masks", "gt", "ground truth"])
def test_masks_in_another_folder_are_one_message(name, tmp_path):
    tree(tmp_path, masks=name + "/{}.png")
    refused(tmp_path, rf"no folder .*/masks; beside it is {name}/ \(3 \.png, as {name}/a0\.png\)\..*rename it to masks")
    (tmp_path / "masks").mkdir()
    refused(tmp_path, rf"masks, which is empty; beside it is {name}/ \(3 \.png")


def test_masks_of_splits_in_another_folder(tmp_path):
    tree(tmp_path, images="images/train/{}.png", masks="labels/train/{}.png")
    refused(
        tmp_path, r"no folder .*masks/train; beside it is labels/ .*rename it to masks, or link it: ln -s labels masks"
    )


def test_masks_that_are_not_in_the_folders_of_the_splits(tmp_path):
    tree(tmp_path, images="images/train/{}.png")
    refused(tmp_path, r"no folder .*masks/train, but .*masks itself holds 3 \.png")


def test_a_test_split_without_masks(tmp_path):
    tree(tmp_path, images="images/train/{}.png", masks="masks/train/{}.png")
    save(tmp_path / "images/test/a0.png")
    refused(tmp_path, r"no folder .*masks/test, and no other.*Images without masks are no test split.*--mode=predict")


@pytest.mark.parametrize(
    ("extension", "message"),
    [
        ("gif", r"GIF"),
        ("jpg", r"JPEG"),
        ("json", r"JSON holds polygons.*no pixels\. Draw them as PNG"),
        ("npy", r"an array\. Save it as PNG"),
        ("xml", r"XML holds boxes or polygons"),
        ("mat", r"a file of kind \.mat\. Save PNG masks"),
    ],
)
def test_masks_of_a_kind_that_is_not_read_are_one_message(extension, message, tmp_path):
    tree(tmp_path, masks="masks/{}." + extension)
    refused(tmp_path, rf"masks/a0\.{extension}: Expected a PNG.*{message}.*one of 3 such files in .*masks", ValueError)


def test_a_json_beside_every_mask_is_passed_over(tmp_path):
    tree(tmp_path)
    for i in range(3):
        save(tmp_path / f"masks/a{i}.json")
    found = listing.pairs(tmp_path / "images", tmp_path / "masks")
    assert [e.mask.name for e in found] == ["a0.png", "a1.png", "a2.png"]


def test_masks_with_other_names(tmp_path):
    tree(tmp_path / "suffix", masks="masks/{}_mask.png")
    refused(tmp_path / "suffix", r"none of 3; .*most are called as a0_mask\.png for a0.*folder\(list=\"pairs\.txt\"\)")
    tree(tmp_path / "other")
    for i in range(3):
        (tmp_path / f"other/masks/a{i}.png").rename(tmp_path / f"other/masks/x{i}y.png")
    refused(tmp_path / "other", r"none of 3; .*masks holds 3 \.png, as .*x0y\.png")
    tree(tmp_path / "case", images="images/IMG_{}.PNG", masks="masks/img_{}.png")
    refused(tmp_path / "case", r"none, but .*img_a0\.png, written otherwise \(upper and lower case.* for 3 of them")


def test_the_extension_may_be_in_capitals(tmp_path):
    tree(tmp_path, images="images/{}.JPG", masks="masks/{}.PNG")
    assert builder(tmp_path, val_fraction=0.0).splits["train"][0].mask.name == "a0.PNG"


def test_some_masks_that_are_missing_are_faults_of_their_pairs(tmp_path):
    tree(tmp_path, names=("a", "b", "c", "d", "\u00e9"))
    (tmp_path / "masks/b.png").unlink()
    (tmp_path / "masks/c.png").rename(tmp_path / "masks/C.png")
    (tmp_path / "masks/d.png").rename(tmp_path / "masks/d.json")
    (tmp_path / "masks/\u00e9.png").rename(tmp_path / "masks/e\u0301.png")  # as macOS writes it: e and an accent
    found = builder(tmp_path, val_fraction=0.0)
    faults = {e.id: found.conversion(e).fault for e in found.splits["train"]}
    assert faults["a"] == ""
    assert faults["b"].startswith(f"{tmp_path}/masks/b.png: Expected a file. Received: none. Put it there")
    assert "C.png, whose name is written otherwise" in faults["c"]
    assert faults["d"].startswith(f"{tmp_path}/masks/d.json: ")
    assert "JSON" in faults["d"]
    assert "whose name is written otherwise" in faults["\u00e9"]
    assert not any("remove" in fault.lower() for fault in faults.values())


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("JPEGImages/{}.png", r"no images/ but holds JPEGImages/ \(3 \.png, as JPEGImages/a0\.png\), masks/ \(3 \.png"),
        ("Images/{}.png", r"holds Images/ .*Rename Images to images: upper and lower case count"),
        ("{}.png", r"3 \.png, as a0\.png in it"),
    ],
)
def test_images_in_another_folder(images, message, tmp_path):
    refused(tree(tmp_path, images=images), message)


def test_the_tree_one_folder_deeper(tmp_path):
    tree(tmp_path, images="set/images/{}.png", masks="set/masks/{}.png")
    refused(tmp_path, r"give data_dir=.*/set\.")


def test_images_of_a_kind_that_is_not_read(tmp_path):
    tree(tmp_path, images="images/{}.heic")
    refused(tmp_path, r"none in .*images, which holds 3 \.heic, as a0\.heic", ValueError)


@pytest.mark.parametrize("name", ["images/valid", "images/Train", "images/validation", "images/testing"])
def test_folders_that_nearly_are_splits(name, tmp_path):
    tree(tmp_path, images=name + "/{}.png", masks="masks/{}.png")
    refused(tmp_path, rf"splits called train, val, test\. Received: .*{name}\. Rename it to", ValueError)


@pytest.mark.parametrize("name", ["valid.txt", "Train.txt", "val.TXT", "training.txt"])
def test_lists_that_nearly_are_splits(name, tmp_path):
    tree(tmp_path)
    (tmp_path / name).write_text("a0\n")
    refused(tmp_path, rf"splits called train, val, test\. Received: .*{name}", ValueError)
    assert builder(tmp_path, list=name).splits["train"][0].id == "a0", "asked for by name"


def test_images_beside_the_folders_of_splits_are_said(tmp_path, caplog):
    tree(tmp_path, images="images/train/{}.png", masks="masks/train/{}.png")
    save(tmp_path / "images/loose.png")
    save(tmp_path / "images/later/x.png")
    with caplog.at_level(logging.WARNING, "absl"):
        assert builder(tmp_path).splits.keys() == {"train"}
    assert "2 images of" in caplog.text
    assert "later/x.png, loose.png" in caplog.text


def grouped(sizes):
    return [Example(f"clip{g}_{i:03}", None, None) for g, size in enumerate(sizes) for i in range(size)]


def clips(examples):
    return {e.id.partition("_")[0] for e in examples}


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_together_and_val_has_about_its_share(seed):
    examples = grouped([10] * 20)
    found = listing.held_out(examples, 0.2, seed, r"(.*)_\d+")
    assert len(found["val"]) == 40, "4 of 20 clips of 10"
    assert clips(found["train"]).isdisjoint(clips(found["val"]))
    again = listing.held_out(examples[::-1], 0.2, seed, r"(.*)_\d+")
    assert {e.id for e in again["val"]} == {e.id for e in found["val"]}, "whatever the order of the files"


@pytest.mark.parametrize("sizes", [[97, 1, 1, 1], [50, 50], [1, 3], [30, 40, 30], [5, 80, 5, 5, 5]])
@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.9])
def test_groups_of_unequal_sizes_leave_both_splits_some(sizes, fraction):
    for seed in range(4):
        found = listing.held_out(grouped(sizes), fraction, seed, r"(.*)_\d+")
        assert found["train"]
        assert found["val"]
        assert clips(found["train"]).isdisjoint(clips(found["val"]))


def test_a_pattern_without_a_group_takes_all_that_it_matches():
    found = listing.held_out(grouped([2] * 10), 0.2, 0, r"clip\d+")
    assert len(found["val"]) == 4
    assert clips(found["train"]).isdisjoint(clips(found["val"]))


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (r"clip0_(\d+)", r"does not match clip1_000, clip1_001\."),
        (r"(clip)", r"two groups of images\. Received: group='\(clip\)', by which all 4 are of 'clip'"),
        (r"(", r"regular expression\. Received: '\('"),
    ],
)
def test_a_group_that_does_not_fit(group, message):
    with pytest.raises(ValueError, match=message):
        listing.held_out(grouped([2, 2]), 0.5, 0, group)


def test_the_group_is_an_option_of_folder(tmp_path):
    tree(tmp_path, names=[f"v{g}_{i}" for g in range(5) for i in range(4)])
    found = builder(tmp_path, group=r"(.*)_\d+")
    assert {e.id[:2] for e in found.splits["train"]}.isdisjoint({e.id[:2] for e in found.splits["val"]})
    assert len(found.splits["val"]) == 4
    assert found.fingerprint != builder(tmp_path).fingerprint
    (tmp_path / "train.txt").write_text("v0_0\n")
    refused(tmp_path, r"no group where .* names its splits: train", ValueError, group=r"(.*)_\d+")


def test_a_file_that_is_no_picture_does_not_stop_the_walk(tmp_path):
    save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")  # reading it would never return
    assert names(listing.pictures(tmp_path), tmp_path) == ["a.png"]
