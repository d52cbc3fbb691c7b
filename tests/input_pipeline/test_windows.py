import numpy as np
import pytest

import input_pipeline
from input_pipeline import IGNORE, checking, ops, pipeline, windows
from input_pipeline.checking import samples
from input_pipeline.source import frames, listing
from models import layers
from tests.input_pipeline import trees


@pytest.mark.parametrize(("steps", "classes"), [(1, 200), (2, 255), (3, 255), (4, 63), (6, 15), (9, 3), (24, 1)])
def test_packed_maps_come_back(steps, classes):
    maps = np.random.default_rng(steps).integers(0, classes, (steps, 4, 5)).astype(np.uint8)
    maps[:, 0] = IGNORE
    packed = windows.pack(list(maps))
    assert packed.shape == (4, 5, 3)
    np.testing.assert_array_equal(np.moveaxis(windows.unpack(packed, steps), -1, 0), maps)
    # The network reads them in the same way.
    read = np.asarray(layers.past_maps(packed[np.newaxis].astype(np.float32), steps, classes))
    read = read.reshape(4, 5, steps, classes)
    np.testing.assert_array_equal(read.any(-1), np.moveaxis(maps, 0, -1) != IGNORE)
    np.testing.assert_array_equal(np.moveaxis(read.argmax(-1), -1, 0)[:, 1:], maps[:, 1:])


def test_the_places_of_the_bits():
    # Four maps of 6 bits: 1 + 2 * 64 + 0 * 64^2 + 3 * 64^3 = 786561 = 129 + 0 * 256 + 12 * 65536.
    maps = [np.full((1, 1), i, np.uint8) for i in (1, 2, 0, 3)]
    np.testing.assert_array_equal(windows.pack(maps), [[[129, 0, 12]]])
    assert (windows.unpack(np.array([[windows.OUTSIDE]]), 4) == IGNORE).numpy().all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="at most 3 classes"):
        windows.pack([np.full((1, 1), 3, np.uint8)] * 9)
    with pytest.raises(ValueError, match="5 x 4, 4 x 5"):
        windows.pack([np.zeros((4, 5), np.uint8), np.zeros((5, 4), np.uint8)])
    for steps in (0, 25, 2.0, True):
        with pytest.raises(ValueError, match="1 to 24"):
            windows.check(steps)


def test_the_picture_that_is_shown_is_the_last_map():
    colors = np.array([[0, 0, 9], [7, 0, 0]], np.uint8)
    packed = windows.pack([np.array([[0, 1, 1]], np.uint8), np.array([[1, 0, IGNORE]], np.uint8)])
    np.testing.assert_array_equal(windows.shown(packed, 2, colors), [[[7, 0, 0], [0, 0, 9], [0, 0, 0]]])
    assert windows.shown(packed, 0, colors) is packed


def example(name):
    return listing.Example(name, f"image {name}", f"mask {name}")


def test_windows_end_at_gaps_and_never_hold_their_target():
    names = ["a_30", "a_60", "a_90", "a_150", "a_180", "a_210", "b_240", "b_30"]
    found = frames.windows([example(n) for n in names], 2, 30, frames.number_in_name)
    assert {e.id: e.image.past for e in found} == {
        "a_90": ("mask a_30", "mask a_60"),
        "a_210": ("mask a_150", "mask a_180"),
    }
    assert all(e.mask == f"mask {e.id}" and e.mask not in e.image.past for e in found)


def test_the_last_fifth_of_each_sequence_is_held_out():
    names = [f"a_{n:02}" for n in range(11)] + [f"b_{n}" for n in range(5)] + ["c_0"]
    earlier, later = frames.last_fifth([example(n) for n in reversed(names)], frames.number_in_name)
    assert [e.id for e in later] == ["b_4", "a_09", "a_10"]
    assert sorted(e.id for e in earlier + later) == sorted(names)


def test_names_without_a_number_are_refused():
    with pytest.raises(ValueError, match=r"end with their number.*'frame'"):
        frames.windows([example("frame")], 2, 30, frames.number_in_name)
    with pytest.raises(ValueError, match="step"):
        frames.windows([], 2, 0, frames.number_in_name)


@pytest.mark.parametrize("chain", ["", "affine(scale=(1.0, 1.0))", "affine(scale=(1, 1), translation=0.2, rare=(1,))"])
def test_augmentations_that_copy_pixels_fit(chain):
    ops.check_copies(chain)


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ("affine()", "affine with scale"),
        ("affine(scale=(1.0, 1.0), rotation=5.0)", "rotation"),
        ("affine((1.0, 1.0)) | brightness(0.2)", "brightness with new values"),
        ("affine(scale=(1.0, 1.0)) | cutmix", "cutmix"),
        ("camvid", "Expected an augmentation that only copies"),
    ],
)
def test_other_augmentations_are_refused(chain, message):
    with pytest.raises(ValueError, match=message):
        ops.check_copies(chain)


SIZE, MASKS = (6, 8), np.random.default_rng(0).integers(0, 12, (12, 6, 8)).astype(np.uint8)  # 11 is unlabelled


@pytest.fixture
def camvid(tmp_path):
    """Twelve frames of one sequence, 30 apart, and one that is alone in val."""
    root = tmp_path / "data"
    for split, number, mask in [("train", 30 * i, MASKS[i]) for i in range(12)] + [("val", 7, MASKS[0])]:
        trees.save(root / split / f"0001TP_{number:06}.png", np.zeros((*SIZE, 3), np.uint8))
        trees.save(root / f"{split}annot" / f"0001TP_{number:06}.png", mask)
    return root


def ids(mask):
    return np.where(mask == 11, IGNORE, mask)


def prepare(root, spec, **options):
    return input_pipeline.prepare(spec, str(root), str(root.parent / "cache"), **options)


def test_a_window_of_camvid_holds_the_train_ids_of_the_frames_before(camvid):
    prepared = prepare(camvid, 'camvid(sequence=2, split="last_fifth")')
    # 12 frames: 10 to train on, of which 8 have two before them; the last 2 have none within val, which is left out.
    assert prepared.splits == {"train": 8}
    assert prepared.steps == input_pipeline.steps('camvid(sequence=2, split="last_fifth")') == 2
    for record in prepared.encoded("train").map(input_pipeline.decode).as_numpy_iterator():
        frame = int(record["id"].decode().removeprefix("0001TP_")) // 30
        np.testing.assert_array_equal(record["label"], ids(MASKS[frame]))
        past = np.moveaxis(windows.unpack(record["image"], 2), -1, 0)
        np.testing.assert_array_equal(past, ids(MASKS[frame - 2 : frame]))
    assert input_pipeline.prepare('camvid(sequence=2, split="last_fifth")', str(prepared.directory)) == prepared
    whole = prepare(camvid, "camvid")
    with pytest.raises(ValueError, match="sequence"):
        input_pipeline.prepare("camvid(sequence=4)", str(whole.directory))


def test_smaller_records_hold_smaller_label_maps(camvid):
    prepared = prepare(camvid, "camvid(sequence=2)", max_size=4, image_format="jpeg(quality=50)")
    assert prepared.splits == {"train": 10}, "val has one frame, and no window"
    record = next(prepared.encoded("train").map(input_pipeline.decode).as_numpy_iterator())
    frame = int(record["id"].decode().removeprefix("0001TP_")) // 30
    last = windows.unpack(record["image"], 2)[..., 1]
    assert last.shape == (3, 4)
    assert set(np.unique(last)) <= set(np.unique(ids(MASKS[frame - 1]))), "no value that was not there"
    # The same pixels of the window and of the label are kept.
    whole = prepare(camvid, "camvid(sequence=2)")
    by_id = {r["id"]: r for r in whole.encoded("train").map(input_pipeline.decode).as_numpy_iterator()}
    kept = [by_id[record["id"]][k].reshape(3, 2, 4, 2, -1) for k in ("image", "label")]
    for row, column in ((i, j) for i in range(2) for j in range(2)):
        if np.array_equal(kept[1][:, row, :, column, 0], record["label"]):
            np.testing.assert_array_equal(kept[0][:, row, :, column], record["image"])
            return
    raise AssertionError("the label shrank in another way")


def test_another_target_changes_no_input(camvid, tmp_path):
    """The target is not among the inputs: with another last frame, every window is the same."""
    before = prepare(camvid, "camvid(sequence=4)")
    trees.save(camvid / "trainannot" / "0001TP_000330.png", (MASKS[11] + 1) % 11)
    after = prepare(camvid, "camvid(sequence=4)")
    images, labels = (
        [{r["id"]: r[key] for r in p.encoded("train").as_numpy_iterator()} for p in (before, after)]
        for key in ("image", "label")
    )
    assert images[0] == images[1]
    assert {name for name in labels[0] if labels[0][name] != labels[1][name]} == {b"0001TP_000330"}


def test_the_training_stream_copies_windows(camvid):
    prepared = prepare(camvid, "camvid(sequence=2)")
    options = {"crop_size": (4, 10), "batch_size": 4, "seed": 0}
    batch = next(iter(pipeline.training(prepared, augment="affine(scale=(1.0, 1.0), flip=False)", **options)))
    assert set(np.unique(batch["image"] % 1)) == {0.0}
    maps, label = windows.unpack(batch["image"], 2).numpy(), batch["label"].numpy()
    outside = (maps == IGNORE).all(-1) & (label == IGNORE)
    assert outside.any(2).sum() == 16, "two columns of each crop lie outside of the image"
    assert maps[maps != IGNORE].max() < 11
    with pytest.raises(ValueError, match="only copies pixels"):
        pipeline.training(prepared, augment="affine(scale=(0.5, 2.0))", **options)


def test_a_bad_past_mask_is_named(camvid):
    trees.save(camvid / "trainannot" / "0001TP_000030.png", np.full(SIZE, 77, np.uint8))
    with pytest.raises(ValueError, match=r"0001TP_000030\.png: Expected ids of the class table"):
        prepare(camvid, "camvid(sequence=4)")


def test_too_few_frames_are_an_error(camvid):
    with pytest.raises(FileNotFoundError, match="Ask for fewer frames"):
        prepare(camvid, "camvid(sequence=4, step=90)")
    with pytest.raises(ValueError, match="at most 3 classes"):
        prepare(camvid, "camvid(sequence=9)")
    with pytest.raises(ValueError, match='"last_fifth"'):
        prepare(camvid, 'camvid(split="last_half")')


def test_check_reads_windows(camvid):
    found = checking.check("camvid(sequence=2)", str(camvid))
    assert (found.splits, found.findings) == ({"train": 10}, [])
    assert found.image_kinds == {"label maps": 10}
    spec = {"chain": "affine(scale=(1.0, 1.0))", "crop_size": (6, 8)}
    tiles = samples.augmented("camvid(sequence=2)", str(camvid), **spec)
    colors = {c.color for c in found.classes} | {(0, 0, 0)}
    assert {tuple(pixel) for pixel in np.concatenate([tile.image.reshape(-1, 3) for tile in tiles])} <= colors
