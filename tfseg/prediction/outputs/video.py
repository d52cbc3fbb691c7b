"""`videos/NAME.mp4`: a video with classes and objects over each frame, as many frames and as fast as the one predicted."""

import contextlib

from tfseg import spec as specs
from tfseg.prediction import video as videos
from tfseg.prediction.outputs import Output, overlays

EXTENSIONS = {"mp4v": ".mp4", "avc1": ".mp4", "MJPG": ".avi", "XVID": ".avi"}  # codecs, and the files that hold them


def video(*, legend: bool = False, codec: str = "mp4v") -> Output:
    """`legend` puts the names of the classes beneath each frame.

    `mp4v` (MPEG-4) and `MJPG` can be written everywhere; `avc1` (H.264) where OpenCV's FFmpeg has an encoder for it.
    """
    extension = specs.choose(EXTENSIONS, codec, "a codec")

    def draw(prediction, run):
        return overlays.picture(prediction, run, legend, all_classes=True)

    @contextlib.contextmanager
    def written(path, run, fps):
        with videos.writing(path, fps, codec) as add:
            yield lambda prediction, frame: add(frame)

    return Output("videos", draw, extension, "video", written, needs_objects=True)
