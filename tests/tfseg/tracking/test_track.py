"""--mode=track on drawn movies, by a network whose foreground is what is bright and whose features are colours."""

import json

import cv2
import keras
import numpy as np
import pytest

from tfseg import checkpoint, evaluate, track
from tfseg.config import Config
from tfseg.tracking import propagation, scores
from tfseg.tracking.network import Network

SIZE, FRAMES = (64, 80), 8
RED, BLUE = (250, 40, 40), (40, 40, 250)
HIDDEN = range(3, 5)  # the frames without the blue square


def bright():
    """Foreground is where a colour is above 150; the features are the three colours at 1/8."""
    inputs = keras.Input((None, None, 6), dtype="float32")
    colors = keras.layers.Lambda(lambda x: x[..., :3], output_shape=(None, None, 3))(inputs)
    largest = keras.layers.Lambda(lambda x: keras.ops.max(x, -1, keepdims=True), output_shape=(None, None, 1))(colors)
    logits = keras.layers.Concatenate()([0 * largest, (largest - 150) / 5])
    return keras.Model(inputs, {"logits": logits, "features": keras.layers.AveragePooling2D(8)(colors)})


def movie():
    """(frames, ids): a red square, 1, goes down; a blue one, 2, is away for two frames and comes back elsewhere."""
    rng, frames, maps = np.random.default_rng(0), [], []
    ground = cv2.GaussianBlur(rng.uniform(0, 100, SIZE).astype(np.float32), (0, 0), 1.5)
    for t in range(FRAMES):
        frame, ids = np.repeat(ground[..., np.newaxis], 3, -1), np.zeros(SIZE, np.uint8)
        places = [(1, RED, 8 + 2 * t, 10)]
        places += [] if t in HIDDEN else [(2, BLUE, 10, 60 - 2 * t) if t < HIDDEN.start else (2, BLUE, 40, 46 + 2 * t)]
        for number, color, top, left in places:
            frame[top : top + 16, left : left + 16], ids[top : top + 16, left : left + 16] = color, number
        frames.append(frame.astype(np.uint8))
        maps.append(ids)
    return frames, maps


@pytest.fixture(scope="module")
def network():
    return Network(bright(), (32, 32))


@pytest.fixture
def clip(tmp_path, monkeypatch):
    """A folder with the frames 8, 9, 10, .. and their ids; `clip(**options)` tracks them."""
    frames, maps = movie()
    for number, (frame, ids) in enumerate(zip(frames, maps, strict=True), 8):
        for name, pixels in ((f"clip/{number}.png", frame[..., ::-1]), (f"true/{number}.png", ids * 7)):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / name), pixels)
    monkeypatch.setattr(evaluate, "trained_model", lambda config: (bright(), checkpoint.State()))

    def run(**options):
        given = {"images": tmp_path / "clip", "first_mask": tmp_path / "true/8.png", "output_dir": tmp_path / "out"}
        given = {name: str(value) for name, value in (given | options).items()}
        given |= {name: value for name, value in options.items() if not name.endswith(("s", "mask", "dir"))}
        return track.track(Config(mode="track", crop_size=(32, 32), **given))

    return run


@pytest.mark.parametrize("threshold", [0.0, 0.9])
def test_a_lost_object_is_found_again_by_its_colour(network, threshold):
    frames, maps = movie()
    one = propagation.Track(frames, maps[0], network)
    one.forwards()
    assert one.seen[:, 0].all()
    np.testing.assert_array_equal(one.seen[:, 1], np.arange(FRAMES) < HIDDEN.start)
    if threshold:
        assert one.reidentify(threshold) == 1
        np.testing.assert_array_equal(one.seen[:, 1], [t not in HIDDEN for t in range(FRAMES)])
    found = [one.owners(t) for t in range(FRAMES)]
    for t, (ids, true) in enumerate(zip(found, maps, strict=True)):
        for k in (1, 2):
            expected = 1.0 if k == 1 or t < HIDDEN.stop or threshold else 0.0
            assert scores.region(ids == k, true == k, true >= 0) == pytest.approx(expected, abs=0.05), (t, k)


def test_without_a_network_masks_are_moved_along_the_flow():
    frames, maps = movie()
    one = propagation.Track(frames, maps[0], None)
    one.forwards()
    assert scores.region(one.owners(4) == 1, maps[4] == 1, maps[4] >= 0) > 0.6
    assert (
        not (one.owners(4) == 2).any()
        or not one.seen[4, 1]
        or scores.region(one.owners(4) == 2, maps[4] == 2, maps[4] >= 0) == 0
    )


def test_a_folder_of_frames(clip, tmp_path, capsys):
    written = clip(reidentify=0.9, true_masks=tmp_path / "true")
    assert [path.name for path in written] == [f"{n}.png" for n in range(8, 16)], "9 is before 10"
    for path in written:
        ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert set(np.unique(ids)) <= {0, 7, 14}, "the ids of the first mask"
        overlay = cv2.imread(str(tmp_path / "out/overlays" / path.name))
        assert overlay.shape == (*SIZE, 3)
    assert "Found again: 1 times" in capsys.readouterr().out
    found = json.loads((tmp_path / "out/scores.json").read_text())
    assert found["objects"].keys() == {"7", "14"}
    assert found["J"] > 0.95
    with pytest.raises(ValueError, match=r"holds 8 of them, the first ids/8\.png\. Use another folder, or --overwrite"):
        clip()


def test_a_video_and_the_mask_among_the_images(clip, tmp_path):
    frames, _ = movie()
    writer = cv2.VideoWriter(str(tmp_path / "street.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, SIZE[::-1])
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()
    written = clip(images=tmp_path / "street.avi")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written][:2] == [
        "ids/street/000000.png",
        "ids/street/000001.png",
    ]
    video = cv2.VideoCapture(str(tmp_path / "out/videos/street.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES
    video.release()
    mask = tmp_path / "clip/8_ids.png"
    mask.write_bytes((tmp_path / "true/8.png").read_bytes())
    assert len(clip(images=tmp_path / "clip/*.png", first_mask=mask, output_dir=tmp_path / "other")) == FRAMES


def test_what_cannot_be_tracked_is_said_first(clip, tmp_path, monkeypatch):
    with pytest.raises(
        ValueError, match=r"Expected --first_mask, the ids of the objects in the first frame\. Received: none"
    ):
        clip(first_mask="")
    with pytest.raises(FileNotFoundError, match="Expected a PNG as --first_mask"):
        clip(first_mask=tmp_path / "none.png")
    with pytest.raises(ValueError, match="Expected a folder, a quoted pattern or a video"):
        clip(images="camera:0")
    with pytest.raises(ValueError, match="a gray or palette PNG of ids"):
        clip(first_mask=tmp_path / "clip/9.png")
    cv2.imwrite(str(tmp_path / "small.png"), np.ones((4, 6), np.uint8))
    with pytest.raises(ValueError, match=r"80 x 64 pixels \(width x height\)\. Received: .*small\.png of 6 x 4"):
        clip(first_mask=tmp_path / "small.png")
    cv2.imwrite(str(tmp_path / "empty.png"), np.full(SIZE, 255, np.uint8))
    with pytest.raises(ValueError, match="Expected an object, an id besides 0 and 255"):
        clip(first_mask=tmp_path / "empty.png")
    cv2.imwrite(str(tmp_path / "true/8.png"), movie()[1][0])
    cv2.imwrite(str(tmp_path / "clip/12.png"), np.ones((4, 6, 3), np.uint8))
    with pytest.raises(ValueError, match=r"Expected frames of one size, 80 x 64.*12\.png"):
        clip()
    (tmp_path / "clip/12.png").unlink()
    inputs = keras.Input((None, None, 3))
    plain = keras.Model(inputs, {"logits": keras.layers.Conv2D(2, 1)(inputs)}, name="enet")
    monkeypatch.setattr(evaluate, "trained_model", lambda config: (plain, checkpoint.State()))
    with pytest.raises(ValueError, match=r"such as mask_propagation\. Received: enet of 3 channels"):
        clip()
