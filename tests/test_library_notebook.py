"""The notebook of the documentation runs from its first cell to its last, and trains."""

import contextlib
import io
import json
import pathlib

import numpy as np

NOTEBOOK = pathlib.Path(__file__).parents[1] / "docs" / "library.ipynb"


def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        for number, cell in enumerate(json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]):
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"{NOTEBOOK.name}, cell {number}", "exec"), names)
    history = names["history"].history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert history["val_miou"][-1] > history["val_miou"][0]
    assert names["picture"].size == (3 * 96, 64)
    assert np.unique(names["prediction"]).size > 1
    np.testing.assert_allclose(names["again"](names["image"])["logits"], names["scores"], atol=1e-4)
