"""What ``leaderboard.toml`` says, and the window that a day means by it."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evalkit.contact import check_contact
from evalkit.corpora.gates import Limits, parse_limits
from evalkit.corpora.publish import check_repo
from evalkit.errors import UsageError, unknown_name
from evalkit.files import parse_toml, plain_file_text, slug
from evalkit.report.preview import checked_address
from evalkit.scoring.policy import DEFAULT_POLICY, POLICIES

WINDOWS = ("half-month", "month")
_MAX_DELAY_DAYS = 366
_KEYS = {
    "title": str,
    "address": str,
    "results": str,
    "policies": list,
    "token_bits": bool,
    "token_bits_windows": int,
    "window": str,
    "delay_days": int,
    "contact": str,
    "notify": list,
    "dataset": str,
    "models": dict,
    "sources": list,
    "gates": dict,
}
_TYPE_WORDS = {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}
_MODEL_KEYS = {"always": list, "gpu": list, "anchors": list}
_SOURCE_KEYS = {"source": str, "options": list, "corpora": list}


class PublicationWindow(NamedTuple):
    """Days of publication, both included."""

    since: dt.date
    until: dt.date

    def corpus(self, source: str, suffix: str = "") -> str:
        """The name of a source's corpus; with a suffix, of one of those that it makes in one crawl."""
        return f"{source}-{self.since.isoformat()}" + (f"-{suffix}" if suffix else "")


@dataclasses.dataclass(frozen=True)
class SourceConfig:
    """A source and how it is crawled."""

    source: str
    options: tuple[str, ...] = ()
    """Of ``evalkit crawl SOURCE``, besides window and name."""
    suffixes: tuple[str, ...] = ("",)
    """Of the corpora that are taken from the crawl, ``cs`` and ``math``; the empty one is its main corpus."""


@dataclasses.dataclass(frozen=True)
class LeaderboardConfig:
    """What a leaderboard is made of."""

    title: str
    address: str | None
    """Where the site is served, for previews of links."""
    results: Path
    """Folder of ``cells`` and ``corpora``."""
    policies: tuple[str, ...]
    token_bits: bool
    token_bits_windows: int
    """How many of a source's newest windows keep the bits of tokens; 0, as by default: all do."""
    window: str
    """``half-month`` or ``month``."""
    delay_days: int
    """How long after its last day a window is taken for complete."""
    models: tuple[str, ...]
    gpu_models: tuple[str, ...]
    """Scored as well where torch sees a GPU."""
    anchors: tuple[str, ...]
    """Models that tie the months together."""
    sources: tuple[SourceConfig, ...]
    limits: Limits
    """How far a window's corpus may be from the previous one of its source."""
    contact: str | None
    """Whom the operators of crawled sites may write to, where the environment says nobody."""
    notify: tuple[str, ...]
    """Program and arguments that are told of what failed; empty: nobody is."""
    dataset: str | None
    """The Hub's dataset repository to which published corpora are pushed; None: they stay here."""

    @property
    def cells_folder(self) -> Path:
        """Where the result cells lie."""
        return self.results / "cells"

    @property
    def corpora_folder(self) -> Path:
        """Where the published corpora's manifests, profiles and lists of documents lie."""
        return self.results / "corpora"


def last_window(config: LeaderboardConfig, today: dt.date) -> PublicationWindow:
    """The last whole window that was over ``delay_days`` ago."""
    until = today - dt.timedelta(days=config.delay_days)
    first = until.replace(day=1)
    if config.window == "half-month" and until.day > 15:
        return PublicationWindow(first, first.replace(day=15))
    last = first - dt.timedelta(days=1)
    return PublicationWindow(last.replace(day=16 if config.window == "half-month" else 1), last)


def read_config(path: Path) -> LeaderboardConfig:
    """What a leaderboard's TOML file says; paths in it are relative to it.

    Raises:
        UsageError: the file is missing, not TOML, or says something that is not understood.
    """
    content = _read_toml(path)
    _check_table(content, _KEYS, str(path))
    models = content.get("models", {})
    _check_table(models, _MODEL_KEYS, f"{path}, models")
    config = LeaderboardConfig(
        title=content.get("title", "evalkit"),
        address=content.get("address"),
        results=path.parent / content.get("results", "results"),
        policies=_strings(content, "policies", str(path)) or (DEFAULT_POLICY,),
        token_bits=content.get("token_bits", True),
        token_bits_windows=content.get("token_bits_windows", 0),
        window=content.get("window", WINDOWS[0]),
        delay_days=content.get("delay_days", 2),
        models=_strings(models, "always", f"{path}, models"),
        gpu_models=_strings(models, "gpu", f"{path}, models"),
        anchors=_strings(models, "anchors", f"{path}, models"),
        sources=_read_sources(content.get("sources", []), path),
        limits=parse_limits(content.get("gates", {}), f"{path}, gates"),
        contact=content.get("contact"),
        notify=_strings(content, "notify", str(path)),
        dataset=content.get("dataset"),
    )
    _check_values(config, path)
    return config


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(plain_file_text(path))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; say which file with --config") from error
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error


def _read_sources(tables: Sequence[Any], path: Path) -> tuple[SourceConfig, ...]:
    sources = []
    for number, table in enumerate(tables, start=1):
        place = f"{path}, source {number}"
        if not isinstance(table, dict) or "source" not in table:
            raise UsageError(f'{place}: must be a table [[sources]] with source = "…"')
        _check_table(table, _SOURCE_KEYS, place)
        suffixes = _strings(table, "corpora", place) or ("",)
        sources.append(SourceConfig(table["source"], _strings(table, "options", place), suffixes))
    return tuple(sources)


def _check_values(config: LeaderboardConfig, path: Path) -> None:
    """Refuse values that have the right type and no meaning."""
    if config.contact is not None:
        check_contact(config.contact, f"{path}: contact")
    if config.address is not None:
        checked_address(config.address, f"{path}: address")
    if config.dataset is not None:
        check_repo(config.dataset, f"{path}: dataset")
    if not config.sources or not config.models:
        raise UsageError(f"{path}: name at least one model (models.always) and one source ([[sources]])")
    names = [source.source for source in config.sources]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f"{path}: two sources are called {twice[0]}; their corpora would have the same name")
    for source in config.sources:
        if len(set(source.suffixes)) < len(source.suffixes) or any(map(_is_no_suffix, source.suffixes)):
            raise UsageError(
                f"{path}: corpora of {source.source} must be names of corpora's ends, each once: "
                f"{', '.join(source.suffixes)}"
            )
    if config.window not in WINDOWS:
        raise unknown_name("window", config.window, WINDOWS, f"{path} may say {' or '.join(WINDOWS)}.")
    if not 0 <= config.delay_days <= _MAX_DELAY_DAYS:
        raise UsageError(f"{path}: delay_days must be from 0 to {_MAX_DELAY_DAYS}")
    if config.token_bits_windows < 0:
        raise UsageError(
            f"{path}: token_bits_windows must be 0, for all, or how many windows keep token bits"
        )
    for policy in config.policies:
        if policy not in POLICIES:
            raise unknown_name("policy", policy, POLICIES, f"{path} may say {', '.join(POLICIES)}.")


def _is_no_suffix(text: str) -> bool:
    return bool(text) and text != slug(text)


def _check_table(table: Mapping[str, Any], types: Mapping[str, type], place: str) -> None:
    """Refuse keys that are unknown, with the nearest that are not, and values of another type."""
    for key, value in table.items():
        if key not in types:
            hint = f"Known: {', '.join(types)}."
            raise UsageError(f"{place}: {unknown_name('key', key, types, hint)}")
        if type(value) is not types[key]:
            raise UsageError(f"{place}: {key} must be {_TYPE_WORDS[types[key]]}, not {value!r}")


def _strings(table: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    values = table.get(key, [])
    if not all(isinstance(value, str) and value for value in values):
        raise UsageError(f"{place}: {key} must be a list of texts")
    return tuple(values)
