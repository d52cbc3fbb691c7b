"""--mode=prepare: builds the records of a data set, or prints where they are."""

import input_pipeline
from input_pipeline import mixture
from input_pipeline.source.images import range_of, range_text
from tfseg import config as config_lib


def prepare(config: config_lib.Config) -> "input_pipeline.Prepared":
    """Prepares --dataset from --data_dir and prints its splits and the train split's classes and weights."""
    check_named(config)
    mixture.check(config.dataset, config.data_dir)
    parts = _parts(config, config.overwrite)
    for _, prepared in parts:
        _describe(prepared)
    return mixture.mix(parts)


def _describe(prepared):
    print(f"{prepared.name}: {', '.join(f'{count} {split}' for split, count in prepared.splits.items())}")
    if "train" in prepared.statistics:
        statistics = prepared.statistics["train"]
        valid = max(sum(statistics["pixels"]), 1)
        enet, median = (rule(statistics) for rule in input_pipeline.CLASS_WEIGHTS.values())
        print(f"{'class':24}{'pixels %':>10}{'images':>8}{'enet':>10}{'median':>10}")
        for i, one in enumerate(prepared.classes):
            pixels, images = statistics["pixels"][i], statistics["images"][i]
            print(f"{one.name:24}{100 * pixels / valid:10.3f}{images:8}{enet[i]:10.3f}{median[i]:10.3f}")
    for split, statistics in prepared.statistics.items():
        if statistics.get("turned"):  # absent in records of an earlier version
            print(f"{len(statistics['turned'])} images of {split} were turned upright, as their EXIF says.")
        for what, count in statistics.get("left_out", {}).items():
            print(f"{count} images of {split} have {what}, which is left out.")
        if found := range_of(statistics):
            print(f"{split}: {range_text(found, prepared.options.get('image_range', ''))[0]}.")
    for split, count in prepared.skipped.items():
        print(f"{count} bad examples of {split} were left out: {prepared.skipped_list}")
    print(f"Records in {prepared.directory}")


def check_named(config: config_lib.Config) -> None:
    """Raises ValueError, with the known data sets, if --dataset is blank."""
    if not config.dataset:
        raise ValueError(f"Expected --dataset, one of: {', '.join(input_pipeline.names())}. Received: none.")


def records(config: config_lib.Config) -> "input_pipeline.Prepared":
    """The records of --dataset, of a mixture those of the first, in the format of the options. Builds them if needed."""
    return _records(config, mixture.parse(config.dataset, config.data_dir)[0], False)


def mixed(config: config_lib.Config) -> "input_pipeline.Prepared":
    """The same, with the train split of the whole mixture (`mixture.mix`)."""
    return mixture.mix(_parts(config, False))


def _parts(config, overwrite):
    """(weight, records) of each data set. What cannot be mixed is found before, by `mixture.check`."""
    parts = mixture.parse(config.dataset, config.data_dir)
    return [(part.weight, _records(config, part, overwrite)) for part in parts]


def _records(config, part, overwrite):
    return input_pipeline.prepare(
        part.spec,
        part.data_dir,
        config.cache_dir,
        overwrite,
        skip_bad=config.skip_bad,
        image_format=config.image_format,
        max_size=config.max_size,
        image_range=config.image_range,
    )
