"""Which architectures the installed transformers has, without importing it."""

import functools
from importlib.metadata import PackageNotFoundError, distribution


@functools.cache
def _folders() -> tuple[frozenset[str], str]:
    """Folders of transformers' models, each called as its architecture, and transformers' version."""
    try:
        transformers = distribution("transformers")
    except PackageNotFoundError:
        return frozenset(), "(not installed)"
    files = transformers.files or ()
    names = {
        file.parts[2] for file in files if file.parts[:2] == ("transformers", "models") and file.parts[3:]
    }
    return frozenset(names), transformers.version


def architecture_problem(model_type: str | None) -> str | None:
    """What to say where the installed transformers lacks an architecture; None where it has it.

    Args:
        model_type: what configs call it; None: a model that says nothing of it, of which nothing is said.
    """
    if model_type is None:
        return None
    folders, version = _folders()
    name = model_type.replace("-", "_")
    if folders & {name, name.removesuffix("_text")}:  # the language model of a composite is in its folder
        return None
    return f"transformers {version} has no architecture {model_type!r}: install a version that has"
