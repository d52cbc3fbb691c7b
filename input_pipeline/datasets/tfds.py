"""Any TFDS data set that has an image and a mask: `tfds(name="oxford_iiit_pet")`.

Data sets that TFDS has prepared below data_dir are read, also your own ones without their code. Others are downloaded
and prepared there by TFDS. Images are kept as TFDS stores them. Masks are read as files, since TFDS' own decoder
expands a palette to its colours.

Classes and ids: in a mask, `offset` is the id of the first class; smaller ids and 255 are ignored. The names of the
classes come from the option `classes`, otherwise from the mask's feature if it has some (`tfds.features.LabeledImage`),
otherwise from the table below.

Splits: `splits={"train": "train[:90%]", "val": "train[90%:]"}` in TFDS' own language. By default TFDS' splits are used,
with its `validation` as val.
"""

from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds
from absl import logging

from input_pipeline.preparation import builder
from input_pipeline.source import listing
from input_pipeline.source.class_tables import Class, Uncolored, colors_of
from input_pipeline.source.files import IGNORE

# Facts that are not in a data set's features. Oxford-IIIT Pet has trimaps of 1 pet, 2 background, 3 border, and no val split.
KNOWN = {
    "oxford_iiit_pet": {
        "offset": 1,
        "classes": ("pet", "background", "border"),
        "splits": {"train": "train[:80%]", "val": "train[80%:]", "test": "test"},
    },
}


class Builder(builder.Builder):
    """A data set of TensorFlow Datasets."""

    VERSION = tfds.core.Version("1.0.0")
    URL = "https://www.tensorflow.org/datasets/catalog/overview#image_segmentation"
    LICENCE = "the data set's own"
    LAYOUT = "the folder where TFDS keeps its data sets, such as ~/tensorflow_datasets, or an empty one to download to"

    def __init__(
        self,
        source: Path,
        cache: Path,
        *,
        name: str,
        image: str = "image",
        mask: str = "segmentation_mask",
        offset: int | None = None,
        classes: tuple[str, ...] | None = None,
        splits: dict[str, str] | None = None,
    ):
        """`name` as in TFDS (`name`, `name/config`, `name:1.0.0`); `image` and `mask` are two of its features."""
        known = KNOWN.get(name.partition("/")[0].partition(":")[0], {})
        offset = known.get("offset", 0) if offset is None else offset
        made = _prepared(name, source)
        features = made.info.features
        for feature in (image, mask):
            if feature not in features:
                raise ValueError(
                    f"Expected image= and mask= to be features of {name}: {', '.join(sorted(features))}. Received: {feature!r}."
                )
        names = classes or known.get("classes") or getattr(features[mask], "names", None)
        if not names:
            raise ValueError(
                f"Expected class names for {name}: its {mask} has none. Received: no classes. "
                f'Write tfds(name="{name}", classes=("first", "second"), offset={offset}).'
            )
        if offset < 0 or offset + len(names) > IGNORE:
            raise ValueError(
                f"Expected offset from 0, and ids below {IGNORE}. Received: {offset}, {len(names)} classes."
            )
        found = splits or known.get("splits") or {{"validation": "val"}.get(s, s): s for s in made.info.splits}
        parts = {split: Stored(made, part, image, mask) for split, part in found.items()}
        options = {"name": name, "image": image, "mask": mask, "offset": offset, "classes": classes, "splits": splits}
        stored = [made.info.full_name, {s: (i.num_examples, i.num_bytes) for s, i in made.info.splits.items()}]
        shown = zip(names, colors_of([str(n) for n in names]), strict=True)
        super().__init__(
            None,  # no files to list: what TFDS has prepared does not change under the same version and sizes
            cache,
            classes=[Uncolored(str(n), color, i + offset) for i, (n, color) in enumerate(shown)],
            ignored=[Class("ignore", None, raw) for raw in (*range(offset), IGNORE)],
            splits=parts,
            options={k: v for k, v in options.items() if v is not None},
            code=repr(stored).encode(),
        )
        self.source = source


class Stored:
    """Examples of a TFDS data set, in its order."""

    def __init__(self, made: tfds.core.DatasetBuilder, split: str, image: str, mask: str):
        self._made, self._split, self._keys = made, split, (image, mask)
        try:
            self._length = made.info.splits[split].num_examples
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"Expected splits of {made.name}: {', '.join(made.info.splits)}, or slices as in 'train[:80%]'. "
                f"Received: {split!r}."
            ) from error

    def __len__(self):
        """The number of examples."""
        return self._length

    def __getitem__(self, index):
        """TFDS only reads in order."""
        raise ValueError("Expected to read a TFDS data set in order. Received: a conversion with beam. Leave beam out.")

    def __iter__(self) -> Iterator[listing.Example]:
        """Reads the examples one after another."""
        image, mask = self._keys
        encoded = {key for key in self._keys if isinstance(self._made.info.features[key], tfds.features.Image)}
        stored = self._made.as_dataset(
            split=self._split,
            decoders=tfds.decode.PartialDecoding(
                {key: True for key in self._keys}, decoders={key: tfds.decode.SkipDecoding() for key in encoded}
            ),
            read_config=tfds.ReadConfig(add_tfds_id=True, try_autocache=False, interleave_cycle_length=1),
        )
        for example in stored.as_numpy_iterator():
            name, found = example["tfds_id"].decode(), example[mask]
            ids = found if mask in encoded or found.ndim == 2 else found[..., 0]
            yield listing.Example(name, self._part(name, image, example[image]), self._part(name, mask, ids))

    def _part(self, name, feature, found):
        return listing.Part(Path(self._made.data_path), f"{feature} of {name}", lambda: found)


def _prepared(name, source):
    """The TFDS builder of `name` with its records below `source`; downloads and prepares them if they are not there."""
    try:
        made = tfds.builder(name, data_dir=str(source))
    except ValueError as error:
        raise ValueError(
            f"Expected a data set that TFDS knows or has prepared in {source}. Received: name={name!r}."
        ) from error
    if not made.info.splits:
        logging.info("TFDS has not prepared %s in %s: it downloads and prepares it there.", name, source)
        made.download_and_prepare()
    return made
