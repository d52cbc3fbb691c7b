"""A backbone with the classification head it was published with: the proof that its published weights fit.

The papers are in the files of `models/backbones/`. `"logits"` is [batch, classes]: there is nothing to resize or crop.
"""

from models import backbones

REFERENCE = {
    "params": {"classifier": {1000: 11_689_512}},
    "macs": {"classifier": 333_615_000},
    "input": (96, 96, 3),
    "source": "torchvision.models.resnet18, run",
}


def build(inputs, num_classes, *, backbone="resnet18"):
    """`backbone` is a spec of `models.backbones`."""
    return {"logits": backbones.classify(backbone, inputs, num_classes)}
