"""Replaces stride by dilation, so that a backbone keeps the resolution of its last stages."""


def plan(strides, output_stride):
    """Replaces the strides beyond `output_stride` by dilation.

    Args:
      strides: of the stem and of every stage, in order.
      output_stride: 8, 16 or 32.

    Returns:
      For each of them (stride, dilation of the first block, dilation of the others). The first block of a stage that lost
      its stride keeps the dilation of the stage before, so that every second pixel of its result is the result with stride.
    """
    if output_stride not in (8, 16, 32):
        raise ValueError(f"Expected output_stride 8, 16 or 32. Received: {output_stride=}.")
    reached, dilation, stages = 1, 1, []
    for stride in strides:
        first = dilation
        if reached * stride > output_stride:
            dilation, stride = dilation * stride, 1
        reached *= stride
        stages.append((stride, first, dilation))
    return stages


def refuse(output_stride, family, why):
    """Raises ValueError if a family that has only one output stride should have another."""
    if output_stride != 32:
        raise ValueError(f"Expected output_stride 32 of {family}: {why}. Received: {output_stride=}.")
