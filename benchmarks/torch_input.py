"""Images a second of a torch DataLoader with albumentations, for benchmarks/input.py.

    python -m benchmarks.torch_input <images> <labels> <height> <width> <batch> <workers> <file|memory>

A process of its own, as torch and TensorFlow do not always live in one. For each line on its input, a number of batches, it
takes them, after SKIP that do not count, and prints images a second. The workers stay between the turns and are idle then,
their queues full. Augmentation as in benchmarks/input.py: a zoom uniform in 0.5..2, padding and a random crop, a flip,
brightness and contrast, and float32 at the end.
"""

import os
import pathlib
import sys
import time

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations
import cv2
import torch

SKIP = 10  # batches: more than wait in the queues
IGNORE = 255


class Pairs(torch.utils.data.Dataset):
    """Images and masks of two folders, augmented; `cached`: decoded once and kept in memory."""

    def __init__(self, images, labels, size, cached):
        self.pairs = [
            (path, pathlib.Path(labels) / f"{path.stem}.png") for path in sorted(pathlib.Path(images).iterdir())
        ]
        self.memory = [self.read(pair) for pair in self.pairs] if cached else None
        self.augment = albumentations.Compose(
            [
                albumentations.RandomScale(scale_limit=(-0.5, 1.0), p=1),
                albumentations.PadIfNeeded(*size, border_mode=cv2.BORDER_CONSTANT, fill=0, fill_mask=IGNORE),
                albumentations.RandomCrop(*size),
                albumentations.HorizontalFlip(p=0.5),
                albumentations.RandomBrightnessContrast(0.2, 0.2, p=1),
                albumentations.Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
            ]
        )

    @staticmethod
    def read(pair):
        """Decodes image and mask."""
        image = cv2.cvtColor(cv2.imread(str(pair[0])), cv2.COLOR_BGR2RGB)
        return image, cv2.imread(str(pair[1]), cv2.IMREAD_GRAYSCALE)

    def __len__(self):
        return 1 << 30

    def __getitem__(self, index):
        index %= len(self.pairs)
        image, label = self.memory[index] if self.memory else self.read(self.pairs[index])
        found = self.augment(image=image, mask=label)
        return torch.from_numpy(found["image"]).permute(2, 0, 1).contiguous(), torch.from_numpy(found["mask"]).long()


def main(images, labels, height, width, batch, workers, source):
    """Takes the turns."""
    cv2.setNumThreads(0)
    data = Pairs(images, labels, (int(height), int(width)), source == "memory")
    # In the order of the files: a shuffled order costs nothing to speak of, and its sampler would list a billion numbers.
    batches = iter(torch.utils.data.DataLoader(data, batch_size=int(batch), num_workers=int(workers)))
    for line in sys.stdin:
        for _ in range(SKIP):
            next(batches)
        start = time.perf_counter()
        for _ in range(int(line)):
            next(batches)
        print(int(line) * int(batch) / (time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
