"""Instances: any network with an embedding of each pixel beside its logits.

De Brabandere, Neven, Van Gool, Semantic Instance Segmentation with a Discriminative Loss Function, 2017.
https://arxiv.org/abs/1708.02551

The last layer of a network gets a channel for each dimension of the embedding beside those of the classes, so both tasks share
all before it, as in section 3.1. The loss is `discriminative`, and clusters of the embedding are the instances. A network that
reads its own scores, such as layer_cascade, reads the embedding among them.
"""

import tfseg.spec as specs
from models import layers

REFERENCE = {
    "params": {"instances": {12: 2_064_256}},
    "source": "ERFNet's count with 12 + 8 classes: that of 12 (erfnet.py), and 8 times 16 x 2 x 2 weights and a bias",
}

FULL_SIZE = ("embedding",)


def build(inputs, num_classes, *, model="erfnet", dimensions=8):
    """`model` is the spec of a network, `dimensions` the length of the embedding."""
    if not dimensions >= 1:
        raise ValueError(f"Expected dimensions of 1 or more. Received: dimensions={dimensions}.")
    call = specs.parse(model)
    outputs = specs.apply(specs.find("models", call.name).build, call, inputs, num_classes + dimensions)
    if len(outputs["logits"].shape) != 4:
        raise ValueError(f"Expected a network with logits of each pixel. Received: model={model!r}.")
    embedding = layers.channels(outputs["logits"], num_classes, num_classes + dimensions)
    scored = [name for name in outputs if name == "logits" or name.startswith("aux_")]
    return {
        **{name: layers.channels(y, 0, num_classes) if name in scored else y for name, y in outputs.items()},
        "embedding": embedding,
    }


def network_of(*, model="erfnet", dimensions=8):
    """The network inside."""
    return model
