"""Dice loss: soft F1 of each class."""

from tfseg.losses.tversky import tversky


def dice(logits, label, *, smooth=0.0):
    """Soft dice loss, per image; the mean over the classes in the image's label.

    With p = softmax(logits) and g the one-hot label, over the valid pixels of an image,

        1 - (2 sum p g + smooth) / (sum p + sum g + smooth).

    This is tversky with alpha = beta = 1/2. Its docstring says why absent classes are left out, why the loss is computed for
    each image (published code such as segmentation_models_pytorch takes the batch as one image), and why there are no class
    weights. The denominator is not squared as in V-Net (https://arxiv.org/abs/1606.04797).

    Args:
        logits: float [batch, height, width, classes] of any precision, -inf..inf; computed in float32. What is
            under ignored pixels, even NaN, changes neither the value nor the gradient.
        label: integer [batch, height, width], 0..classes-1 or IGNORE. Another id gives NaN.
        smooth: pixels added to numerator and denominator, 0 or more; makes the loss of small regions less extreme.

    Returns:
        (sum, count), float32 scalars: of the images' losses, 0..1 each, and of the images with valid pixels; (0, 0)
        with a gradient of 0 where there is none.

    Raises:
        ValueError: if shapes disagree or an argument is out of its range.
    """
    return tversky(logits, label, alpha=0.5, beta=0.5, smooth=smooth / 2)
