"""Recipes of papers as chains, by the name of the data set: `--augment=voc` is its chain. The crop's size is --crop_size.

A recipe may be part of a chain: `voc | cutmix`. The recorded flags of a run have the name, not the chain.
"""

# PSPNet (Zhao et al., 2017), section 5.1: mirror and resize between 0.5 and 2 for all data sets; for ADE20K and PASCAL VOC
# also rotation between -10 and 10 degrees and Gaussian blur; crops of 473x473. The paper does not say how often and how
# strong; the authors' PyTorch code turns half of the images and blurs half of them, with OpenCV's kernel of 5x5, whose
# deviation is 1.1 pixels.
PSPNET = (
    "affine(scale=(0.5, 2.0), scales='uniform', rotation=10, warp_share=0.5, flip=True) | blur((1.1, 1.1), share=0.5)"
)
RECIPES = {
    # BiSeNet (Yu et al., 2018), section 4.1: random horizontal flip, and the scale is one of these five; crops of 720x960.
    "camvid": "affine(scale=(0.75, 1.0, 1.5, 1.75, 2.0), scales='set', flip=True)",
    # MMSegmentation's standard for Cityscapes, with which SegFormer (Xie et al., 2021) and others were trained: scale 0.5..2,
    # flip and photometric distortion; crops of 512x1024 or 1024x1024 with --crop_max_class_share=0.75.
    "cityscapes": "affine(scale=(0.5, 2.0), scales='uniform', flip=True) | photometric",
    "voc": PSPNET,
    "ade20k": PSPNET,
}
