"""A store of really scored cells and the site built of it, once for all tests of the report."""

import time
from pathlib import Path
from typing import NamedTuple

import pytest

from evalkit.corpora.store import Corpus, save_corpus
from evalkit.plots import draw_all
from evalkit.report import SiteOptions
from evalkit.report.site import Built
from tests.support.sites import build_site_of
from tests.support.stores import score_small_store, write_synthetic_store


class Small(NamedTuple):
    results: Path
    site: Path
    corpora: list[Corpus]
    warnings: list[str]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVALKIT_CORPORA", str(folder / "corpora"))
        patch.setenv("EVALKIT_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        corpora = score_small_store(folder / "runs")
        for corpus in corpora:
            save_corpus(corpus)
        warnings: list[str] = []
        options = SiteOptions(figures=draw_all(folder / "runs"))
        build_site_of(folder / "runs", folder / "site", options, warn=warnings.append)
    return Small(folder / "runs", folder / "site", corpora, warnings)


class Large(NamedTuple):
    site: Path
    built: Built
    build_cpu_s: float


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Large:
    """A synthetic store of 40 models and 20 corpora."""
    folder = tmp_path_factory.mktemp("large")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVALKIT_CORPORA", str(folder / "corpora"))
        patch.chdir(folder)
        write_synthetic_store(folder / "runs", num_models=40, num_corpora=20, num_documents=120)
        started = time.process_time()  # of this process: whoever else uses the machine does not count
        built = build_site_of(folder / "runs", folder / "site")
        return Large(folder / "site", built, time.process_time() - started)
