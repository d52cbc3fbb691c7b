"""--mode=prepare: builds the records of a data set, or says where they are."""

import input_pipeline
from tfseg import class_weights
from tfseg import config as config_lib


def prepare(config: config_lib.Config) -> "input_pipeline.Prepared":
    """Prepares --dataset from --data_dir and prints its splits and the train split's classes and weights."""
    if not config.dataset:
        raise ValueError(f"Expected --dataset, one of: {', '.join(input_pipeline.names())}. Received: none.")
    prepared = input_pipeline.prepare(config.dataset, config.data_dir, config.cache_dir, config.overwrite)
    print(f"{prepared.name}: {', '.join(f'{count} {split}' for split, count in prepared.splits.items())}")
    if "train" in prepared.statistics:
        statistics = prepared.statistics["train"]
        valid = max(sum(statistics["pixels"]), 1)
        enet, median = (rule(statistics) for rule in (class_weights.enet, class_weights.median_frequency))
        print(f"{'class':24}{'pixels %':>10}{'images':>8}{'enet':>10}{'median':>10}")
        for i, one in enumerate(prepared.classes):
            pixels, images = statistics["pixels"][i], statistics["images"][i]
            print(f"{one.name:24}{100 * pixels / valid:10.3f}{images:8}{enet[i]:10.3f}{median[i]:10.3f}")
    print(f"Records in {prepared.directory}")
    return prepared
