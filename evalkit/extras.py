"""What is installed on demand, and what to say where it is missing: pip's names of evalkit are here alone."""

import importlib.metadata
import importlib.util

from evalkit.errors import UsageError

DISTRIBUTION = "evalkit-bpb"
"""What pip calls evalkit: in the package index `evalkit` is another program, since 2021."""

EXTRAS = {
    "accelerate": ("accelerate",),
    "crawl": ("charset_normalizer", "feedparser", "hishel", "htmldate", "lxml", "protego", "trafilatura"),
    "datasets": ("datasets",),
    "gguf": ("gguf",),
    "lm-eval": ("lm_eval",),
    "peft": ("peft",),
    "probes": ("automata", "sympy"),
    "ray": ("ray",),
    "s3": ("s3fs",),
    "tensorboard": ("tensorboardX",),
}
"""For each extra of the distribution, the modules that it brings and nothing else needs."""

_LEFT_OUT_ON_PURPOSE = ("torch", "transformers")
"""Required modules without which compressors, reports and corpora work all the same."""

_OTHER_PROGRAM = "evalkit"


def pip_install(extra: str | None = None) -> str:
    """The command that installs an extra; without one, evalkit with all that it always needs.

    >>> pip_install("gguf")
    "pip install 'evalkit-bpb[gguf]'"
    """
    return f"pip install {DISTRIBUTION}" if extra is None else f"pip install '{DISTRIBUTION}[{extra}]'"


def check_extra(extra: str) -> None:
    """Refuse to begin with what an extra is needed for.

    Args:
        extra: a name in `EXTRAS`.

    Raises:
        UsageError: the extra, or a part of it, is not installed.
    """
    for module in EXTRAS[extra]:
        if importlib.util.find_spec(module) is None:
            raise UsageError(_line(module, extra))


def missing_package(error: BaseException) -> str | None:
    """The line that says what to install, for an import that failed because nobody had.

    Returns:
        None where the error is another one: an import of evalkit's own, or of a part of an installed package.
    """
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    module = error.name.partition(".")[0]
    if importlib.util.find_spec(module) is not None or module.startswith("evalkit"):
        return None
    extra = next((extra for extra, modules in EXTRAS.items() if module in modules), None)
    if extra is None and module not in _LEFT_OUT_ON_PURPOSE:
        return None
    return _line(module, extra)


def import_problem(error: BaseException) -> str:
    """Why something of a package cannot be had: `missing_package`'s line, else the error itself."""
    return missing_package(error) or repr(error)


def clash() -> str | None:
    """What to say where the program that the index calls `evalkit` is installed too."""
    try:
        distribution = importlib.metadata.distribution(_OTHER_PROGRAM)
    except importlib.metadata.PackageNotFoundError:
        return None
    if distribution.entry_points.select(group="console_scripts", name="evalkit"):
        return None  # evalkit itself, installed when that was still its name
    return (
        f"the package {_OTHER_PROGRAM} {distribution.version}, another program, is installed too, and both "
        f"have the module evalkit: pip uninstall {_OTHER_PROGRAM}, then pip install --force-reinstall "
        f"--no-deps {DISTRIBUTION}"
    )


def _line(module: str, extra: str | None) -> str:
    return f"the package {module} is not installed: {pip_install(extra)}"
