"""Decodes image files inside a TensorFlow graph, to exactly the pixels that preparation reads, or refuses them with a message.

TensorFlow's decoder is preparation's for upright JPEG and PNG files. What it reads otherwise (EXIF's orientation, palettes,
several pictures in a file) is done here or refused. The functions run eagerly and, by AutoGraph, inside tf.function.

Sources: JPEG ITU-T T.81 annex B; EXIF 2.3 and TIFF 6.0; PNG third edition; BMP [MS-WMF] 2.2.2; WebP container RFC 9649.
"""

import tensorflow as tf

NO_LENGTH = (0x01, *range(0xD0, 0xD9))  # markers of a JPEG that stand alone
FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)  # its frame headers
ORIENTATION = 0x0112  # EXIF's tag; 1 is upright
SHORT, LONG = 3, 4  # types of such a tag
XMP_TURNED = r'\C*tiff:Orientation(="|>)[2-8]\C*'  # \C is any byte
UNUSUAL_CHUNKS = r"\C*(eXIf|acTL|Raw profile type exif)\C*"
ANIMATED, WITH_EXIF = 0x02, 0x08  # flags of an extended WebP


def decode(data: tf.Tensor, image_range: str = "") -> tf.Tensor:
    """An encoded image as preparation reads it.

    Args:
        data: string [], a JPEG, PNG, BMP, GIF or WebP file.
        image_range: the run's --image_range. Where it is not blank, images of 16 bits are refused: their range is mapped
            at preparation only.

    Returns:
        RGB uint8 [height, width, 3], upright.

    Raises:
        tf.errors.InvalidArgumentError: where the file is none of these, is damaged, or would be read otherwise.
    """
    # 32 bytes more, so that what is looked for near the end of a file that is cut is not beyond it.
    octets = tf.cast(tf.io.decode_raw(tf.strings.join([data, b"\0" * 32]), tf.uint8), tf.int32)
    if tf.strings.substr(data, 0, 3) == b"\xff\xd8\xff":
        image = _jpeg(data, octets)
    elif tf.strings.substr(data, 0, 8) == b"\x89PNG\r\n\x1a\n":
        image = _png(data, octets, image_range)
    elif tf.strings.substr(data, 0, 2) == b"BM":
        image = _bmp(data, octets)
    elif tf.strings.substr(data, 0, 4) == b"GIF8":
        image = _gif(data, octets)
    else:
        webp = tf.strings.regex_full_match(tf.strings.substr(data, 0, 12), r"RIFF\C{4}WEBP")
        image = _webp(_checked(data, webp, "a JPEG, PNG, BMP, GIF or WebP file", "another file"), octets)
    return tf.ensure_shape(image, [None, None, 3])


def _jpeg(data, octets):
    at, exif, end, components = 2, 0, 0, 3
    while at + 4 <= tf.size(octets) - 32 and octets[at] == 0xFF and octets[at + 1] != 0xDA:  # the scan begins
        marker, length = octets[at + 1], _number(octets, at + 2, 2)
        if marker == 0xE1 and exif == 0 and tf.reduce_all(octets[at + 4 : at + 10] == [*b"Exif\0\0"]):
            exif, end = at + 10, at + 2 + length
        if tf.reduce_any(marker == FRAMES):
            components = octets[at + 9]
        if marker == 0xFF:  # it fills up
            length = -1
        elif tf.reduce_any(marker == NO_LENGTH):
            length = 0
        at += 2 + length
    data = _checked(data, components < 4, "a gray or RGB JPEG", "CMYK, of which TensorFlow makes other RGB")
    orientation = _orientation(data, octets, exif, end)
    if orientation == 1:
        image = tf.io.decode_image(data, channels=3, expand_animations=False)
    else:  # what preparation reads through Pillow, which does not hurry
        image = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    return _upright(image, orientation)


def _png(data, octets, image_range):
    if image_range:
        data = _checked(data, octets[24] < 16, "8 bits a channel, for the run has an --image_range", "a PNG of 16")
    orientation = 1
    if tf.strings.regex_full_match(data, UNUSUAL_CHUNKS):
        at, exif, end, animated, profile = 8, 0, 0, False, False
        while at + 8 <= tf.size(octets) - 32:
            length, name = _number(octets, at, 4), tf.strings.substr(data, at + 4, 4)
            if name == b"eXIf":
                exif, end = at + 8, at + 8 + length
            elif name == b"acTL":
                animated = animated or _number(octets, at + 8, 4) > 1
            elif name == b"tEXt" or name == b"zTXt" or name == b"iTXt":
                text = tf.strings.substr(data, at + 8, tf.minimum(length, 22))
                profile = profile or text == b"Raw profile type exif\0"
            at += 12 + tf.maximum(length, 0)
        data = _checked(data, not animated, "one picture a file", "an animated PNG")
        data = _checked(data, exif > 0 or not profile, "EXIF in a chunk eXIf", "a PNG with EXIF as text")
        orientation = _orientation(data, octets, exif, end)
    return _upright(tf.io.decode_png(data, channels=3), orientation)


def _bmp(data, octets):
    header, bits, packed = _number(octets, 14, 4, False), _number(octets, 28, 2, False), _number(octets, 30, 4, False)
    known = header >= 40 and packed == 0 and (bits == 8 or bits == 24 or bits == 32)
    data = _checked(data, known, "a BMP of 8, 24 or 32 bits a pixel that is not compressed", "another kind")
    if bits == 8:
        colors = _number(octets, 46, 4, False)
        colors = 256 if colors == 0 else colors
        end = 14 + header + 4 * colors
        whole = colors > 0 and colors <= 256 and end <= tf.size(octets) - 32
        data = _checked(data, whole, "a whole BMP", "a palette that is cut off")
        places = tf.cast(tf.io.decode_bmp(data)[..., 0], tf.int32)
        named = tf.reduce_max(places) < colors
        places = _checked(places, named, "a BMP whose palette has all its colours", "one that has not")
        palette = tf.reshape(octets[14 + header : 14 + header + 4 * colors], [-1, 4])[:, 2::-1]  # held as BGR
        image = tf.cast(tf.gather(palette, places), tf.uint8)
    else:
        image = tf.io.decode_image(data, channels=3, expand_animations=False)
    return image


def _gif(data, octets):
    # The image descriptor of a picture at (0, 0) that is as large as the canvas; TensorFlow fills the rest with black.
    canvas = _found(octets, [0x2C, 0, 0, 0, 0, octets[6], octets[7], octets[8], octets[9]])
    data = _checked(data, tf.reduce_any(canvas), "a GIF that fills its canvas", "a smaller picture")
    frames = tf.io.decode_gif(data)
    frame = _checked(frames[0], tf.shape(frames)[0] == 1, "one picture a file", "an animated GIF")
    control = _found(octets, [0x21, 0xF9, 4])  # a graphic control extension; bit 0 of its next byte: with transparency
    opaque = not tf.reduce_any(control & (octets[3 : 3 + tf.size(control)] % 2 == 1))
    return _checked(frame, opaque, "a GIF without transparency", "one with a transparent colour")


def _found(octets, pattern):
    """Whether a pattern, a list of octets, begins at each place except the last few: bool [n]."""
    count = tf.size(octets) - 16
    return tf.reduce_all([octets[i : count + i] == octet for i, octet in enumerate(pattern)], 0)


def _webp(data, octets):
    orientation = 1
    if tf.strings.substr(data, 12, 4) == b"VP8X":
        data = _checked(data, octets[20] & ANIMATED == 0, "one picture a file", "an animated WebP")
        at, exif, end = 12, 0, 0
        while at + 8 <= tf.size(octets) - 32 and octets[20] & WITH_EXIF > 0:
            length = _number(octets, at + 4, 4, False)
            if tf.strings.substr(data, at, 4) == b"EXIF":
                start = at + 8 + (6 if tf.reduce_all(octets[at + 8 : at + 14] == [*b"Exif\0\0"]) else 0)
                exif, end = start, at + 8 + length
            at += 8 + tf.maximum(length + length % 2, 0)
        orientation = _orientation(data, octets, exif, end)
    return _upright(tf.io.decode_webp(data)[0, ..., :3], orientation)  # without alpha, where there is any


def _orientation(data, octets, exif, end):
    """EXIF's orientation, 1..8, of a TIFF structure from `exif` (0: there is none) to `end`; XMP's alone is refused."""
    orientation = 0
    if exif > 0:
        big = octets[exif] == 0x4D
        magic = tf.reduce_any([tf.reduce_all(octets[exif : exif + 4] == [*name]) for name in (b"MM\0*", b"II*\0")])
        begin = exif + _number(octets, exif + 4, 4, big)
        whole = magic and begin > exif and begin + 2 <= end and end <= tf.size(octets) - 32
        begin = _checked(begin, whole, "EXIF that can be read", "a damaged one")
        count = tf.minimum(_number(octets, begin, 2, big), (end - begin - 2) // 12)
        entries = tf.reshape(octets[begin + 2 : begin + 2 + 12 * count], [-1, 12])
        entries = tf.boolean_mask(entries, _number(entries, 0, 2, big) == ORIENTATION)
        if tf.shape(entries)[0] > 0:
            kind, number = _number(entries[-1], 2, 2, big), _number(entries[-1], 4, 4, big)
            orientation = _number(entries[-1], 8, 2 if kind == SHORT else 4, big)
            usual = tf.reduce_any(kind == [SHORT, LONG]) and number == 1
            orientation = _checked(orientation, usual, "one number as the orientation in EXIF", "something else")
            orientation = 1 if orientation < 1 or orientation > 8 else orientation
    if orientation == 0:
        upright = not tf.strings.regex_full_match(data, XMP_TURNED)
        orientation = _checked(1, upright, "EXIF where an image is turned", "XMP alone that says so. Turn the image")
    return orientation


def _upright(image, orientation):
    """Turns and mirrors as EXIF's orientation, 1..8, says (TIFF 6.0, tag 274)."""
    if orientation >= 5:
        image = tf.transpose(image, [1, 0, 2])
    if tf.reduce_any(orientation == [3, 4, 7, 8]):
        image = tf.reverse(image, [0])
    if tf.reduce_any(orientation == [2, 3, 6, 7]):
        image = tf.reverse(image, [1])
    return image


def _number(octets, at, length, big=True):
    """The whole number in `length` octets of the last axis from `at`; a number of 32 bits may come out negative."""
    places = 256 ** tf.range(length)
    return tf.reduce_sum(octets[..., at : at + length] * (tf.reverse(places, [0]) if big else places), -1)


def _checked(data, condition, expected, received):
    """Returns `data` where the condition holds. What reads the result runs after the check, in a graph too."""
    check = tf.debugging.Assert(condition, [f"Expected {expected}. Received: {received}."])
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(data)
