"""Generated functions with the signature of a contract's method.

Python itself binds the arguments. A value whose class is exactly the declared one needs no more
than a comparison; any other value is checked by a function. Arguments that the caller left out are
not passed on, so that the defaults are those of the callee.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import cast

from broker.flavors.contracts.method import ContractMethod, Parameter

__all__ = ["SELF", "Check", "generated"]

SELF = "_broker_self"
"""The name of the first parameter."""

Check = Callable[[Parameter], Callable[[object], object]]
"""Returns the function that checks the values of a parameter."""

_Kind = inspect._ParameterKind
_POSITIONAL = (_Kind.POSITIONAL_ONLY, _Kind.POSITIONAL_OR_KEYWORD)
_UNSET = object()


def generated(
    method: ContractMethod,
    name: str,
    leading: tuple[str, ...],
    callee: str,
    check: Check,
    returns: str,
    used: dict[str, object],
    is_packed: bool = False,
) -> Callable[..., object]:
    """Return a function that checks arguments and passes those that were given to another one.

    Args:
        method: its parameters are those of the function.
        name: the name of the function.
        leading: the parameters before those of the method.
        callee: an expression, and an open parenthesis, perhaps with the first arguments.
        check: makes the check of a parameter.
        returns: the statements after the call, whose result is ``_broker_result``.
        used: the values of the names in ``callee`` and ``returns``.
        is_packed: pass the arguments as a tuple and a dict.
    """
    body, positional, keywords = _body(method.parameters)
    given = ", ".join([*positional, *keywords])
    if is_packed:
        items = [_as_item(keyword) for keyword in keywords]
        given = f"({''.join(f'{one}, ' for one in positional)}), {{{', '.join(items)}}}"
    lines = [
        f"def {name}({', '.join([*leading, *_declared(method.parameters)])}):",
        *body,
        f"_broker_result = {callee}{given})",
        *returns.splitlines(),
    ]
    namespace: dict[str, object] = {"_broker_unset": _UNSET, **used}
    for parameter in method.parameters:
        exact = parameter.value.exact
        namespace[f"_broker_check_{parameter.name}"] = _check_of(parameter, check)
        namespace[f"_broker_kind_{parameter.name}"] = (
            next(iter(exact)) if len(exact) == 1 else exact
        )
    source = "\n    ".join(lines)
    exec(compile(source, f"<contract method {method.where}>", "exec"), namespace)  # noqa: S102 - made of the names of parameters alone
    function = cast("Callable[..., object]", namespace[name])
    function.__doc__ = method.doc
    return function


def _as_item(keyword: str) -> str:
    """Return a keyword argument as an item of a dict."""
    name, is_named, value = keyword.partition("=")
    return f"{name!r}: {value}" if is_named else keyword


def _check_of(parameter: Parameter, check: Check) -> Callable[..., object]:
    one = check(parameter)
    if parameter.kind is _Kind.VAR_POSITIONAL:
        return lambda values: tuple(one(value) for value in values)
    if parameter.kind is _Kind.VAR_KEYWORD:
        return lambda values: {name: one(value) for name, value in values.items()}
    return one


def _declared(parameters: tuple[Parameter, ...]) -> list[str]:
    """Return the parameters of the signature, and its markers ``/`` and ``*``."""
    parts: list[str] = []
    kinds = [parameter.kind for parameter in parameters]
    for place, parameter in enumerate(parameters):
        kind = parameter.kind
        before = kinds[place - 1] if place else None
        if kind is not _Kind.POSITIONAL_ONLY and before is _Kind.POSITIONAL_ONLY:
            parts.append("/")
        if kind is _Kind.KEYWORD_ONLY and before not in (_Kind.KEYWORD_ONLY, _Kind.VAR_POSITIONAL):
            parts.append("*")
        stars = {_Kind.VAR_POSITIONAL: "*", _Kind.VAR_KEYWORD: "**"}.get(kind, "")
        parts.append(f"{stars}{parameter.name}{'=_broker_unset' * parameter.has_default}")
    if kinds and kinds[-1] is _Kind.POSITIONAL_ONLY:
        parts.append("/")
    return parts


def _body(parameters: tuple[Parameter, ...]) -> tuple[list[str], list[str], list[str]]:
    """Return the statements that check, and the positional and the keyword arguments to pass on."""
    lines: list[str] = []
    positional: list[str] = []
    keywords: list[str] = []
    rest = next((p.name for p in parameters if p.kind is _Kind.VAR_POSITIONAL), None)
    needs_list = needs_dict = False
    for parameter in parameters:
        name, kind = parameter.name, parameter.kind
        checked = _checked(parameter)
        if not parameter.has_default:
            lines += checked
            if kind is _Kind.KEYWORD_ONLY:
                keywords.append(f"{name}={name}")
            elif kind in _POSITIONAL:
                positional.append(name)
            continue
        lines.append(f"if {name} is not _broker_unset:")
        lines += [f"    {line}" for line in checked]
        if kind is _Kind.POSITIONAL_ONLY:
            needs_list = True
            lines.append(f"    _broker_more.append({name})")
        elif kind is _Kind.POSITIONAL_OR_KEYWORD and rest is not None:
            needs_list = needs_dict = True
            lines.append(f"    if {rest}: _broker_more.append({name})")
            lines.append(f"    else: _broker_named['{name}'] = {name}")
        else:
            needs_dict = True
            lines.append(f"    _broker_named['{name}'] = {name}")
    start = ["_broker_more = []"] * needs_list + ["_broker_named = {}"] * needs_dict
    positional += ["*_broker_more"] * needs_list + [f"*{rest}"] * (rest is not None)
    keywords += ["**_broker_named"] * needs_dict
    keywords += [f"**{p.name}" for p in parameters if p.kind is _Kind.VAR_KEYWORD]
    return start + lines, positional, keywords


def _checked(parameter: Parameter) -> list[str]:
    """Return the statement that checks one parameter."""
    name, value = parameter.name, parameter.value
    check = f"{name} = _broker_check_{name}({name})"
    if value.is_free:
        return ["pass"] if parameter.has_default else []
    if parameter.kind in (_Kind.VAR_POSITIONAL, _Kind.VAR_KEYWORD):
        return [f"if {name}: {check}"]
    if not value.exact:
        return [check]
    operator = "is not" if len(value.exact) == 1 else "not in"
    return [f"if type({name}) {operator} _broker_kind_{name}: {check}"]
