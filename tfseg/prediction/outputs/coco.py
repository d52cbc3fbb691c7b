"""`coco.json`: the connected parts of each class as segments in COCO's format, with compressed run lengths."""

import contextlib
import json
import os

from input_pipeline.source import files
from tfseg.prediction import folders, rle
from tfseg.prediction.outputs import Output


def coco(*, min_area: int = 1) -> Output:
    """`pycocotools` reads it; `category_id` is the id of --label_ids. Parts of fewer than `min_area` pixels are left out."""
    if not isinstance(min_area, int) or min_area < 1:
        raise ValueError(f"Expected min_area of 1 pixel or more. Received: min_area={min_area}.")

    def draw(prediction, run):
        return rle.segments(run.ids[prediction.label], min_area)

    return Output("coco.json", draw, "", "run", _written)


@contextlib.contextmanager
def _written(path, run, fps):
    """Writes the segments as they come, so that memory does not grow with them."""
    images, count = [], 0
    with folders.whole(path) as aside, aside.open("w") as file:
        rows = zip(run.ids.tolist(), run.names, run.colors.tolist(), strict=True)
        categories = [{"id": i, "name": name, "supercategory": "", "color": color} for i, name, color in rows]
        file.write(f'{{"info": {{"description": "predicted by tfseg"}},\n"categories": {json.dumps(categories)},\n')
        file.write('"annotations": [')

        def add(prediction, segments):
            nonlocal count
            height, width = prediction.label.shape
            images.append({"id": prediction.number + 1, "file_name": _file_name(prediction)})
            images[-1] |= {"height": height, "width": width}
            for segment in segments:
                count += 1
                row = {"id": count, "image_id": prediction.number + 1, "category_id": segment["id"], "iscrowd": 0}
                row |= {key: segment[key] for key in ("area", "bbox", "segmentation")}
                file.write(f"{',' if count > 1 else ''}\n{json.dumps(row)}")

        yield add
        file.write(f'\n],\n"images": {json.dumps(images)}}}\n')


def _file_name(prediction):
    """The name of the image with its extension, below the folder of the images; a frame of a video has no extension."""
    extension = os.path.splitext(prediction.source)[1]
    if extension.lower() not in files.IMAGES or prediction.name.endswith(extension):
        return prediction.name
    return prediction.name + extension
