"""Parses specs, which are names with options: `name`, `name(1, key="value")`, `a | b(2) | c`, `0.5*a + b`.

A name is that of a module in a package, so a new file needs no registration. Arguments are Python literals, read with
`ast.literal_eval`; no code is executed.

    parse('unet(backbone="resnet34")')      -> Call("unet", (), {"backbone": "resnet34"})
    parse_chain("flip | brightness(0.2)")   -> [Call("flip", ...), Call("brightness", (0.2,), ...)]
    parse_sum("cross_entropy + 0.5*dice")   -> [(1.0, Call("cross_entropy", ...)), (0.5, Call("dice", ...))]
"""

import ast
import dataclasses
import difflib
import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Call:
    """A name with literal arguments, as written in a spec."""

    name: str
    args: tuple = ()
    kwargs: dict = dataclasses.field(default_factory=dict)

    def __str__(self):
        arguments = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in self.kwargs.items()]
        return f"{self.name}({', '.join(arguments)})" if arguments else self.name


def parse(text: str) -> Call:
    """Parses `name` or `name(1, key="value")`. Raises ValueError if the text is neither."""
    return _call(_expression(text), text)


def parse_chain(text: str) -> list[Call]:
    """Parses `a | b(2) | c`. A blank text gives an empty chain."""
    if not text.strip():
        return []
    node, calls = _expression(text), []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        calls.append(_call(node.right, text))
        node = node.left
    return [_call(node, text), *reversed(calls)]


def parse_sum(text: str) -> list[tuple[float, Call]]:
    """Parses `0.5*a + b(2)` to (weight, call) terms."""
    node, terms = _expression(text), []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        terms.append(_term(node.right, text))
        node = node.left
    return [_term(node, text), *reversed(terms)]


def names(package: str) -> list[str]:
    """The modules of a package that a spec may name: all except packages and names that begin with an underscore."""
    path = importlib.import_module(package).__path__
    return sorted(m.name for m in pkgutil.iter_modules(path) if not m.ispkg and not m.name.startswith("_"))


def find(package: str, name: str, known: list[str] | None = None) -> ModuleType:
    """Imports module `name` of `package`. An unknown name raises ValueError with the known ones and the nearest of them."""
    known = names(package) if known is None else known
    choose(dict.fromkeys(known), name, f"a name in {package}/")
    return importlib.import_module(f"{package}.{name}")


def function(package: str, name: str, known: list[str] | None = None) -> Callable:
    """The function `name` in the module `name` of `package`; losses and metrics are such functions.

    Raises:
        ValueError: for an unknown name, and for a file without a function of its own name.
    """
    module = find(package, name, known)
    check_module(module, required=[name])
    return getattr(module, name)


def choose(known: Mapping[str, T], name: str, expected: str, text: str = "") -> T:
    """Returns `known[name]`.

    Args:
        known: all known values by name.
        name: the name to look up.
        expected: what it should be, as in "Expected an augmentation: affine, brightness."
        text: the spec that the name is from, if it has more than one name.

    Raises:
        ValueError: for an unknown name, listing the known ones and suggesting the nearest.
    """
    if name not in known:
        place = f" in {text!r}" if text and text != name else ""
        suggestion = did_you_mean(name, known)
        raise ValueError(f"Expected {expected}: {', '.join(known)}. Received: {name!r}{place}.{suggestion}")
    return known[name]


def did_you_mean(name: str, known: Iterable[str], alike: float = 0.6) -> str:
    """The sentence " Did you mean 'unet'?" with the known name whose spelling is nearest, or "" where none is near.

    Capitals, hyphens and underscores make no difference. `alike` is the lowest similarity (0..1, of difflib) that counts.
    """
    nearest = _nearest(name, known, alike)
    return f" Did you mean {nearest!r}?" if nearest else ""


def check_module(module: ModuleType, required: Iterable[str], optional: Iterable[str] = ()) -> None:
    """Checks the names that a module declares, so that a mistyped declaration is an error instead of being ignored.

    Args:
        module: a module of a package whose modules are found by their names.
        required: names that it must have.
        optional: names that it may have. Other names are allowed unless they look like one of these that is missing.

    Raises:
        ValueError: naming the file and the nearest name.
    """
    file = getattr(module, "__file__", module.__name__)
    public = {name for name in vars(module) if not name.startswith("_")}
    own = sorted(name for name in public if _is_declared(module, name))
    absent = [name for name in (*required, *optional) if name not in public]
    for name in (name for name in own if name not in required and name not in optional):
        # In the files of models/ constants of their own are up to 0.6 alike to a declaration, functions up to 0.82
        # (backbone_form, backbone_of). Constants are compared with constants, unless only the capitals differ.
        constant = name.isupper() or not callable(vars(module)[name])
        same_kind = [other for other in absent if other.isupper() == constant]
        if nearest := _nearest(name, same_kind, 0.72 if constant else 0.85) or _nearest(name, absent, 1.0):
            raise ValueError(
                f"Expected only declarations that are read in {file}. Received: {name}, which nothing reads. "
                f"Did you mean {nearest!r}? If it is something else, begin its name with an underscore."
            )
    for name in required:
        if name in absent:
            raise ValueError(f"Expected {name} in {file}. Received: a file with {', '.join(own) or 'nothing public'}.")


def apply(function: Callable, call: Call, *args, **kwargs) -> Any:
    """Calls `function(*args, *call.args, **kwargs, **call.kwargs)`; an unknown option raises ValueError with the known ones."""
    check(function, call, *args, **kwargs)
    return function(*args, *call.args, **kwargs, **call.kwargs)


def check(function: Callable, call: Call, *args, **kwargs) -> None:
    """Raises ValueError, listing the options, if `apply` with the same arguments could not make the call."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, *call.args, **kwargs, **call.kwargs)
    except TypeError as error:
        options = [name for name in list(signature.parameters)[len(args) :] if name not in kwargs]
        suggestions = "".join(did_you_mean(name, options) for name in call.kwargs if name not in signature.parameters)
        raise ValueError(
            f"Expected {call.name}({', '.join(options)}). Received: {call}: {error}.{suggestions}"
        ) from error


def _nearest(name, known, alike):
    """The known name whose spelling is most like `name`'s; None where none is alike enough."""
    spellings = {}
    for other in known:
        # Of two names that differ in their capitals, the one in the capitals of `name`.
        if _plain(other) not in spellings or other.isupper() == name.isupper():
            spellings[_plain(other)] = other
    found = difflib.get_close_matches(_plain(name), spellings, n=1, cutoff=alike)
    return spellings[found[0]] if found else None


def _plain(name):
    return name.lower().replace("_", "").replace("-", "")


def _is_declared(module, name):
    """Whether a module declares a name itself: constants, and functions that are not imported; no modules and classes."""
    value = vars(module)[name]
    if inspect.ismodule(value) or inspect.isclass(value):
        return False
    return name.isupper() or not callable(value) or getattr(value, "__module__", "") == module.__name__


def _expression(text):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # regular expressions: "\\d" is not an escape in Python and stays as it is
            return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"Expected a spec such as `name(key=1)`. Received: {text!r} ({error.msg}).") from error


def _call(node, text):
    if isinstance(node, ast.Name):
        return Call(node.id)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and all(k.arg for k in node.keywords):
        try:
            args = tuple(ast.literal_eval(a) for a in node.args)
            return Call(node.func.id, args, {k.arg: ast.literal_eval(k.value) for k in node.keywords})
        except ValueError as error:
            raise ValueError(
                f"Expected literals as arguments: numbers, words in quotes, True, False, None, and tuples of them. "
                f"Received: {ast.unparse(node)!r} in {text!r}."
            ) from error
    hyphen = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)
    advice = " Names are written with underscores in place of hyphens." if hyphen else ""
    raise ValueError(f"Expected `name` or `name(1, key=value)`. Received: {ast.unparse(node)!r} in {text!r}.{advice}")


def _term(node, text):
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        weight = node.left.value if isinstance(node.left, ast.Constant) else None
        if isinstance(weight, (int, float)) and not isinstance(weight, bool):
            return float(weight), _call(node.right, text)
        raise ValueError(f"Expected `number*name`. Received: {ast.unparse(node)!r} in {text!r}.")
    return 1.0, _call(node, text)
