"""--mode=track: follows the objects of a first mask through a sequence of images or a video."""

import contextlib
import json
import pathlib
import re

import numpy as np

from input_pipeline import IGNORE, progress
from input_pipeline.source import files, masks
from tfseg import config as config_lib
from tfseg import config_values, evaluate, given_images, objects, pictures
from tfseg.prediction import folders, video
from tfseg.tracking import propagation, scores
from tfseg.tracking.network import Network

IDS, OVERLAYS, VIDEOS = "ids", "overlays", "videos"  # below --output_dir


def track(config: config_lib.Config) -> list[pathlib.Path]:
    """Writes `ids/` NAME.png and `overlays/` NAME.png of each frame into --output_dir, of a video `videos/` NAME.mp4 and ids.

    The frames are the images of --images in the order of the numbers in their names, or those of a video; --first_mask has the
    ids of the objects in the first of them, and the maps that are written have the same ids. All frames are in memory. With
    --reidentify lost objects are looked for again. With --true_masks there is also `scores.json`, of J and F.

    Returns:
        The paths of the maps of ids.

    Raises:
        FileNotFoundError: if --images or --first_mask is not there.
        OSError: if --output_dir cannot be written.
        ValueError: if frames have several sizes, the mask another or no object, or the network is of another kind.
    """
    _check_given(config)
    output_dir = pathlib.Path(config.output_dir)
    found, name = _found(config, output_dir)
    _check_output(config, output_dir, found, name)
    ids = _ids(pathlib.Path(config.first_mask))
    frames, names, fps = _frames(config, found, name)
    if ids.shape != frames[0].shape[:2]:
        raise ValueError(
            f"Expected --first_mask of the first frame's size, {_size(frames[0])}. Received: {config.first_mask} of "
            f"{_size(ids)}."
        )
    true = _true(config, names, frames[0].shape[:2]) if config.true_masks else []
    model, _ = evaluate.trained_model(config)
    network = Network(model, config.crop_size)

    known = np.array([k for k in np.unique(ids) if k not in (0, IGNORE)])
    first = sum((ids == k) * number for number, k in enumerate(known, 1))
    one = propagation.Track(frames, first, network)
    with progress.bar("track", len(frames) - 1, "frames") as bar:
        one.forwards(bar.update)
    times = 0
    if config.reidentify and not one.seen.all():
        with progress.bar("look for lost objects", int((~one.seen.all(1)).sum()), "frames") as bar:
            times = one.reidentify(config.reidentify, bar.update)

    table = np.concatenate([[0], known]).astype(np.uint16 if known.max() > 255 else np.uint8)
    maps = [table[one.owners(at)] for at in range(len(frames))]
    written = _write(config, output_dir, frames, names, maps, name, fps)
    lost = {int(k): int((~one.seen[:, number]).sum()) for number, k in enumerate(known)}
    gone = ", ".join(f"{k} in {count} frames" for k, count in lost.items() if count) or "none"
    print(f"{len(known)} objects in {len(frames)} frames, in {output_dir}. Found again: {times} times. Lost: {gone}.")
    if true:
        result = scores.of_sequence(maps, true)
        (output_dir / "scores.json").write_text(json.dumps(result, indent=2) + "\n")
        print(f"J {100 * result['J']:.2f} %, F {100 * result['F']:.2f} %, in {output_dir / 'scores.json'}.")
    return written


def _check_given(config):
    """Raises ValueError if an option that is needed is blank, or of a kind that cannot be tracked."""
    for option, what in (
        ("images", "the frames or the video"),
        ("first_mask", "the ids of the objects in the first frame"),
        ("output_dir", "the folder for the maps"),
    ):
        if not getattr(config, option):
            raise ValueError(f"Expected --{option}, {what}. Received: none.")
    if config.images == config_values.LIST or config.images.startswith(config_values.CAMERA):
        raise ValueError(
            f"Expected a folder, a quoted pattern or a video as --images of --mode=track. Received: {config.images}."
        )
    if not pathlib.Path(config.first_mask).is_file():
        raise FileNotFoundError(f"Expected a PNG as --first_mask. Received: {config.first_mask}, which is not there.")


def _found(config, output_dir):
    """({name: path} of the frames in their order, "") or ({name: path} of a video, its name)."""
    found = given_images.find(config.images, output_dir)
    masks_ = {pathlib.Path(config.first_mask).resolve()}
    if config.true_masks:
        masks_ |= {path.resolve() for path in _masks(config).values()}
    found = {name: path for name, path in found.items() if path.resolve() not in masks_}
    videos = [name for name, path in found.items() if path.suffix.lower() in video.EXTENSIONS]
    if videos and len(found) > 1:
        raise ValueError(
            f"Expected the images of one sequence, or one video. Received: {len(found)} files at --images={config.images}, "
            f"{len(videos)} of them videos."
        )
    if not videos and len(found) < 2:
        raise ValueError(
            f"Expected two frames or more besides the masks. Received: {len(found)} at --images={config.images}."
        )
    return dict(sorted(found.items(), key=lambda item: _by_numbers(item[0]))), videos[0] if videos else ""


def _by_numbers(name):
    """A key by which frame_10 comes after frame_9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)], name


def _check_output(config, output_dir, found, name):
    """Raises ValueError if maps exist, OSError if the folder cannot be written."""
    places = [output_dir / IDS / name] if name else [output_dir / IDS / f"{one}.png" for one in found]
    existing = [path for path in places if path.exists()]
    if existing and not config.overwrite:
        raise ValueError(
            f"Expected --output_dir without maps of these frames. Received: {output_dir} holds {len(existing)} of them, the "
            f"first {existing[0].relative_to(output_dir)}. Use another folder, or --overwrite."
        )
    for folder in (IDS, VIDEOS if name else OVERLAYS):
        folders.check_writable(output_dir / folder)


def _ids(path):
    """A map of ids, integers [height, width], with one object or more."""
    try:
        ids = masks.read_mask(path)
    except files.FAULTS as error:
        raise ValueError(f"Expected a mask that can be read. Received: {path}: {error}.") from error
    if ids.ndim != 2:
        raise ValueError(
            f"Expected a gray or palette PNG of ids as --first_mask. Received: {path}, which has colours. Save the ids."
        )
    if not np.any((ids != 0) & (ids != IGNORE)):
        raise ValueError(f"Expected an object, an id besides 0 and {IGNORE}, in --first_mask. Received: {path}: none.")
    return ids


def _frames(config, found, name):
    """(the frames, RGB uint8 [height, width, 3]; their names; frames a second)."""
    frames, names, fps = [], list(found), 0.0
    if name:
        with video.reading(str(found[name]), config.max_frames) as opened:
            fps = opened.fps
            for read in progress.over(opened.reads, "read", opened.count, "frames"):
                if (frame := read()) is not None:
                    frames.append(frame)
        names = [f"{name}/{number:06d}" for number in range(len(frames))]
        if len(frames) < 2:
            raise ValueError(f"Expected two frames or more. Received: {len(frames)} in {found[name]}.")
        return frames, names, fps
    for one, path in found.items():
        try:
            frames.append(files.read_image(path, config.image_range)[1])
        except files.FAULTS as error:
            raise ValueError(f"Expected frames that can be read. Received: {path}: {error}.") from error
        if frames[-1].shape != frames[0].shape:
            raise ValueError(
                f"Expected frames of one size, {_size(frames[0])}. Received: {path}, {one}, of {_size(frames[-1])}."
            )
    return frames, names, fps


def _masks(config):
    """{name: path} of the files of --true_masks."""
    return given_images.find(config.true_masks, pathlib.Path(config.output_dir))


def _true(config, names, shape):
    """The true ids of each frame, or None where there are none; a mask belongs to the frame with the same name."""
    of_frames = {pathlib.PurePath(name).name: path for name, path in _masks(config).items()}
    true = [of_frames.get(pathlib.PurePath(name).name) for name in names]
    if true[0] is None:
        true[0] = pathlib.Path(config.first_mask)
    read = [None if path is None else masks.read_mask(path) for path in true]
    wrong = [path for path, ids in zip(true, read, strict=True) if ids is not None and ids.shape != shape]
    if wrong or all(ids is None for ids in read[1:-1]):
        raise ValueError(
            f"Expected --true_masks of the frames' size and names, such as {pathlib.PurePath(names[1]).name}.png. Received: "
            f"{wrong[0] if wrong else 'none of a frame between the first and the last'}."
        )
    return read


def _write(config, output_dir, frames, names, maps, name, fps):
    """Writes maps and overlays; returns the paths of the maps."""
    written = []
    nothing = np.zeros(frames[0].shape[:2], int)
    path = output_dir / VIDEOS / f"{name}.mp4"
    with video.writing(path, fps) if name else contextlib.nullcontext() as add:
        for frame, one, ids in zip(frames, names, maps, strict=True):
            written.append(output_dir / IDS / f"{one}.png")
            folders.write(written[-1], files.encode_png(ids))
            shown = objects.Objects(ids=ids.astype(np.uint16))
            # No class has a colour, so that only the objects do.
            overlay = pictures.with_instances(frame, nothing, shown, np.zeros((0, 3), np.uint8), config.opacity)
            if add:
                add(overlay)
            else:
                folders.write(output_dir / OVERLAYS / f"{one}.png", files.encode_png(overlay))
    return written


def _size(pixels):
    """`96 x 64 pixels (width x height)`"""
    return f"{pixels.shape[1]} x {pixels.shape[0]} pixels (width x height)"
