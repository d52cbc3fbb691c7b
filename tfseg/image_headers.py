"""Reads the size of an image from the first bytes of its file, inside a TensorFlow graph and before anything is decoded.

A PNG of a few kilobytes can declare 100,000 x 100,000 pixels, and a GIF any number of pictures. A served model must refuse
them before it makes room for the pixels.

Sources: PNG third edition, 11.2.1; JPEG ITU-T T.81 B.2.2; BMP [MS-WMF] 2.2.2; GIF89a 18-25; WebP RFC 9649 and RFC 6386 9.1.
"""

import tensorflow as tf


def pixels(data: tf.Tensor) -> tf.Tensor:
    """How many pixels decoding an image file makes room for, by its header.

    Args:
        data: string [], the file.

    Returns:
        int64 [], 2**40 at most; 0 if the file is no JPEG, PNG, BMP, GIF or WebP file, or has no whole header, so that decoding
        refuses it.

    Raises:
        tf.errors.InvalidArgumentError: for a GIF with several pictures, all of which would be decoded.
    """
    octets = tf.cast(tf.io.decode_raw(tf.strings.join([data, b"\0" * 32]), tf.uint8), tf.int64)
    if tf.strings.substr(data, 0, 3) == b"\xff\xd8\xff":
        area = _jpeg(octets)
    elif tf.strings.substr(data, 0, 8) == b"\x89PNG\r\n\x1a\n":
        area = _area(_number(octets, 16, 4), _number(octets, 20, 4))
    elif tf.strings.substr(data, 0, 2) == b"BM":
        height = _number(octets, 22, 4, False)
        height = tf.where(height >= 2**31, 2**32 - height, height)  # below 0 if the rows go from top to bottom
        area = _area(_number(octets, 18, 4, False), height)
    elif tf.strings.substr(data, 0, 4) == b"GIF8":
        alone = tf.debugging.Assert(_pictures(octets) < 2, ["Expected one picture a file. Received: an animated GIF."])
        with tf.control_dependencies([] if alone is None else [alone]):
            area = tf.identity(_number(octets, 6, 2, False) * _number(octets, 8, 2, False))
    elif tf.strings.regex_full_match(tf.strings.substr(data, 0, 12), r"RIFF\C{4}WEBP"):
        area = _webp(data, octets)
    else:
        area = tf.constant(0, tf.int64)
    return tf.ensure_shape(area, [])


def _area(height, width):
    """Their product, within limits that keep it and a sum of a million of them in 64 bits."""
    return tf.minimum(tf.minimum(height, 2**31) * tf.minimum(width, 2**31), 2**40)


def _jpeg(octets):
    """Height x width of the largest frame header before the scan."""
    at, area = tf.constant(2, tf.int64), tf.constant(0, tf.int64)
    end = tf.size(octets, tf.int64) - 32
    while at + 4 <= end and octets[at] == 0xFF and octets[at + 1] != 0xDA:
        marker, length = octets[at + 1], _number(octets, at + 2, 2)
        if marker == 0xFF:  # a byte that fills up
            length = tf.constant(-1, tf.int64)
        elif marker == 0x01 or (marker >= 0xD0 and marker <= 0xD8):  # markers that stand alone
            length = tf.constant(0, tf.int64)
        elif marker >= 0xC0 and marker <= 0xCF and marker != 0xC4 and marker != 0xC8 and marker != 0xCC:
            area = tf.maximum(area, _number(octets, at + 5, 2) * _number(octets, at + 7, 2))
        at += 2 + length
    return area


def _pictures(octets):
    """How many pictures a GIF has, 0..2: what follows the second is not read."""
    end = tf.size(octets, tf.int64) - 32
    at = 13 + _table(octets[10])
    pictures = tf.constant(0, tf.int64)
    while at < end and pictures < 2 and (octets[at] == 0x21 or octets[at] == 0x2C):
        if octets[at] == 0x2C:  # a picture: its place and size, its colours, the width of its codes
            pictures += 1
            at += 11 + _table(octets[tf.minimum(at + 9, end)])
        else:  # an extension: its label
            at += 2
        while at < end and octets[at] > 0 and pictures < 2:  # the blocks of its data
            at += 1 + octets[at]
        at += 1
    return pictures


def _table(flags):
    """Bytes of a GIF's table of colours, from the flags that announce it."""
    size = 3 * tf.bitwise.left_shift(tf.constant(2, tf.int64), tf.bitwise.bitwise_and(flags, 7))
    return tf.where(flags >= 128, size, 0)


def _webp(data, octets):
    kind, area = tf.strings.substr(data, 12, 4), tf.constant(0, tf.int64)
    if kind == b"VP8X":  # the canvas, less one each
        area = (1 + _number(octets, 24, 3, False)) * (1 + _number(octets, 27, 3, False))
    elif kind == b"VP8L":  # 14 bits each, less one
        bits = _number(octets, 21, 4, False)
        area = (1 + bits % 2**14) * (1 + bits // 2**14 % 2**14)
    elif kind == b"VP8 ":  # 14 bits each, and two of a scale
        area = (_number(octets, 26, 2, False) % 2**14) * (_number(octets, 28, 2, False) % 2**14)
    return area


def _number(octets, at, length, big=True):
    """The whole number in `length` octets from `at`; 0 beyond the end of the file."""
    places = tf.constant([256**i for i in range(length)], tf.int64)
    read = octets[at : at + length]
    read = tf.pad(read, [[0, length - tf.size(read)]])
    return tf.reduce_sum(read * (tf.reverse(places, [0]) if big else places))
