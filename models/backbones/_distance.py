"""How far the layers of a backbone are from the heads, in blocks: for a learning rate that falls with the distance.

Bao, Dong, Piao, Wei, BEiT: BERT Pre-Training of Image Transformers, ICLR 2022, appendix H. https://arxiv.org/abs/2106.08254

As in BEiT, the last block is one step from the heads, the block before it two. What comes before the first block, such as the
patches, the tokens and the positions, is one step further than the first block, and what follows the last block is like the
heads. Layers between two blocks, which change the resolution, are like the block before them, as in Swin.
"""

import collections


def distances(layers, block_of=None):
    """{name: distance} of the layers with weights of a backbone.

    Args:
        layers: those of a keras.Model of the backbone, in its order.
        block_of: layer name -> the name of its block, None if it is in none; None for the rule of `_numbered`.
    """
    layers = [layer for layer in layers if layer.weights]
    if block_of is None:
        block_of = _numbered([layer.name for layer in layers])
    # A norm alone, which has a number in a plain sequence of layers, belongs to the block that it follows.
    computing = {block_of(layer.name) for layer in layers if any(w.name.endswith("kernel") for w in layer.weights)}
    depths, numbers, last = [], {}, 0
    for i, layer in enumerate(layers):
        block = block_of(layer.name)
        if block in computing and block is not None:
            depths.append(numbers.setdefault(block, len(numbers) + 1))
        else:
            depths.append(len(numbers))
        last = last if block is None else i
    heads = len(numbers) + 1
    return {
        layer.name: heads - depth if i <= last else 0
        for i, (layer, depth) in enumerate(zip(layers, depths, strict=True))
    }


def _numbered(names):
    """The rule for names such as `layer1.0.conv1`, `blocks.3.attn.proj` or `features.2.0.block.1`: the first numbers count.

    A block is the beginning of a name, up to the first part that ends with a digit and the parts after it that do so too,
    without the last part of the name. Blocks are those with as many numbers as most layers: `patch_embeddings.1` is none
    beside `block.1.0`.
    """
    found = {name: _prefix(name) for name in names}
    counts = collections.Counter(count for _, count in found.values() if count)
    if not counts:
        raise ValueError(
            f"Expected numbers in the names of a backbone's layers, or `block_of` in its file. Received: {names[:5]}."
        )
    usual = max(counts, key=lambda count: (counts[count], count))
    return lambda name: found[name][0] if found[name][1] == usual else None


def _prefix(name):
    """(the beginning of a name that may be its block, how many numbers it ends with)."""
    *parents, leaf = parts = name.split(".")
    first = next((i for i, part in enumerate(parents) if part[-1:].isdigit()), None)
    if first is None:
        return (name, 1) if leaf.isdigit() and len(parts) > 1 else (None, 0)
    end = first
    while end < len(parents) and parents[end][-1:].isdigit():
        end += 1
    return ".".join(parents[:end]), end - first
