"""Decodes Label Studio's run lengths, which hold the RGBA picture of a brush as packed bits.

The format is thi.ng/rle-pack. The header has the number of words (32 bits), the bits of a word minus 1 (5 bits) and four
sizes minus 1 (4 bits each). Runs follow: a bit that is 1 if one word is repeated; the index of a size (2 bits); the length
minus 1, in as many bits as that size says; the repeated word, or all the words.
"""

import numpy as np


def decode(packed: list[int], size: tuple[int, int]) -> np.ndarray:
    """Returns the alpha, uint8 [height, width], of a brush. Raises ValueError if the runs do not fit `size`."""
    try:
        bits = "".join(f"{byte:08b}" for byte in packed)
    except (TypeError, ValueError) as error:
        raise ValueError("Expected run lengths as bytes. Received: other values. Export again") from error
    at = 0

    def take(count):
        nonlocal at
        at += count
        if at > len(bits):
            raise ValueError("Expected whole run lengths. Received: they are cut. Export again")
        return int(bits[at - count : at], 2)

    total, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    if total != 4 * size[0] * size[1] or word != 8:
        raise ValueError(
            f"Expected run lengths of {size[0]} x {size[1]} (height x width) RGBA. Received: {total} words"
        )
    out, filled = np.empty(total, np.uint8), 0
    while filled < total:
        repeated = take(1)
        end = min(filled + take(sizes[take(2)]) + 1, total)
        if repeated:
            out[filled:end] = take(word)
        else:
            count = end - filled
            out[filled:end] = np.frombuffer(take(word * count).to_bytes(count, "big"), np.uint8)
        filled = end
    return out.reshape(*size, 4)[..., 3]
