"""Writes a parity file: what a torch module computes when it is filled with numbers that anyone can draw again.

    import torchvision
    from tools import write_parity

    module = torchvision.models.resnet18(weights=None, num_classes=1000)
    write_parity.write(
        module,
        "tests/parity/resnet18.json.gz",                 # begins with the name of our module
        spec='classifier(backbone="resnet18")',          # our network, which must give the same
        num_classes=1000,
        source={"repo": "pytorch/vision 0.27.1", "file": "torchvision.models.resnet18", "arguments": "weights=None"},
        sizes=[(96, 96), (75, 107)],                     # one that divides, one that does not
    )

Every entry of the state dict is drawn by tests/parity/fill.py from its key, shape and kind; `kinds` finds the kind from the
torch module that owns it. The inputs are drawn from seeds, the outputs are sampled, and each case is run in float64 too, which
gives the noise that float32 costs. Needs torch, and only where `write` is called. Where the reference needs a wrapper (its
output is a tuple, or its input is normalised inside), write a torch.nn.Module around it and strip its prefix from the keys
with `prefix`.
"""

import copy
import gzip
import json
import pathlib

import numpy as np

from tests.parity import fill

DIGITS = 7  # significant, of every number in a file
FIRST_SEED = 11  # of the first case's image; the following ones count up


def write(
    module,
    path: str | pathlib.Path,
    *,
    spec: str,
    num_classes: int,
    source: dict,
    sizes=((64, 96), (73, 105)),
    output=None,
    gain: float = 1.0,
    prefix: str = "",
    notes: str = "",
    overrides: dict | None = None,
) -> dict:
    """Fills the module with the drawn numbers, runs it, and writes the file; returns its content.

    Args:
        module: a torch.nn.Module, from float [1, 3, height, width] to float [1, classes, height, width] or [1, classes]. It is
            copied, and put into evaluation mode.
        path: .json or .json.gz.
        spec: our network that must compute the same.
        num_classes: classes of the module's output.
        source: {"repo", "commit", "file", "arguments"}: where the reference is, and how it was called.
        sizes: (height, width) of the cases; the first one is also the size at which multiply-accumulates are counted.
        output: a function from what the module returns to the tensor that is compared; None: it returns that.
        gain: factor on the weights of convolutions and linear layers. Choose it so that the output is finite and lively: the
            standard deviation of a case between 0.01 and 1000, and different for different inputs.
        prefix: what a wrapper puts before the reference's own keys.
        notes: what a reader has to know of the reference.
        overrides: {key: kind} where `kinds` finds none, or another one is right.

    Raises:
        ValueError: for a spec whose module the file's name does not begin with, and where an output is not finite.
    """
    import torch

    from tests.parity import test_parity

    path = pathlib.Path(path)
    if not path.name.startswith(test_parity.modules(spec)):
        begins = " or ".join(dict.fromkeys(test_parity.modules(spec)))
        raise ValueError(f"Expected a file whose name begins with {begins}. Received: {path.name} for {spec}.")
    module = copy.deepcopy(module).float().eval()
    read = output or (lambda returned: returned)
    state = kinds(module, prefix, overrides)
    parity = {"state": state, "gain": gain}
    _load(module, fill.state_dict(parity), prefix)
    double, cases = copy.deepcopy(module).double(), []
    for seed, (height, width) in enumerate(sizes, FIRST_SEED):
        image = torch.from_numpy(fill.image({"h": height, "w": width, "seed": seed}).transpose(0, 3, 1, 2).copy())
        with torch.no_grad():
            single, exact = (_channels_last(read(m(x))) for m, x in ((module, image), (double, image.double())))
        if not np.isfinite(single).all() or not single.std() > 0:
            raise ValueError(
                f"Expected finite outputs that differ. Received others at {height}x{width}. Try another gain."
            )
        cases.append(_case(height, width, seed, single, exact))
    content = {
        "name": path.name.removesuffix(".gz").removesuffix(".json"),
        "spec": spec,
        "source": source,
        "num_classes": num_classes,
        "trainable_params": sum(p.numel() for p in module.parameters() if p.requires_grad),
        "frozen_params": sum(p.numel() for p in module.parameters() if not p.requires_grad),
        "gmacs": round(_multiply_accumulates(module, sizes[0]) / 1e9, 9),
        "gmacs_size": list(sizes[0]),
        "gain": gain,
        "notes": notes,
        "unused": _unused(module, read, sizes[0], prefix),
        "held_out": False,
        "state": state,
        "cases": cases,
    }
    text = json.dumps(content, separators=(",", ":")).encode()
    # Without the time in the header the same module gives the same bytes.
    path.write_bytes(gzip.compress(text, 9, mtime=0) if path.suffix == ".gz" else text)
    return content


def kinds(module, prefix: str = "", overrides: dict | None = None) -> list[list]:
    """[key, shape, kind] of each floating-point entry of the state dict, in its order; see tests/parity/fill.py.

    A tensor that is registered twice is `alias:` and the first key.
    """
    owners, found, first = dict(module.named_modules(remove_duplicate=False)), [], {}
    for key, tensor in module.state_dict().items():
        if not tensor.is_floating_point():  # num_batches_tracked, index tables
            continue
        owner, _, name = key.rpartition(".")
        short = key.removeprefix(prefix)
        kind = (overrides or {}).get(short) or _kind(owners[owner], name, tensor)
        if tensor.data_ptr() in first and tensor.numel():
            kind = f"alias:{first[tensor.data_ptr()]}"
        first.setdefault(tensor.data_ptr(), short)
        found.append([short, list(tensor.shape), kind])
    return found


def _kind(owner, name, tensor):
    import torch

    transposed = (torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d)
    norms = (torch.nn.modules.batchnorm._BatchNorm, torch.nn.GroupNorm, torch.nn.LayerNorm)
    if name in ("running_mean", "running_var"):
        return name
    if "bias" in name or tensor.dim() == 0:
        return "bias"
    if isinstance(owner, torch.nn.PReLU):
        return "prelu"
    if isinstance(owner, norms):
        return "norm_weight"
    if isinstance(owner, transposed):
        return "deconv"
    if tensor.dim() == 4:
        return "conv"
    if tensor.dim() == 2:
        return "linear"
    return "scale" if tensor.dim() == 1 else "bias"  # layer scales; embeddings of positions and tokens


def _load(module, arrays, prefix):
    import torch

    own = module.state_dict()
    filled = {key: own[key] for key in own}
    for key, array in arrays.items():
        filled[prefix + key] = torch.from_numpy(array)
    module.load_state_dict(filled)


def _case(height, width, seed, single, exact):
    """A case: statistics, the sampled values, and the noise, all over the standard deviation where they are compared."""
    y = single.astype(np.float64)
    return {
        "h": height,
        "w": width,
        "seed": seed,
        "output_shape": list(single.shape),
        **{name: _rounded(getattr(y, name)()) for name in ("mean", "std", "min", "max")},
        "indices_seed": 1,
        "values": [_rounded(value) for value in fill.samples(single)],
        "float32_noise": float(f"{np.abs(y - exact).max() / y.std():.3g}"),
    }


def _channels_last(tensor):
    return np.moveaxis(tensor.numpy(), 1, -1)


def _rounded(value):
    return float(f"{value:.{DIGITS}g}")


def _multiply_accumulates(module, size):
    """Of convolutions and matrix products, for one image."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, 3, *size))
    return counter.get_total_flops() / 2


def _unused(module, read, size, prefix):
    """The entries whose value does not reach the compared output: leftover classifiers, auxiliary heads."""
    import torch

    module = copy.deepcopy(module)
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    image = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, *size)).astype(np.float32))
    (read(module(image)) ** 2).sum().backward()
    return [key.removeprefix(prefix) for key, parameter in module.named_parameters() if parameter.grad is None]
