"""What several commands share: options, lists by commas, and whether the user wants tracebacks."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from evalkit.cells.object_store import check_is_local
from evalkit.errors import EvalkitError, UsageError
from evalkit.files import whole_number
from evalkit.models.codecs import CODECS
from evalkit.scoring.policy import POLICIES

DEFAULT_OUTPUT = Path("runs")
"""As in `evalkit.runner.options`, which is too heavy to import for a line of help."""

_POLICY_HELP = "; ".join(f"{policy.name}: {policy.help}" for policy in POLICIES.values())


def complete_models(incomplete: str) -> list[str]:
    """What a shell may offer for a list of models by commas: the catalog's names behind the last comma."""
    from evalkit.models.catalog import load_catalog

    return _completed(incomplete, load_catalog)


def complete_corpora(incomplete: str) -> list[str]:
    """What a shell may offer for a list of corpora by commas: built-in, stored and sets' names."""
    from evalkit.corpora.sets import UNCHEATABLE_SETS
    from evalkit.corpora.store import list_corpora

    return _completed(incomplete, lambda: [*list_corpora(), *UNCHEATABLE_SETS])


def _completed(incomplete: str, names: Callable[[], Iterable[str]]) -> list[str]:
    earlier, comma, last = incomplete.rpartition(",")
    try:
        return [f"{earlier}{comma}{name}" for name in names() if name.startswith(last)]
    except EvalkitError:  # the command will say what is wrong; a shell has no place for it
        return []


CommaLists = list[str] | None
"""The type of every option whose value is a list by commas: given several times, the lists add up."""

ModelsOption = Annotated[
    CommaLists,
    typer.Option(
        "--models",
        help=f"Names or LOADER:TARGET, by commas; see `models list` ({', '.join(CODECS)}: compressors).",
        autocompletion=complete_models,
    ),
]
CorporaOption = Annotated[
    CommaLists,
    typer.Option(
        "--corpora",
        help="Names or paths of anything importable, by commas; uncheatable-2026-07: its 15.",
        autocompletion=complete_corpora,
    ),
]
SomeCorporaOption = Annotated[CommaLists, typer.Option("--corpora", help="Only these, by commas.")]
SomeModelsOption = Annotated[CommaLists, typer.Option("--models", help="Only these, by commas.")]
ResultsArgument = Annotated[
    str, typer.Argument(help="Folder of the result cells; also of a store: s3://BUCKET/FOLDER.")
]
PolicyOption = Annotated[
    str, typer.Option("--policy", metavar=" | ".join(POLICIES), help=f"Context policy. {_POLICY_HELP}.")
]
LimitOption = Annotated[int | None, typer.Option("--limit", help="Score only the first N documents.")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", help="Folder of the result cells.")]
OutputUrlOption = Annotated[
    str,
    typer.Option("--output", "-o", help="Folder of the result cells; also of a store: s3://BUCKET/FOLDER."),
]
DeviceOption = Annotated[
    str,
    typer.Option("--device", metavar="auto | cpu | cuda | cuda:N | mps", help="Where models are computed."),
]
DtypeOption = Annotated[
    str,
    typer.Option(
        "--dtype",
        metavar="auto | float32 | bfloat16 | float16",
        help="Precision of models; bf16, fp16 and fp32 mean the same.",
    ),
]
MaxContextOption = Annotated[
    int | None, typer.Option("--max-context", help="Cap every model's context at N tokens.")
]
PrefixOption = Annotated[
    CommaLists,
    typer.Option("--prefix", help="What models read first: bos, eos, none or token: and ids by commas."),
]
TrustOption = Annotated[
    bool, typer.Option("--trust-remote-code", help="Let a hub repository run its own Python.")
]
AcceptVersionsOption = Annotated[
    bool,
    typer.Option("--accept-versions", help="Take finished cells of other versions of the libraries."),
]
IgnoreTensorsOption = Annotated[
    list[str] | None,
    typer.Option("--ignore-tensors", help="Names or patterns, by commas, of tensors that no model needs."),
]
TokenBitsOption = Annotated[bool, typer.Option("--token-bits", help="Keep the bits of every token.")]
AuditOption = Annotated[bool, typer.Option("--audit", help="First audit models that never were.")]
UnauditedOption = Annotated[
    bool, typer.Option("--unaudited", help="Score models that failed their audit; cells and board show it.")
]
PanelOption = Annotated[
    CommaLists,
    typer.Option("--panel", help="Cutoffs and leaks: the models to compare with, by commas."),
]
ScoredModelArgument = Annotated[str, typer.Argument(help="A model of the results.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Tell only results and what is wrong.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="A line for every step of progress, instead of a bar.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
StoreOption = Annotated[
    Path | None,
    typer.Option("--store", help="Folder of the corpora.", show_default="$EVALKIT_CORPORA, else corpora/"),
]


@dataclasses.dataclass
class CommandState:
    """What the program's own options say, handed to every command with typer's context."""

    debug: bool = False
    forks: bool = False
    """Whether this process is the program's own, with nothing in it that a fork cannot go on with."""


def is_debug(context: typer.Context) -> bool:
    """Whether ``--debug`` was given: errors are to be seen where they happen."""
    return context.ensure_object(CommandState).debug


def may_fork(context: typer.Context) -> bool:
    """Whether work may be done in forks of this process."""
    return context.ensure_object(CommandState).forks


def joined(lists: Sequence[str] | None) -> str | None:
    """One list by commas of those that an option was given; None where it was not given.

    >>> joined(["xz,zstd", "brotli"])
    'xz,zstd,brotli'
    """
    return None if lists is None else ",".join(lists)


def comma_list(text: str | None) -> list[str]:
    """The names in a list by commas; empty ones are none, and None has none."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def names_or(lists: Sequence[str] | None, default: Sequence[str]) -> list[str]:
    """The names that an option's lists by commas have, none where they are empty; the default without one."""
    return list(default) if lists is None else comma_list(joined(lists))


def comma_numbers(option: str, text: str, *, least: int) -> tuple[int, ...]:
    """Increasing whole numbers from a list by commas.

    Raises:
        UsageError: it is something else, or one is below ``least``.
    """
    numbers = {whole_number(part.strip()) for part in text.split(",")}
    valid = sorted(number for number in numbers if number is not None and number >= least)
    if len(valid) < len(numbers):
        raise UsageError(f"{option} {text!r} is no list of numbers from {least} on, by commas")
    return tuple(valid)


def check_output_file(path: Path, option: str) -> None:
    """Refuse, before anything slow, a file that cannot be written.

    Raises:
        UsageError: it is a folder, or is in none that can be written to.
    """
    check_is_local(path, option)
    if path.is_dir():
        raise UsageError(f"{option} {path} is a folder; give a file's name")
    nearest = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not (nearest == path or nearest.is_dir()) or not os.access(nearest, os.W_OK):
        raise UsageError(f"{option} {path} cannot be written: {nearest} does not allow it")
