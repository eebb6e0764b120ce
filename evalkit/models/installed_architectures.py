"""Which architectures the installed transformers has, without importing it."""

import functools
import importlib.util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@functools.cache
def _folders() -> tuple[frozenset[str], str]:
    """Folders of transformers' models, each called as its architecture, and transformers' version."""
    package = importlib.util.find_spec("transformers")
    try:
        installed_version = version("transformers")
    except PackageNotFoundError:
        return frozenset(), "(not installed)"
    places = (package and package.submodule_search_locations) or ()
    folders = [folder for place in places if (folder := Path(place, "models")).is_dir()]
    return frozenset(path.name for folder in folders for path in folder.iterdir()), installed_version


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
