"""The classes whose fields are checked by their annotations when a state arrives.

The checks of a class are made when its first state arrives: only then does each class that its
annotations name exist. A program that receives none does not load them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jelly.registry import defaults

if TYPE_CHECKING:
    from broker.flavors.field_checks import FieldChecks

__all__ = ["FieldTypes", "check_state"]


class FieldTypes:
    """The types of the fields of one class.

    Args:
        cls: a registered class.
    """

    def __init__(self, cls: type):
        self._cls = cls
        self._checks: FieldChecks | None = None

    def check(self, state: Mapping[str, object]) -> Mapping[str, object]:
        """Return a state with its fields converted; other names are left for the caller to refuse.

        Raises:
            MalformedJelly: a field has another type.
            ConfigError: an annotation of the class cannot be evaluated, or cannot be checked.
        """
        checks = self._checks
        if checks is None:
            # Loaded at the first use: most programs have no typed copies.
            from broker.flavors.field_checks import FieldChecks

            checks = self._checks = FieldChecks(self._cls)
        return checks.check(state)


def check_state(cls: type, state: object) -> object:
    """Return the received state of a class, with its fields converted if the class is typed.

    Raises:
        MalformedJelly, ConfigError: see :meth:`FieldTypes.check`.
    """
    found = defaults.declared.types.get(cls)
    if found is None or type(state) is not dict:
        return state
    return found.check(state)
