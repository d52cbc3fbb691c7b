"""Videos and cameras: frames in are frames out, at the same rate."""

import cv2
import numpy as np
import pytest

from tfseg.prediction import job, video
from tfseg.prediction.outputs import video as output

COLORS = np.array([[220, 30, 30], [30, 220, 30], [30, 30, 220]], np.uint8)


def clip(path, frames, size=(32, 48), fps=12.5, codec="mp4v"):
    """Writes frames of one colour each, in turn."""
    with video.writing(path, fps, codec) as add:
        for i in range(frames):
            add(np.full((*size, 3), COLORS[i % 3], np.uint8))
    return path


def read(path):
    """(frames RGB, frames a second)"""
    with video.reading(str(path)) as frames:
        return [frame for one in frames.reads if (frame := one()) is not None], frames.fps


@pytest.mark.parametrize(("codec", "extension"), output.EXTENSIONS.items())
def test_what_is_written_is_read(tmp_path, codec, extension):
    try:
        path = clip(tmp_path / f"a{extension}", 7, codec=codec)
    except OSError as error:
        if codec != "avc1":
            raise
        pytest.skip(f"this OpenCV has no encoder for H.264, as most of its wheels: {error}")
    frames, fps = read(path)
    assert len(frames) == 7
    assert fps == 12.5
    assert [COLORS.argmax(1)[i % 3] for i in range(7)] == [frame.mean((0, 1)).argmax() for frame in frames]


def test_odd_sizes_lose_nothing(tmp_path):
    """Codecs halve the colour's resolution: OpenCV cuts the last row and column of 31 x 47, and we repeat them first."""
    frames, _ = read(clip(tmp_path / "a.mp4", 2, size=(31, 47)))
    assert frames[0].shape == (32, 48, 3)


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    for source in (str(tmp_path / "a.mp4"), 99):
        with pytest.raises(ValueError, match="cannot be opened"), video.reading(source):
            pass


def test_a_video_without_its_end_is_named(tmp_path):
    """An .avi whose file is cut: its header still counts 100 frames."""
    whole = clip(tmp_path / "a.avi", 100, codec="MJPG").read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    with video.reading(str(tmp_path / "cut.avi")) as frames:
        if frames.count != 100:
            pytest.skip(f"this FFmpeg counts {frames.count} frames without the index at the end of the file")
        with pytest.raises(ValueError, match="Expected 100 frames"):
            [one() for one in frames.reads]


def test_an_error_leaves_no_half_video(tmp_path):
    def write(codec):
        with video.writing(tmp_path / "a.mp4", 10, codec) as add:
            add(np.zeros((32, 32, 3), np.uint8))
            raise OSError("the next one cannot be drawn")

    with pytest.raises(OSError, match="cannot be drawn"):
        write("mp4v")
    with pytest.raises(OSError, match="that OpenCV can write"):
        write("????")
    assert list(tmp_path.iterdir()) == []


class Full:
    """A writer on a full disk: it takes every frame but the first and says nothing."""

    def __init__(self, *args):
        self.real, self.frames = WRITER(*args), 0

    def write(self, frame):
        self.frames += 1
        if self.frames == 1:
            self.real.write(frame)

    def __getattr__(self, name):
        return getattr(self.real, name)


WRITER = cv2.VideoWriter


def test_frames_that_are_lost_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "VideoWriter", Full)
    with pytest.raises(OSError, match=r"Expected 3 frames in .*a\.mp4\. Received: 1"):
        clip(tmp_path / "a.mp4", 3)
    assert list(tmp_path.iterdir()) == []


def test_a_video_is_predicted_frame_by_frame(run, tmp_path):
    clip(tmp_path / "in" / "a.mp4", 7)
    out = run(batch_size=3, crop_size=(32, 48))
    frames, fps = read(out / "videos" / "a.mp4")
    assert (len(frames), fps) == (7, 12.5)
    # The overlay is half of the frame, half of its class's colour: its strongest channel is that of the frame.
    assert [frame.mean((0, 1)).argmax() for frame in frames] == [i % 3 for i in range(7)]
    assert not (out / "labels").exists()
    with pytest.raises(ValueError, match=r"holds 1 of them, the first a\.mp4"):
        run()


def test_frames_can_be_had_as_images_beside_photos(run, tmp_path, noise):
    clip(tmp_path / "in" / "a.mp4", 5)
    cv2.imwrite(str(tmp_path / "in" / "photo.png"), noise(20, 20))
    out = run(outputs="labels | video(legend=True)", max_frames=4)
    labels = sorted(path.relative_to(out / "labels").as_posix() for path in (out / "labels").rglob("*.png"))
    assert labels == ["a/000000.png", "a/000001.png", "a/000002.png", "a/000003.png", "photo.png"]
    values = [cv2.imread(str(out / "labels" / "a" / f"00000{i}.png"), cv2.IMREAD_UNCHANGED) for i in range(4)]
    assert [np.unique(value).tolist() for value in values] == [[0], [1], [2], [0]]
    frames, _ = read(out / "videos" / "a.mp4")
    assert len(frames) == 4
    assert frames[0].shape[0] > 32  # the legend is beneath
    with pytest.raises(ValueError, match=r"the first photo\.png"):  # and a/ is there too
        run(outputs="labels")
    with pytest.raises(ValueError, match="Expected a video for --outputs=video"):
        run(outputs="video", images="in/photo.png", output="other")


def test_a_broken_video_is_named_and_the_others_predicted(run, tmp_path):
    clip(tmp_path / "in" / "b.mp4", 3)
    (tmp_path / "in" / "a.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"1 of 4 that cannot.*\n.*a\.mp4: .*cannot be opened"):
        run()
    assert len(read(tmp_path / "out" / "videos" / "b.mp4")[0]) == 3


class Camera:
    """A camera that never ends; after 5 frames the user presses Ctrl-C."""

    def __init__(self, source):
        self.real, self.frames = isinstance(source, str) and REAL(source), 0

    def isOpened(self):  # noqa: N802, the name is OpenCV's
        return self.real.isOpened() if self.real else True

    def get(self, key):
        return self.real.get(key) if self.real else 0.0

    def read(self):
        if self.real:
            return self.real.read()
        self.frames += 1
        return True, np.full((32, 48, 3), COLORS[0][::-1], np.uint8)

    def release(self):
        if self.real:
            self.real.release()


REAL = cv2.VideoCapture


def test_a_camera_goes_on_until_the_frames_or_the_user_end_it(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    out = run(images="camera:0", max_frames=4)
    frames, fps = read(out / "videos" / "camera0.mp4")
    assert (len(frames), fps) == (4, video.UNKNOWN_FPS)

    draw, drawn = job.Job._start_clock, []

    def pressed(self):
        drawn.append(0)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        draw(self)

    monkeypatch.setattr(job.Job, "_start_clock", pressed)
    out = run(images="camera:0", output="until", batch_size=1)
    assert len(read(out / "videos" / "camera0.mp4")[0]) == 2
    assert "Stopped by Ctrl-C" in capsys.readouterr().out
    with pytest.raises(ValueError, match="camera:NUMBER"):
        run(images="camera:front", output="other")
