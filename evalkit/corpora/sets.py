"""Sets of corpora under one name: a table split by a column, and Uncheatable Eval's sets on the hub.

Uncheatable Eval publishes each of its sets as one dataset, ``Jellyfish042/UncheatableEval-YYYY-MM``, whose
column ``category`` mixes 15 kinds of 500 documents. A set is named ``uncheatable-2026-07``, one of its
corpora ``uncheatable-2026-07/arxiv_cs``, some by a pattern, ``uncheatable-2026-07/github_*``; a commit may
stand after the set's name, ``uncheatable-2026-04@COMMIT``. The corpora themselves are named
``uncheatable-2026-07-arxiv_cs``, as ``evalkit corpora import --split-by category`` names them.
"""

import fnmatch
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from evalkit.corpora.document import Corpus
from evalkit.corpora.importers import read_documents_by
from evalkit.corpora.readers import HUB_PREFIX
from evalkit.errors import CorpusError, UsageError
from evalkit.files import slug
from evalkit.hub_errors import HubRepository, hub_errors

SET_PREFIX = "uncheatable-"
"""By which a mistyped name of a set is told from a mistyped path."""

_CATEGORY_COLUMN = "category"
_SPLIT = "test"
_OWNER = "Jellyfish042"
_COMMIT = re.compile("[0-9a-f]{40}")


class HubSet(NamedTuple):
    """A set of corpora in one dataset on the hub."""

    repository: str
    """``OWNER/NAME``."""
    revision: str | None = None
    """The commit that is read; None: the newest, which is looked up and recorded."""
    categories: tuple[str, ...] = ()
    """Its categories at that commit; empty where they are known only by reading it."""


UNCHEATABLE_SETS: Mapping[str, HubSet] = MappingProxyType(
    {
        "uncheatable-2025-12": HubSet(f"{_OWNER}/UncheatableEval-2025-12"),
        "uncheatable-2025-12-long": HubSet(f"{_OWNER}/UncheatableEval-2025-12-Long"),
        "uncheatable-2026-01": HubSet(f"{_OWNER}/UncheatableEval-2026-01"),
        "uncheatable-2026-01-long": HubSet(f"{_OWNER}/UncheatableEval-2026-01-Long"),
        "uncheatable-2026-04": HubSet(f"{_OWNER}/UncheatableEval-2026-04"),
        "uncheatable-2026-07": HubSet(
            f"{_OWNER}/UncheatableEval-2026-07",
            "65889535d56aa38d448ce7e07b08e6e36c031545",
            (
                *("ao3_english", "ao3_nonenglish", "arxiv_cs", "arxiv_math", "arxiv_other", "arxiv_physics"),
                *("bbc_news", "biorxiv_all", "github_cpp", "github_javascript", "github_markdown"),
                *("github_other", "github_python", "wikipedia_english", "wikipedia_nonenglish"),
            ),
        ),
    }
)
"""By name. 2026-07 is pinned; of the others the newest commit is looked up at each run."""


class SetSelection(NamedTuple):
    """Corpora of a set, as a name asks for them."""

    set_name: str
    revision: str | None
    """A commit that the name gives; None: the set's own."""
    pattern: str
    """Of categories; ``*`` for all."""

    @property
    def commit(self) -> str | None:
        """The commit to read; None: the newest."""
        return self.revision or UNCHEATABLE_SETS[self.set_name].revision

    def matching(self, categories: Iterable[str]) -> list[str]:
        """The categories that are asked for, in their order.

        Raises:
            UsageError: there are none.
        """
        categories = list(categories)
        chosen = [name for name in categories if fnmatch.fnmatchcase(name, self.pattern)]
        if not chosen:
            raise UsageError(
                f"corpus {self.set_name}/{self.pattern}: the set has no such category; it has "
                + ", ".join(categories)
            )
        return chosen


def parse_set_name(name: str) -> SetSelection | None:
    """What ``SET[@COMMIT][/PATTERN]`` asks for; None for the name of anything else.

    Raises:
        UsageError: the commit is none, or the set is known to have no such category.
    """
    head, slash, pattern = name.partition("/")
    set_name, at, revision = head.partition("@")
    if set_name not in UNCHEATABLE_SETS:
        return None
    if (at and not _COMMIT.fullmatch(revision)) or (slash and not pattern):
        raise UsageError(
            f"corpus {name}: a set's corpora are written {set_name}, {set_name}/CATEGORY, a pattern for the "
            f"category, or {set_name}@COMMIT/CATEGORY with the 40 hex digits of a commit"
        )
    selection = SetSelection(set_name, revision or None, pattern or "*")
    hub_set = UNCHEATABLE_SETS[set_name]
    if hub_set.categories and selection.commit == hub_set.revision:
        selection.matching(hub_set.categories)
    return selection


def read_set(selection: SetSelection) -> dict[str, Corpus]:
    """All corpora of a set by category, each dated by its own rows; ``provenance`` records the commit.

    Raises:
        CorpusError: the hub does not give it, or it is no table of categories.
    """
    repository = UNCHEATABLE_SETS[selection.set_name].repository
    commit = selection.commit or _newest_commit(selection.set_name, repository)
    parts = read_documents_by(f"{HUB_PREFIX}{repository}@{commit}", _CATEGORY_COLUMN, split=_SPLIT)
    names = split_names(selection.set_name, parts)
    return {
        category: imported.corpus(names[category], f"{selection.set_name}/{category}, read from")
        for category, imported in parts.items()
    }


def split_names(name: str, values: Iterable[str]) -> dict[str, str]:
    """The corpus name ``NAME-VALUE`` of each value of a column by which an input is split.

    Values that would have one name, as ``C`` and ``C#``, are told apart by a digest of those that are no
    plain names.

    >>> split_names("code", ["C", "C#", "zig"])
    {'C': 'code-C', 'C#': 'code-C-04022884', 'zig': 'code-zig'}
    """
    plain = {value: slug(value) for value in values}
    uses = Counter(plain.values())
    names = {}
    for value, part in plain.items():
        if uses[part] > 1 and part != value:
            part += f"-{hashlib.sha256(value.encode()).hexdigest()[:8]}"
        names[value] = slug(f"{name}-{part}")
    return names


def _newest_commit(set_name: str, repository: str) -> str:
    from huggingface_hub import HfApi

    when_unreachable = f": connect, or write {set_name}@COMMIT for a commit that was read before"
    with hub_errors(CorpusError, HubRepository(repository, "dataset"), when_unreachable):
        commit = HfApi().dataset_info(repository).sha
    if not commit:
        raise CorpusError(f"corpus {set_name}: the hub names no commit of {repository}; try again later")
    return commit
