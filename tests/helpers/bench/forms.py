"""Says which form of broker each pairing of a run was, and where that is not the compiled form."""

from __future__ import annotations

from bench.pairings import PAIRINGS
from bench.tables import Run

__all__ = ["said_of_forms"]

_PURE = "pure Python"
_NOT_JELLY = "accelerated (not jelly)"
_ONLY_JELLY = "accelerated (only jelly)"


def said_of_forms(run: Run) -> list[str]:
    """Return sentences about the forms of a run; none about a run that did not record them.

    The first names the form of each pairing, as `broker.acceleration.describe` returned it in the
    processes of the pairing. The others say where a pairing was not the form that its column is
    for.
    """
    recorded: dict[str, str] = run.get("forms", {})
    forms = {key: recorded[key] for key in PAIRINGS if key in recorded}
    if not forms:
        return []
    named = [f"{PAIRINGS[key].label}: `{form}`" for key, form in forms.items()]
    return [f"The form of broker in each pairing: {'; '.join(named)}.", *_wrong(forms)]


def _wrong(forms: dict[str, str]) -> list[str]:
    """Return a sentence for each kind of pairing that was not the form that was to be measured."""
    compiled = {key: form for key, form in forms.items() if not PAIRINGS[key].pure}
    without_c = [key for key, form in compiled.items() if _PURE in form or _ONLY_JELLY in form]
    python_jelly = [
        key
        for key, form in compiled.items()
        if PAIRINGS[key].dialect == "pb" and key not in without_c and _NOT_JELLY in form
    ]
    not_pure = [
        key for key, form in forms.items() if PAIRINGS[key].pure and not form.startswith(_PURE)
    ]
    said = [
        (
            without_c,
            "ran without the module in C, so these figures are not those of the compiled form",
        ),
        (
            python_jelly,
            "ran with jelly as Python code, so these figures are not those of compiled jelly",
        ),
        (not_pure, "ran compiled modules, so these figures are not those of pure Python"),
    ]
    return [
        f"**{', '.join(PAIRINGS[key].label for key in keys)} {what}.**"
        for keys, what in said
        if keys
    ]
