"""Class peak responses: a classifier with class maps, trained from image labels, whose peaks lead back to the objects.

Zhou, Zhu, Ye, Qiu, Jiao, Weakly Supervised Instance Segmentation using Class Peak Response, CVPR 2018.
https://arxiv.org/abs/1804.00880; authors' code github.com/ZhouYanzhao/PRM, branch pytorch.

A backbone and a 1x1 convolution give a map for each class; the score of a class is the mean of the peaks of its map, which the
loss `multilabel_soft_margin` compares with the classes of the image. Outputs:

- `class_maps`, float32 [B, rows, columns, C]: the maps, `factor` times as large as the backbone's, with corners aligned.
- `class_scores`, float32 [B, C]: above 0 the class is more likely there than not.
- `logits`: the class maps enlarged to the image, with corners aligned. Nothing trains them as a label map, so they say where a
  class is and not where it ends; evaluation measures how far that goes. With `background`, a pixel of which no class is
  likely is that class.
- `features`, float32 [B, rows, columns, channels], where asked for.

--mode=predict goes back from the peaks to the pixels by the gradient of models/layers/peak_convolution.py.
"""

import keras
from keras import ops

from models import backbones, layers
from models.layers import peak_stimulation

REFERENCE = {
    # 23,508,032 of ResNet-50 without its classifier, and for each class 2048 weights and a bias.
    "params": {"peak_response": {12: 23_532_620, 19: 23_546_963}},
    "source": "torchvision's resnet50, and the 1x1 convolution of install/modules/peak_response_mapping.py by hand",
}

LEVELS = ("c2", "c3", "c4", "c5")

# The authors' modules number torchvision's from the image on.
RENAMES = (
    (r"^conv1$", "features.0"),
    (r"^bn1$", "features.1"),
    *((rf"^layer{i}\.", f"features.{i + 3}.") for i in (1, 2, 3, 4)),
)


def enlarged(logits, image):
    """The logits are enlarged as the class maps are."""
    return layers.resize(logits, like=image, align_corners=True)


LAST_STEP = enlarged


def build(
    inputs,
    num_classes,
    *,
    backbone="resnet50",
    level="c5",
    output_stride=32,
    factor=8,
    window=3,
    threshold="median",
    background=None,
    features=None,
):
    """Section 3.1.

    Args:
      backbone: a spec of `models.backbones`.
      level: its feature maps that the class maps are made of; of a VGG as the authors use it "c4", before the last pool.
      output_stride: that of the backbone, 8, 16 or 32.
      factor: how many times the class maps are enlarged before their peaks are sought; 8 in the authors' training, 1 in their
        demonstration.
      window: a peak is the largest of window x window cells.
      threshold: and not below the "median" or "mean" of its map; None: no threshold.
      background: the train id of a class that is in every image, such as the ground. It gets no map: its scores are 0.
      features: one of the levels, whose feature maps are then an output too, `features`, which --inference=affinity reads.
    """
    if level not in LEVELS or features not in (*LEVELS, None) or not (isinstance(factor, int) and factor >= 1):
        raise ValueError(
            f"Expected level and features of {', '.join(LEVELS)}, and a factor of 1 or more. Received: {level=}, {features=}, "
            f"{factor=}."
        )
    if background is not None and not (num_classes > 1 and background in range(num_classes)):
        raise ValueError(
            f"Expected background None or a train id of 0..{num_classes - 1}, and another class. Received: {background=}."
        )
    peak_stimulation.check(window, threshold)
    found = backbones.aligned(backbone, backbones.build(backbone, inputs, output_stride), inputs)
    maps = layers.conv(found[level], num_classes - (background is not None), 1, "classifier.0")
    if background is not None:
        maps = WithBackground(background, name="with_background")(maps)
    larger = layers.resize(maps, scale=factor, align_corners=True) if factor > 1 else maps
    outputs = {"logits": maps, "class_maps": larger, "class_scores": layers.stimulate(larger, window, threshold)}
    return outputs | ({"features": found[features]} if features else {})


@keras.saving.register_keras_serializable(package="tfseg")
class WithBackground(keras.layers.Layer):
    """Maps [B, H, W, C] -> [B, H, W, C + 1], with zeros as the channel `index`."""

    def __init__(self, index, **kwargs):
        super().__init__(**kwargs)
        self.index = index

    def call(self, inputs):
        """The maps."""
        return ops.concatenate(
            [inputs[..., : self.index], ops.zeros_like(inputs[..., :1]), inputs[..., self.index :]], axis=-1
        )

    def compute_output_spec(self, inputs):
        """One more channel."""
        return keras.KerasTensor((*inputs.shape[:-1], inputs.shape[-1] + 1), self.compute_dtype)

    def get_config(self):
        """With the channel."""
        return {**super().get_config(), "index": self.index}
