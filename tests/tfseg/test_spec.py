import pytest

from tfseg import spec
from tfseg.spec import Call


def test_a_name_and_a_call():
    assert spec.parse("enet") == Call("enet")
    assert spec.parse(' unet(2, backbone="resnet34", size=(1, 2)) ') == Call(
        "unet", (2,), {"backbone": "resnet34", "size": (1, 2)}
    )


def test_a_chain_with_a_bar_inside_quotes():
    assert spec.parse_chain('a | b(x="|") | c(-1.5)') == [Call("a"), Call("b", (), {"x": "|"}), Call("c", (-1.5,))]
    assert spec.parse_chain("  ") == []


def test_a_sum_with_factors():
    assert spec.parse_sum("a + 0.5*b(c=1) + 2*d") == [
        (1.0, Call("a")),
        (0.5, Call("b", (), {"c": 1})),
        (2.0, Call("d")),
    ]


@pytest.mark.parametrize(
    "text", ["", "a b", "1", "a.b", "a(b)", "a(__import__('os'))", "a(**{})", "a - b", "a(b for b in c)"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="Expected"):
        spec.parse(text)


@pytest.mark.parametrize("text", ["b*a", "True*a", "a*0.5", "0.5*0.5*a"])
def test_a_factor_is_a_number_in_front(text):
    with pytest.raises(ValueError, match="Expected"):
        spec.parse_sum(text)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(
        ValueError, match=r"Expected a name in tfseg.losses/: .*cross_entropy.*Received: 'crossentropy'"
    ):
        spec.find("tfseg.losses", "crossentropy")


def test_an_unknown_option_lists_the_known():
    def build(inputs, width=1, *, depth=2, given=0):
        return width, depth

    assert spec.apply(build, spec.parse("net(3, depth=4)"), None) == (3, 4)
    with pytest.raises(ValueError, match=r"Expected net\(width, depth\)\. Received: net\(height=3\)"):
        spec.apply(build, spec.parse("net(height=3)"), None, given=1)


def test_a_call_prints_as_it_was_written():
    assert str(spec.parse("a(1, b='x')")) == "a(1, b='x')"


def test_a_regular_expression_is_taken_as_it_is_written(recwarn):
    r"""`\d` is no escape of Python's, which would warn of it, and later refuse it."""
    assert spec.parse(r'folder(group="(.*)_\d+")').kwargs == {"group": r"(.*)_\d+"}
    assert not recwarn.list
