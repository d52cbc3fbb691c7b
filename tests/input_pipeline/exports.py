"""Exports of annotation tools in their own layouts, for the tests; every mask is small enough to be derived by hand."""

import base64
import io
import itertools
import json
import zlib

import numpy as np
from PIL import Image


def image(path, size=(6, 8), orientation=None, seed=0):
    """Writes a photo of height and width `size`, which EXIF may turn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    picture.save(path, exif=exif)


def write(path, content):
    """Writes text, or JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def png(pixels):
    """An array as a PNG file's bytes."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(file, "PNG")
    return file.getvalue()


def gray(path, ids):
    """Writes ids as a gray PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(np.asarray(ids, np.uint8)))


def base64_png(pixels):
    return base64.b64encode(png(pixels)).decode()


def shape(label, points, kind="polygon", **more):
    """A shape of labelme."""
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def labelme(shapes, path="a.png", size=(16, 24), data=None):
    """A file of labelme."""
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": path,
        "imageData": data,
        "imageHeight": size[0],
        "imageWidth": size[1],
    }


def coco(annotations, categories, file="a.png", size=(6, 8)):
    """A COCO file of one image, whose annotations are (category id, segmentation)."""
    return {
        "images": [{"id": 7, "file_name": file, "height": size[0], "width": size[1]}],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": c, "segmentation": s, "iscrowd": int(isinstance(s, dict))}
            for i, (c, s) in enumerate(annotations)
        ],
        "categories": [{"id": i, "name": name} for i, name in categories],
    }


def supervisely_bitmap(inside):
    """A bitmap as Supervisely's SDK packs it: a palette PNG, 0 transparent, compressed, in base64."""
    file = io.BytesIO()
    picture = Image.fromarray(np.asarray(inside, np.uint8))
    picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.save(file, "PNG", transparency=0)
    return base64.b64encode(zlib.compress(file.getvalue())).decode()


def brush(alpha):
    """Label Studio's run lengths of a brush, by the format's description: sizes of 3, 4, 8 and 16 bits."""
    values = np.repeat(np.asarray(alpha, np.uint8).ravel(), 4).tolist()
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{n - 1:04b}" for n in (3, 4, 8, 16))
    for value, run in itertools.groupby(values):
        length = len(list(run)) - 1
        place, count = next((p, n) for p, n in enumerate((3, 4, 8, 16)) if length < 1 << n)
        if length == 3:  # 4 words one by one, so that both kinds of runs occur
            bits += f"0{place:02b}{length:0{count}b}" + f"{value:08b}" * 4
        else:
            bits += f"1{place:02b}{length:0{count}b}{value:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def task(results, number=1, name="/data/upload/1/0a1b2c3d-a.png", **annotation):
    """A task of Label Studio with one annotation."""
    return {"id": number, "data": {"image": name}, "annotations": [{"id": 5, "result": results, **annotation}]}


def result(kind, label, size=(6, 8), **value):
    """A region of Label Studio."""
    return {
        "id": label,
        "type": kind,
        "original_height": size[0],
        "original_width": size[1],
        "image_rotation": 0,
        "value": {kind: [label], **value},
    }
