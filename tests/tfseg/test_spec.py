import types

import pytest

import models
from input_pipeline import ops
from input_pipeline.preparation.encoding import Storage
from models import backbones
from tfseg import inference, losses, optimizers, spec
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


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("unett", "unet"),
        ("U-Net", "unet"),
        ("segnetbasic", "segnet_basic"),
        ("linkent", "linknet"),
        ("RefineNet_LW", "refinenet_lw"),
    ],
)
def test_the_nearest_name_is_suggested(written, meant):
    known = models.names()
    assert spec.did_you_mean(written, known) == f" Did you mean {meant!r}?"
    with pytest.raises(ValueError, match=rf"{known[-1]}\. Received: '{written}'\. Did you mean '{meant}'\?$"):
        spec.find("models", written)


def test_nothing_is_suggested_where_nothing_is_near():
    assert spec.did_you_mean("transformer", ["enet", "dice"]) == ""
    with pytest.raises(ValueError, match=r"Received: 'xyz'\.$"):
        spec.find("models", "xyz")


@pytest.mark.parametrize(
    ("resolve", "message"),
    [
        (
            lambda: models.build("unet(widht=4)", 3),
            r"unet\(upsampling, width, backbone, head\).*Did you mean 'width'\?",
        ),
        (lambda: models.build("linknet(backbone='resnet81')", 3), r"Expected a backbone: .*Did you mean 'resnet18'\?"),
        (lambda: models.build("unet", 3, normalization="afine()"), r"Did you mean 'affine'\?"),
        (lambda: backbones.find("vggg16"), r"Did you mean 'vgg16'\?"),
        (lambda: losses.build("focaal"), r"Did you mean 'focal'\?"),
        (lambda: losses.build("CrossEntropy + dice"), r"Did you mean 'cross_entropy'\?"),
        (lambda: losses.build("focal(gama=2)"), r"Did you mean 'gamma'\?"),
        (
            lambda: ops.build("affine | brightnes", (8, 8), (0, 0, 0)),
            r"in 'affine \| brightnes'\. Did you mean 'brightness'\?",
        ),
        (lambda: ops.build("affine(scal=(1, 2))", (8, 8), (0, 0, 0)), r"Did you mean 'scale'\?"),
        (lambda: optimizers.Schedule("cosin", 0.1, 1), r"Expected schedule to be one of: .*Did you mean 'cosine'\?"),
        (lambda: optimizers.Schedule("poly(pwer=1)", 0.1, 1), r"Did you mean 'power'\?"),
        (lambda: optimizers.build("adamw2", 0.1, models.build("unet(width=1)", 1)), r"Did you mean 'adamw'\?"),
        (
            lambda: inference.build("slidingwindow(size=8)", models.build("unet(width=1)", 1)),
            r"mean 'sliding_window'\?",
        ),
        (lambda: Storage("jpg"), r"Expected image_format to be blank, png or jpeg.*Did you mean 'jpeg'\?"),
        (lambda: Storage("jpeg(qualty=9)"), r"Did you mean 'quality'\?"),
    ],
)
def test_every_spec_suggests_the_nearest(resolve, message):
    with pytest.raises(ValueError, match=message):
        resolve()


def test_a_word_without_quotes_and_a_hyphen_are_explained():
    with pytest.raises(ValueError, match="words in quotes"):
        spec.parse("unet(backbone=resnet34)")
    with pytest.raises(ValueError, match="underscores in place of hyphens"):
        spec.parse("fast-scnn")


def test_a_file_without_a_function_of_its_name_is_named(tmp_path, monkeypatch):
    (tmp_path / "wrong.py").write_text("def other(logits, label):\n    return 0.0, 1.0\n")
    monkeypatch.setattr(losses, "__path__", [*losses.__path__, str(tmp_path)])
    with pytest.raises(ValueError, match=r"Expected wrong in .*wrong\.py\. Received: a file with other\."):
        losses.build("wrong")


def _module(**declared):
    module = types.ModuleType("example")
    vars(module).update(declared)
    return module


def _function(name):
    def function():
        pass

    function.__name__, function.__module__ = name, "example"
    return function


REQUIRED, OPTIONAL = ("build",), ("SIZE_MULTIPLE", "LAST_STEP", "RENAMES", "renames", "backbone_of", "strides")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("SIZE_MULTPLE", "SIZE_MULTIPLE"),
        ("SIZE_MULT", "SIZE_MULTIPLE"),
        ("SIZEMULTIPLE", "SIZE_MULTIPLE"),
        ("size_multiple", "SIZE_MULTIPLE"),
        ("LAST_STEPS", "LAST_STEP"),
        ("RENAME", "RENAMES"),
        ("STRIDES", "strides"),
    ],
)
def test_a_constant_that_looks_like_a_declaration_is_refused(written, meant):
    module = _module(build=_function("build"), **{written: 4})
    with pytest.raises(ValueError, match=rf"Received: {written}, which nothing reads\. Did you mean '{meant}'\?"):
        spec.check_module(module, REQUIRED, OPTIONAL)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("rename", "renames"), ("backbone_off", "backbone_of"), ("last_step", "LAST_STEP"), ("buildd", "build")],
)
def test_a_function_that_looks_like_a_declaration_is_refused(written, meant):
    module = _module(**{written: _function(written)})
    with pytest.raises(ValueError, match=rf"Received: {written}, which nothing reads\. Did you mean '{meant}'\?"):
        spec.check_module(module, REQUIRED, OPTIONAL)


def test_other_names_are_a_modules_own():
    module = _module(
        build=_function("build"),
        rebuild=_function("rebuild"),  # near `build`, which is there
        backbone_form=_function("backbone_form"),
        renames=_function("renames"),
        VARIANTS={},
        EPSILON=1e-3,
        _SIZE_MULTPLE=4,
        pytest=pytest,
        backbones=backbones,  # a module, and no mistyped backbone_of
    )
    spec.check_module(module, REQUIRED, OPTIONAL)


def test_what_is_required_and_missing_is_named():
    with pytest.raises(ValueError, match=r"Expected build in example\. Received: a file with EPSILON, head\."):
        spec.check_module(_module(EPSILON=1, head=_function("head")), REQUIRED, OPTIONAL)
