"""Training steps of segmentation_models_pytorch's Unet on a ResNet-18, for benchmarks/train_step.py.

    python -m benchmarks.pytorch_step <height> <width> <batch> <classes> <threads> <steps> <turns>

This is a separate process, since torch and TensorFlow do not always work in the same one. For each line on its input it
takes some steps and prints the seconds for one step. After the last turn it prints its peak memory in MB (of the GPU if
there is one, otherwise resident memory).
"""

import sys
import time

import segmentation_models_pytorch as smp
import torch

from benchmarks.turns import peak_memory


def main(height, width, batch, classes, threads, steps, turns):
    """Takes the steps of each turn."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Channels last: faster on CPUs and GPUs, and TensorFlow's layout.
    layout = torch.channels_last
    model = smp.Unet("resnet18", encoder_weights=None, classes=classes).to(device, memory_format=layout).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    function = torch.nn.CrossEntropyLoss(ignore_index=255)
    image = torch.randn(batch, 3, height, width, device=device).to(memory_format=layout)
    label = torch.randint(0, classes, (batch, height, width), device=device)
    label[:, :10] = 255
    for _ in range(turns):
        if not sys.stdin.readline():
            return
        start = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad()
            loss = function(model(image), label)
            loss.backward()
            norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
            optimizer.step()
        if not torch.isfinite(loss + norm):  # also waits for the step to end
            raise FloatingPointError(f"Expected a finite loss. Received: {loss}.")
        print((time.perf_counter() - start) / steps, flush=True)
    if device == "cuda":
        print(round(torch.cuda.max_memory_allocated() / 1e6))
    else:
        print(peak_memory())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
