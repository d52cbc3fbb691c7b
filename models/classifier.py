"""A backbone with the classification head of its publication, which shows that its published weights fit.

The files of `models/backbones/` name the papers. `"logits"` is [batch, classes], so nothing is resized or cropped.
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
