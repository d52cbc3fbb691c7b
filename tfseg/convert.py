"""--mode=convert: turns the export of an annotation tool into a source tree of the data set `folder`."""

import collections
import csv
import dataclasses
import functools
import io
import os
import pathlib
import shlex
import shutil

import numpy as np
from PIL import Image

from input_pipeline.preparation.convert import in_parallel
from input_pipeline.source import files, foreign
from input_pipeline.source.class_tables import Class
from input_pipeline.source.foreign import export as export_lib
from input_pipeline.source.foreign import tree as tree_lib
from input_pipeline.source.listing import some
from tfseg import config as config_lib

REPORT = "conversion.txt"  # --overwrite replaces only folders that have this file, because a conversion made them
SPLITS = ("train", "val", "test")
_SIDEWAYS = range(5, 9)  # the EXIF orientations that swap width and height
_ORIENTATION = 0x0112


@dataclasses.dataclass(frozen=True)
class Written:
    """The result for one item: the number of pixels of each id, or the error in `fault`."""

    item: export_lib.Item
    pixels: np.ndarray | None = None  # int64 [256]
    dropped: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    turned: bool = False
    fault: str = ""


def convert(config: config_lib.Config) -> pathlib.Path:
    """Converts the export in --data_dir to images/, masks/ (gray PNGs of ids) and classes.csv in --output_dir.

    Images are copied as they are. If an annotation has an error, the conversion stops and leaves no files behind; with
    --skip_bad the annotation is left out and listed. A summary is printed; conversion.txt has it with complete lists.

    Raises:
        ValueError: if the tool is not known, an annotation has an error, or --output_dir is not empty.
    """
    if not config.data_dir or not config.output_dir:
        missing = "--output_dir, a new folder" if config.data_dir else "--data_dir, what the tool exported"
        raise ValueError(f"Expected {missing}. Received: none.")
    source, output = (
        pathlib.Path(os.path.abspath(pathlib.Path(p).expanduser())) for p in (config.data_dir, config.output_dir)
    )
    if not source.is_dir():
        what = "a file. Unpack it first" if source.is_file() else "which is not there"
        raise FileNotFoundError(
            f"Expected data_dir to be a folder, what the tool exported. Received: {source}, {what}."
        )
    _check_output(source, output, config.overwrite)
    tree = tree_lib.Tree(source, without=output)
    export = _once(foreign.read(tree))
    splits, notes = _splits(export.items)
    if not export.items and not export.faults:
        raise ValueError(f"Expected annotated images. Received: {export.title} in {source} without any.")
    incomplete = output.with_name(f"{output.name}.incomplete")
    _check_output(source, incomplete, overwrite=True)
    try:
        shutil.rmtree(incomplete, ignore_errors=True)
        incomplete.mkdir(parents=True)
        (incomplete / REPORT).write_text("not finished\n")
        targets = _targets(export.items, splits)
        write = functools.partial(_write, tree, incomplete)
        written = list(in_parallel(write, targets, len(targets), export.title))
        faults = export.faults + [done.fault for done in written if done.fault]
        if faults and (not config.skip_bad or all(done.fault for done in written)):
            raise ValueError(
                f"Expected annotations and images without errors. Received: {len(faults)} with an error in {export.title}. "
                f"Repair or remove them, or leave them out with --skip_bad. Nothing was written:\n  "
                + some(faults, "\n  ")
            )
        _write_classes(incomplete / "classes.csv", export.classes)
        printed, whole = _describe(export, written, splits, notes, source, output, faults)
        (incomplete / REPORT).write_text(whole)
        _replace(incomplete, output)
    except BaseException:
        shutil.rmtree(incomplete, ignore_errors=True)
        raise
    print(printed)
    return output


def _check_output(source, output, overwrite):
    """Raises ValueError if `output` has content that a conversion may not replace."""
    if output == source or output in source.parents:
        raise ValueError(
            f"Expected --output_dir outside of --data_dir. Received: {output}, which holds {source}. Give a new folder."
        )
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        if not (output / REPORT).is_file():
            raise ValueError(
                f"Expected --output_dir to be a new folder, or with --overwrite an earlier conversion. Received: {output}, "
                f"which holds other files. Give another one."
            )
        if not overwrite:
            raise ValueError(
                f"Expected a new folder. Received: --output_dir={output}, an earlier conversion. Add --overwrite."
            )


def _replace(incomplete, output):
    """Moves a finished folder to its place. The earlier one is removed last, so that a crash loses nothing."""
    old = output.with_name(f"{output.name}.old")
    if (old / REPORT).is_file():  # left by a conversion that was killed at this point
        shutil.rmtree(old)
    if output.exists():
        output.rename(old)
    incomplete.rename(output)
    if old.exists():
        shutil.rmtree(old)


def _once(export):
    """The export with each image of a split once; a second annotation of the same image is listed as an error."""
    first = {}
    for item in export.items:
        if first.setdefault((item.split, item.image), item) is not item:
            other = first[item.split, item.image].annotation
            export.faults.append(
                f"{item.annotation}: Expected each image once. Received: {item.image}, also in {other}"
            )
    return dataclasses.replace(export, items=list(first.values()))


def _splits(items):
    """({split of an item: its folder}, notes). If all items are in one split, there are no folders."""
    found = collections.Counter(item.split for item in items)
    if len(found) < 2:
        return dict.fromkeys(found, ""), []
    notes = []
    if found[""]:
        notes.append(f"{found['']} images are in no split, although others are: they go to train.")
    if not found["val"]:
        notes.append("The export has no val split. Training evaluates on val: move some images there.")
    return {split: split or "train" for split in found}, notes


def _targets(items, splits):
    """(item, path below images/ without extension) of each item. Items that would get the same path get longer ones."""

    def target(item, name):
        return "/".join(filter(None, (splits[item.split], os.path.splitext(name)[0])))

    names = [tree_lib.without_split(item.image) for item in items]
    common = os.path.commonpath([os.path.dirname(name) for name in names]) if names else ""
    short = [target(item, os.path.relpath(name, common or ".")) for item, name in zip(items, names, strict=True)]
    counts = collections.Counter(short)
    whole = [target(item, item.image.replace("/", "_").replace(".", "_") + ".") for item in items]
    return [(item, s if counts[s] == 1 else w) for item, s, w in zip(items, short, whole, strict=True)]


def _write(tree, folder, pair):
    """Copies an image and draws its mask."""
    item, target = pair
    place = item.annotation
    try:
        data = item.embedded() if item.embedded else None
        place = item.annotation if data else item.image
        head = data or files.read(tree.root / item.image)
        upright, turned, extension = _upright(head)
        place = item.annotation
        _check_size(item.size, upright, turned)
        drawn = item.draw(upright)
        image = folder / "images" / f"{target}{extension if data else os.path.splitext(item.image)[1]}"
        mask = folder / "masks" / f"{target}.png"
        for path in (image, mask):
            path.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(head)
        mask.write_bytes(files.encode_png(drawn.ids))
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        return Written(item, fault=f"{place}: Expected what the tool writes. Received: something else ({error!r})")
    except files.FAULTS as error:
        if isinstance(error, OSError) and error.errno and not isinstance(error, FileNotFoundError):
            raise  # a full disk, for example, is not an error in the file
        told = isinstance(error, (FileNotFoundError, ValueError))
        return Written(
            item, fault=f"{place}: {error if told else f'Expected a whole file. Received: {files.message(error)}'}"
        )
    return Written(item, np.bincount(drawn.ids.ravel(), minlength=256), drawn.dropped, turned)


def _upright(data):
    """(height and width after the rotation that EXIF asks for, whether EXIF asks for one, extension) of an encoded image."""
    turned = files.is_turned(data)
    with Image.open(io.BytesIO(data)) as image:
        image.load()  # a truncated file is found now, and not only when the folder is prepared
        sideways = turned and image.getexif().get(_ORIENTATION) in _SIDEWAYS
        size = image.size if sideways else image.size[::-1]
        return size, turned, ".jpg" if image.format in ("JPEG", "MPO") else f".{(image.format or 'png').lower()}"


def _check_size(stated, upright, turned):
    if not stated or tuple(stated) == tuple(upright):
        return
    expected, received = (f"{width} x {height}" for height, width in (upright, stated))
    if turned and tuple(stated) == tuple(upright[::-1]):
        raise ValueError(
            f"Expected an annotation of the image upright, {expected} (width x height), as its EXIF turns it. Received: one of "
            f"{received}, drawn before it was turned. Save the image without EXIF, or draw it again"
        )
    raise ValueError(
        f"Expected an annotation of the image's size, {expected} (width x height). Received: one of {received}. "
        "Export the image in that size"
    )


def _write_classes(path, classes):
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = [(c.raw, c.name, *c.color) for c in classes]
        csv.writer(file, lineterminator="\n").writerows([("id", "name", "r", "g", "b"), *rows])


def _describe(export, written, splits, notes, source, output, faults):
    """(the printed summary, the text of the report: the same with complete lists)."""
    kept = [done for done in written if not done.fault]
    counts = collections.Counter(splits[done.item.split] for done in kept)
    of = ", ".join(f"{counts[split]} {split}" for split in SPLITS if counts[split])
    lines = [f"{source} holds {export.title}.", f"{len(kept)} images{f' ({of})' if of else ''} are copied to {output}."]
    pixels = sum((done.pixels for done in kept), np.zeros(256, np.int64))
    images = sum((done.pixels > 0 for done in kept), np.zeros(256, np.int64))
    lines.append(f"{'id':>5}  {'class':32}{'pixels %':>10}{'images':>8}")
    for one in [*export.classes, Class("ignored", (0, 0, 0), files.IGNORE)]:
        if one.raw != files.IGNORE or (one.name == "ignored" and pixels[one.raw]):
            lines.append(
                f"{one.raw:5}  {one.name:32}{100 * pixels[one.raw] / max(pixels.sum(), 1):10.4f}{images[one.raw]:8}"
            )
    dropped = sum((done.dropped for done in kept), collections.Counter())
    where = {what: [done.item.annotation for done in kept if done.dropped[what]] for what in dropped}
    notes = [*export.notes, *notes]
    notes += [f"{n} {what} are left out, in {some(where[what])}." for what, n in dropped.items()]
    turned = [done.item.image for done in kept if done.turned]
    if turned:
        notes.append(
            f"{len(turned)} images are turned by EXIF; their masks are upright, as tools show them: {some(turned)}"
        )
    if not any(splits.values()) and len(kept) > 1:
        notes.append("The export has no splits, or one: `folder` takes a fifth of the images as val.")
    lines += [f"Note: {note}" for note in notes]
    lists = [f"\n{what} ({len(names)} files)\n" + "\n".join(names) for what, names in where.items()]
    if faults:
        lines.append(f"{len(faults)} with errors are left out: {output / REPORT}\n  " + some(faults, "\n  "))
        lists.insert(0, "\nLeft out\n" + "\n".join(faults))
    lines.append(f"Look at it: python main.py --mode=check --dataset=folder --data_dir={shlex.quote(str(output))}")
    return "\n".join(lines), "\n".join([*lines, *lists]) + "\n"
