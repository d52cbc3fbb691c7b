"""The encoders of segmentation_models_pytorch (github.com/qubvel-org, version 0.6.0), which all its networks share.

They are the backbones of `models.backbones`, with two exceptions: its EfficientNets are those of TensorFlow, and its
MobileNetV2 ends with the 1x1 convolution to 1280 channels.
"""

import dataclasses

from models import backbones
from models.backbones import efficientnet, efficientnet_tf, mobilenet_v2, resnet

# Everything but the decoder and the head belongs to the encoder.
RENAMES = ((r"^(?!decoder\.|segmentation_head\.)", "encoder."),)
# The 1x1 convolution and the batch norm of an EfficientNet's classifier, which the encoder keeps.
UNUSED = (r"^encoder\._(conv_head|bn1)\.",)


def check_head(head):
    """Raises ValueError if the option `head` is neither None nor "smp"."""
    if head not in (None, "smp"):
        raise ValueError(f"Expected head None or 'smp', segmentation_models_pytorch's. Received: {head=}.")


def encoder(backbone):
    """The spec of a backbone in the form that segmentation_models_pytorch gives it."""
    call, family = backbones.find(backbone)
    if family is efficientnet:
        call = dataclasses.replace(call, name=f"{call.name}_tf")
    if family is mobilenet_v2:
        call = dataclasses.replace(call, kwargs={**call.kwargs, "last_convolution": True})
    return str(call)


def features(inputs, backbone, output_stride=32, **options):
    """The feature maps of an encoder, "c1" to "c5".

    Where a stage loses its stride, segmentation_models_pytorch dilates all of the stage. The first block of the stage is no
    exception, as it is in torchvision.
    """
    spec = encoder(backbone)
    if output_stride < 32 and backbones.find(spec)[1] in (resnet, mobilenet_v2, efficientnet_tf):
        options["dilate_first"] = True
    return backbones.aligned(spec, backbones.build(spec, inputs, output_stride, **options), inputs)
