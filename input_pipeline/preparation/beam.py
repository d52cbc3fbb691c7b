"""Conversion on Apache Beam, through TFDS' own support: the same records, in the same order, made by many workers.

    prepare(spec, data_dir, cache_dir, beam=tfds.download.DownloadConfig(beam_runner="DirectRunner"))

The workers read the source tree and write to the cache, so both must be on a file system that all workers can see.
"""

import json

from tensorflow_datasets.core.utils.lazy_imports_utils import apache_beam as beam

from input_pipeline.preparation.counts import Counts


def converted(builder, split: str):
    """Returns the transform of a split's examples to (id, record); what it counts goes to the file that `counts` reads."""
    try:
        beam.PTransform  # noqa: B018  imports it
    except ImportError as error:
        raise ValueError(
            f"Expected apache-beam for a conversion with beam. Received: {error}. Install it: pip install '.[beam]'."
        ) from error
    examples, conversion, path = builder.splits[split], builder.conversion, str(_path(builder, split))
    num_classes = len(builder.classes)

    @beam.ptransform_fn
    def convert(pipeline):
        results = (
            pipeline
            | "Number" >> beam.Create(range(len(examples)))
            | "Spread" >> beam.Reshuffle()
            | "Convert" >> beam.Map(lambda i: conversion(examples[i]))
        )
        _ = (
            results
            | "Count" >> beam.CombineGlobally(_combine_fn(num_classes))
            | "Keep" >> beam.Map(lambda found: _write(path, found))
        )
        return (
            results
            | "Whole" >> beam.Filter(lambda result: not result.fault)
            | "Record" >> beam.Map(lambda result: (result.id, result.record))
        )

    return convert()


def counts(builder, split: str) -> Counts:
    """The counts of a split, after its pipeline has run."""
    path = _path(builder, split)
    found = Counts.from_json(json.loads(path.read_text()))
    path.unlink()
    return found


def _combine_fn(num_classes):
    class Count(beam.CombineFn):
        def create_accumulator(self):
            return Counts(num_classes)

        def add_input(self, accumulator, result):
            accumulator.add(result)
            return accumulator

        def merge_accumulators(self, accumulators):
            first, *others = accumulators
            for other in others:
                first.merge(other)
            return first

        def extract_output(self, accumulator):
            return accumulator

    return Count()


def _path(builder, split):
    return builder.data_path / f"counts.{split}.json"


def _write(path, found):
    with open(path, "w") as file:
        json.dump(found.to_json(), file)
