"""--mode=check: reports what a source tree holds and what is wrong with it, as a text and as a picture."""

import dataclasses
import pathlib

import cv2
import numpy as np

from input_pipeline import checking, mixture
from tfseg import config as config_lib
from tfseg import pictures, preflight, prepare

SIZES = 5  # listed sizes: the most common ones
VALUES = 300  # listed raw ids or colours: those of the class table first


def check(config: config_lib.Config) -> checking.Report:
    """Reads all of --data_dir, prints a report, and writes it with a contact sheet: check_<data set>.txt and .png.

    If --augment is not the default, check_<data set>_augmented.png shows augmented samples at --crop_size, each one plain and
    with its label on top. The files go to --output_dir, otherwise to --workdir, otherwise to the current folder. Existing
    files are replaced only with --overwrite.

    Raises:
        ValueError: for wrong options, before anything is read.
        SystemExit: with status 1, after everything is written, if the report has findings.
    """
    prepare.check_named(config)
    folder = pathlib.Path(config.output_dir or config.workdir or ".")
    first, *others = mixture.parse(config.dataset, config.data_dir)
    if others:
        raise ValueError(
            f"Expected one data set with --mode=check. Received: {config.dataset}. Check one after the other."
        )
    config = dataclasses.replace(config, dataset=first.spec, data_dir=first.data_dir)
    name = config.dataset.partition("(")[0].strip()
    text, picture, samples = (folder / f"check_{name}{suffix}" for suffix in (".txt", ".png", "_augmented.png"))
    shows_samples = config.augment != config_lib.Config.augment
    there = [str(path) for path in (text, picture, *([samples] if shows_samples else [])) if path.exists()]
    if there and not config.overwrite:
        raise ValueError(
            f"Expected no earlier report. Received: {', '.join(there)}. Give another --output_dir, or --overwrite."
        )
    if shows_samples:
        preflight.check_augmentation(config)
    report = checking.check(config.dataset, config.data_dir, config.image_range)
    printed = describe(report)
    print(printed)
    folder.mkdir(parents=True, exist_ok=True)
    # The printed lists are shortened; the file has them complete.
    whole = {"Files that cannot be used": report.faults, "Masks with values outside the class table": report.outside}
    whole["Images in two splits"] = report.leaks
    whole |= {"Masks without an image": report.alone, "Images in no split": report.unlisted}
    lists = [f"\n{title} ({len(lines)})\n" + "\n".join(lines) + "\n" for title, lines in whole.items() if lines]
    text.write_text(printed + "\n" + "".join(lists))
    print(f"Report: {text}")
    if report.tiles:
        _write(picture, report)
        print(f"Contact sheet: {picture}")
    if shows_samples and report.tiles and (tiles := _samples(config)):
        _write(samples, dataclasses.replace(report, tiles=tiles))
        print(f"Augmented samples: {samples}")
    if report.findings:
        raise SystemExit(1)
    return report


def _samples(config):
    return checking.augmented(
        config.dataset,
        config.data_dir,
        chain=config.augment,
        crop_size=config.crop_size,
        seed=config.seed,
        max_class_share=config.crop_max_class_share,
        image_range=config.image_range,
    )


def _write(path, report):
    """Writes the contact sheet of a report's tiles."""
    if not cv2.imwrite(str(path), pictures.contact_sheet(report)[..., ::-1]):
        raise OSError(f"Expected to write {path}. Received: an error from OpenCV; is the disk full or read-only?")


def _objects(report):
    """How many boxes or instances each split has, and of which classes."""
    what, names = "instances" if report.instances else "boxes", [c.name for c in report.classes]
    lines = []
    for split, counts in report.objects.items():
        classes = ", ".join(f"{n} {names[i]}" for i, n in sorted(counts.classes.items())) or "none"
        lines.append(
            f"{what.capitalize() + ':':11}{split}: {counts.classes.total()} in {counts.images} images ({counts.empty} without, "
            f"at most {counts.most} in one): {classes}"
        )
    return lines


def describe(report: checking.Report) -> str:
    """The report as text."""
    total = sum(report.splits.values())
    lines = [f"{report.name}{f' in {report.source}' if report.source else ''}: {total} images"]
    lines += [f"  {split:8}{count:8}" for split, count in report.splits.items()]
    sizes = [f"{w} x {h} ({n})" for (h, w), n in report.sizes.most_common(SIZES)]
    if len(report.sizes) > SIZES:
        sides = np.array(list(report.sizes))
        spans = [f"{axis.min()}..{axis.max()}" for axis in sides.T[::-1]]
        sizes.append(f"and {len(report.sizes) - SIZES} more sizes, {spans[0]} wide and {spans[1]} high")
    lines.append(f"Sizes:  {', '.join(sizes)}")
    for title, kinds in (("Images", report.image_kinds), ("Masks", report.mask_kinds)):
        lines.append(f"{title + ':':8}{', '.join(f'{n} {kind}' for kind, n in kinds.most_common())}")
    lines += _objects(report)
    values = sorted(report.values.values(), key=lambda v: (v.train_id is None, v.colored, v.code))
    pixels = max(sum(v.pixels for v in values) + report.beyond, 1)
    lines.append(f"{'value':>16}  {'class':32}{'pixels %':>10}{'images':>8}  for example")
    for v in [v for v in values if v.images][:VALUES]:
        meaning = "OUTSIDE THE TABLE" if v.train_id is None else v.name
        lines.append(f"{v!s:>16}  {meaning:32}{100 * v.pixels / pixels:10.4f}{v.images:8}  {v.example}")
    lines += [f"Note: {note}" for note in report.notes]
    findings = report.findings
    lines.append(f"Findings: {len(findings)}" if findings else "Findings: none")
    lines += [f"{i:3}. {finding}" for i, finding in enumerate(findings, 1)]
    return "\n".join(lines)
