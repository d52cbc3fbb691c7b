"""Follows the objects of a first mask through a sequence: flow, warped masks, a network, fusion, re-identification.

Li, Qi, Wang, Chen, Liu, Shi, Luo, Loy, Tang, Video Object Segmentation with Re-identification, The 2017 DAVIS Challenge.
https://arxiv.org/abs/1708.00197

Maps are NumPy arrays, rows first. A map of probabilities is float32 [height, width, 1 + objects], the background first. A flow
says in pixels, columns first, where each pixel of a frame was in the one before. Theirs comes from FlowNet 2, ours from
OpenCV's DIS (Kroeger, Timofte, Dai, Van Gool, Fast Optical Flow using Dense Inverse Search, ECCV 2016); their objects are
found again by a detector and by networks that search persons and objects, ours by the propagation network itself.
"""
