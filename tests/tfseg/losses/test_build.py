"""From a spec to the terms of a loss."""

import pytest

from tests.tfseg.losses.samples import values
from tests.tfseg.losses.test_cross_entropy import LABEL, LOGITS, WEIGHTS
from tfseg import losses
from tfseg.losses.cross_entropy import cross_entropy


def test_build():
    terms = losses.build("cross_entropy(label_smoothing=0.3) + 0.5*cross_entropy", class_weights=WEIGHTS)
    assert [(t.name, t.weight) for t in terms] == [("cross_entropy", 1.0), ("cross_entropy_2", 0.5)]
    expected = values(cross_entropy, LOGITS, LABEL, class_weights=WEIGHTS, label_smoothing=0.3)
    assert [float(x) for x in terms[0].function(LOGITS, LABEL)] == expected
    assert [float(x) for x in terms[1].function(LOGITS, LABEL)] == values(
        cross_entropy, LOGITS, LABEL, class_weights=WEIGHTS
    )
    assert [float(x) for x in losses.build("cross_entropy")[0].function(LOGITS, LABEL)] == values(
        cross_entropy, LOGITS, LABEL
    )


def test_build_refuses_before_the_first_step(monkeypatch):
    with pytest.raises(ValueError, match="cross_entropy"):
        losses.build("crossentropy")
    with pytest.raises(ValueError, match=r"Expected cross_entropy\(class_weights, label_smoothing\)"):
        losses.build("cross_entropy(smoothing=0.1)")
    monkeypatch.setattr("tfseg.losses.cross_entropy.cross_entropy", lambda logits, label: (0.0, 0.0))
    with pytest.raises(ValueError, match="takes class weights"):
        losses.build("cross_entropy", class_weights=WEIGHTS)
