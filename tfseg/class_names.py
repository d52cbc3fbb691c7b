"""Matches classes by their names, so that a class id means the same in a run, its data and the weights that it starts from."""

from collections.abc import Sequence

from absl import logging

import input_pipeline


def check_resumed(before: Sequence["input_pipeline.Class"], now: Sequence["input_pipeline.Class"]) -> None:
    """Checks that a data set still has the classes of a checkpoint, in the same order; logs other changes of the table.

    Raises:
        ValueError: if a train id would mean another class than the one that the network has learned.
    """
    if [c.name for c in before] != [c.name for c in now]:
        raise ValueError(
            f"Expected the classes of the checkpoint, in its order: {listed(before)}. Received from the data set: "
            f"{listed(now)}. Restore the class table that the run began with, or use another --workdir."
        )
    changed = [
        f"{old.name}: {what} {was} before, {value} now"
        for old, new in zip(before, now, strict=True)
        for what, was, value in (("raw id", old.raw, new.raw), ("colour", tuple(old.color), tuple(new.color)))
        if was != value and was is not None
    ]
    if changed:
        logging.warning("The class table has changed since the checkpoint: %s.", "; ".join(changed))


def columns(
    network: Sequence["input_pipeline.Class"], data: Sequence["input_pipeline.Class"], outputs: int
) -> list[int]:
    """For each class of a data set, the id of the network's class with the same name; then the network's other ids, ascending.

    Args:
        network: the class table that the network was trained with.
        data: the class table of the data set.
        outputs: the number of classes of the network, which may be more than its table has.

    Raises:
        ValueError: if the network has no class of that name.
    """
    known = {c.name: i for i, c in enumerate(network)}
    missing = [c.name for c in data if c.name not in known]
    if missing:
        raise ValueError(
            f"Expected a data set with the classes of the network: {listed(network)}. Received: {listed(data)}, of which "
            f"the network does not know {', '.join(missing)}. Use the data set that the run was trained on, or give its "
            "class table the same names."
        )
    found = [known[c.name] for c in data]
    if found != sorted(found):
        logging.warning("The data set has the classes in another order than the network: they are matched by name.")
    return found + [i for i in range(outputs) if i not in found]


def listed(classes: Sequence["input_pipeline.Class"]) -> str:
    """`0 road, 1 car`: the train ids and names of a class table."""
    return ", ".join(f"{i} {c.name}" for i, c in enumerate(classes))
