"""`labels/NAME.png`: a gray PNG of ids, with 8 bits if all of them fit, otherwise with 16."""

from input_pipeline.source import files
from tfseg.prediction.outputs import Output


def labels() -> Output:
    """Ids as --label_ids says: train ids, or those of the class table."""
    return Output("labels", lambda prediction, run: files.encode_png(run.ids[prediction.label]))
