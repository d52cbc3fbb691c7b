"""Specs: `name`, `name(1, key="value")`, `a | b(2) | c`, `0.5*a + b`.

A name is a module of a package: a file registers itself by being there. Arguments are Python literals, read with
`ast.literal_eval`; nothing is evaluated.

    parse('unet(backbone="resnet34")')      -> Call("unet", (), {"backbone": "resnet34"})
    parse_chain("flip | brightness(0.2)")   -> [Call("flip", ...), Call("brightness", (0.2,), ...)]
    parse_sum("cross_entropy + 0.5*dice")   -> [(1.0, Call("cross_entropy", ...)), (0.5, Call("dice", ...))]
"""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any


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
    """Parses `name` or `name(1, key="value")`. Raises ValueError where the text is neither."""
    return _call(_expression(text), text)


def parse_chain(text: str) -> list[Call]:
    """Parses `a | b(2) | c`; a blank text is the empty chain."""
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
    """The modules of a package that a spec may name: those that are no package and have no leading underscore."""
    path = importlib.import_module(package).__path__
    return sorted(m.name for m in pkgutil.iter_modules(path) if not m.ispkg and not m.name.startswith("_"))


def find(package: str, name: str, known: list[str] | None = None) -> ModuleType:
    """Imports module `name` of `package`. An unknown name raises ValueError listing the known ones."""
    known = names(package) if known is None else known
    if name not in known:
        raise ValueError(f"Expected a name in {package}/: {', '.join(known)}. Received: {name!r}.")
    return importlib.import_module(f"{package}.{name}")


def apply(function: Callable, call: Call, *args, **kwargs) -> Any:
    """Calls `function(*args, *call.args, **kwargs, **call.kwargs)`; an option it does not take lists those it does."""
    check(function, call, *args, **kwargs)
    return function(*args, *call.args, **kwargs, **call.kwargs)


def check(function: Callable, call: Call, *args, **kwargs) -> None:
    """Raises ValueError, listing the options, where `apply` with the same arguments could not make the call."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, *call.args, **kwargs, **call.kwargs)
    except TypeError as error:
        options = [name for name in list(signature.parameters)[len(args) :] if name not in kwargs]
        raise ValueError(f"Expected {call.name}({', '.join(options)}). Received: {call}: {error}.") from error


def _expression(text):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of regular expressions: "\\d" is no escape of Python and stays as it is
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
            raise ValueError(f"Expected literals as arguments. Received: {ast.unparse(node)!r} in {text!r}.") from error
    raise ValueError(f"Expected `name` or `name(1, key=value)`. Received: {ast.unparse(node)!r} in {text!r}.")


def _term(node, text):
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        weight = node.left.value if isinstance(node.left, ast.Constant) else None
        if isinstance(weight, (int, float)) and not isinstance(weight, bool):
            return float(weight), _call(node.right, text)
        raise ValueError(f"Expected `number*name`. Received: {ast.unparse(node)!r} in {text!r}.")
    return 1.0, _call(node, text)
