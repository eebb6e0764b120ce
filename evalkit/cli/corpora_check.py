"""``evalkit corpora check``: a new window's corpus against the previous one."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.parsing import JsonOption, StoreOption
from evalkit.terminal import show, show_json

if TYPE_CHECKING:
    from evalkit.corpora.gates import Finding, Limits, Profile


def check_command(
    new: Annotated[str, typer.Argument(help="The new corpus: a name, a path, or a file *profile.json.")],
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            help="The previous one: a name, a path, or a profile.",
            show_default="none: it is checked as the first window of its source",
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", help="NAME=NUMBER, e.g. max_duplicate_rate=0.05; repeatable."),
    ] = None,
    save_profile: Annotated[
        Path | None, typer.Option("--save-profile", help="Keep the new corpus's profile for the next window.")
    ] = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Check a new window's corpus, also against the previous: counts, languages, lengths, duplicates.

    Exits with 1 if a gate is not passed.
    """
    from evalkit.corpora import gates
    from evalkit.errors import UsageError

    values: dict[str, float] = {}
    for setting in limit or ():
        name, _, number = setting.partition("=")
        try:
            values[name] = float(number)
        except ValueError as error:
            raise UsageError(f"--limit {setting}: write NAME=NUMBER") from error
    limits = gates.parse_limits(values, "--limit")
    if save_profile and not gates.is_profile(save_profile):
        raise UsageError(f"--save-profile {save_profile}: its name must end in {gates.PROFILE_FILE}")
    fresh, old, findings = _checked(new, against, store, limits)
    if save_profile:
        gates.write_profile(fresh, save_profile)
    passed = all(finding.passed for finding in findings)
    if as_json:
        content = {"new": fresh.name, "old": old.name if old else None, "passed": passed}
        gate_rows = [dataclasses.asdict(finding) for finding in findings]
        show_json(content | {"gates": gate_rows})
    else:
        for finding in findings:
            show(f"{'passed' if finding.passed else 'FAILED'}  {finding.gate + ':':<15}{finding.text}")
    if not passed:
        raise typer.Exit(1)


def _checked(
    new: str, against: str | None, store: Path | None, limits: "Limits"
) -> "tuple[Profile, Profile | None, list[Finding]]":
    """The profiles of both windows, the previous one if any, and what the gates say."""
    from evalkit.corpora import gates
    from evalkit.corpora.auditing import count_languages
    from evalkit.corpora.store import load_corpus
    from evalkit.errors import UsageError

    if against is not None:
        old, fresh = gates.profile_of(against, store), gates.profile_of(new, store)
        return fresh, old, gates.check(fresh, old, limits)
    if gates.is_profile(new):
        raise UsageError(
            f"{new}: a profile has no texts, whose languages are checked of a first window; give the "
            "corpus, or what to compare with: --against"
        )
    corpus = load_corpus(new, store=store)
    fresh = gates.profile(corpus)
    _, wrong_language = count_languages(corpus.documents)
    return fresh, None, gates.check_first(fresh, len(wrong_language), limits)
