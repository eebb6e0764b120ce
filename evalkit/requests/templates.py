"""Texts with places for values: ``Question: {question}``. Nothing but names of values stands in braces."""

import string
from collections.abc import Mapping

from evalkit.errors import CorpusError, UsageError


def template_names(template: str) -> set[str]:
    """The names of the values that a template has places for.

    Raises:
        UsageError: it is no template, or more than a name stands in braces.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UsageError(f"template {template!r}: {error}; a brace that is text is written twice") from error
    names = set()
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if not name.isidentifier() or form or conversion:
            raise UsageError(
                f"template {template!r}: {{{name}}} is no name of a value; a brace that is text is written "
                "twice"
            )
        names.add(name)
    return names


def filled(template: str, values: Mapping[str, object], place: str) -> str:
    """A template with its values.

    Args:
        template: see `template_names`.
        values: texts and numbers by name.
        place: where the row stands, for messages.

    Raises:
        CorpusError: there is no value of a name, or it is neither a text nor a number.
    """
    texts = {}
    for name in template_names(template):
        if name not in values:
            raise CorpusError(
                f"{place}: no {name!r} for the template {template!r} among {', '.join(sorted(values))}"
            )
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise CorpusError(f"{place}: {name!r} is neither a text nor a number")
        texts[name] = str(value)
    return template.format_map(texts)
