"""`run --watch`: score the checkpoints of a training while it goes on."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.corpora.store import Corpus, load_corpora
from evalkit.errors import DiskError, ModelError, UsageError
from evalkit.files import whole_number
from evalkit.models.catalog import load_catalog
from evalkit.models.checkpoints import CheckpointFacts, checkpoint_facts
from evalkit.models.completeness import Look, look_at
from evalkit.models.name_patterns import specs_of
from evalkit.models.targets import local_places, means_several, revision_of
from evalkit.runner.corpora import DEFAULT_CORPORA, run
from evalkit.runner.options import RunOptions
from evalkit.runner.ranking import RunResult
from evalkit.scoring.policy import DEFAULT_POLICY

SETTLE_S = 5.0
"""A checkpoint that was not written to between two looks so far apart is finished, if it is whole."""


class Watch(NamedTuple):
    """How to wait for checkpoints."""

    interval_s: float
    """Between two looks."""
    until: int | Path | None = None
    """The step that every run has to reach, or a file that somebody makes when the training is over; None:
    until it is interrupted."""


class Scoring(NamedTuple):
    """What is scored of every checkpoint; fields are the arguments of `evalkit.runner.corpora.run`."""

    corpora: Sequence[str | Corpus] | None = None
    policy: str = DEFAULT_POLICY
    limit: int | None = None
    token_bits: bool = False
    prove: int = 0


def parse_until(text: str | None) -> int | Path | None:
    """What ``--until`` says: a step in digits, or the path of a file.

    Raises:
        UsageError: it is empty.
    """
    if text is None:
        return None
    if not text.strip():
        raise UsageError("--until is empty; give a step, or a file that is made when the training is over")
    step = whole_number(text)
    return Path(text) if step is None else step


def watch_run(
    models: Sequence[str],
    scoring: Scoring,
    watch: Watch,
    options: RunOptions,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> RunResult:
    """Score checkpoints as they appear, each once it is whole and nobody writes to it anymore.

    Args:
        models: specs, at least one of which stands for whatever matches it.
        scoring: what to score.
        watch: how long to wait for more.
        options: of the run.
        sleep: waits for so many seconds.

    Returns:
        The result for all that was there in the end, as `run` gives it.

    Raises:
        UsageError: no spec stands for more than one model, or the interval is not above 0.
        CorpusError: a corpus cannot be read.
        ModelError: none of the checkpoints could be identified.
        DiskError: the output folder cannot be written anymore.
    """
    if not any(map(means_several, models)):
        raise UsageError(
            "--watch waits for what matches: give a pattern or a folder, --models 'hf:ckpts/step-*'"
        )
    if not watch.interval_s > 0:
        raise UsageError(f"--watch {watch.interval_s:g}: give the seconds between two looks, more than 0")
    names = DEFAULT_CORPORA if scoring.corpora is None else scoring.corpora
    watcher = _Watcher(models, scoring._replace(corpora=load_corpora(names)), watch, options)
    while not watcher.look():
        sleep(min(watch.interval_s, SETTLE_S) if watcher.pending else watch.interval_s)
    return watcher.result()


class _Watcher:
    """What was looked at, and what was scored of it."""

    def __init__(self, models: Sequence[str], scoring: Scoring, watch: Watch, options: RunOptions) -> None:
        self._models, self._scoring, self._watch, self._options = models, scoring, watch, options
        self._looks: dict[str, Look | None] = {}
        self._scored: dict[str, Look] = {}
        self._order: list[str] = []
        self._specs_of: dict[str, list[str]] = {}
        self._told: set[str] = set()
        self._is_out_of_reach = False
        self.pending: list[str] = []
        """Checkpoints that are there and not finished."""

    def look(self) -> bool:
        """Look once, and score what is finished; whether all that was waited for is there."""
        until = self._watch.until
        is_ended = (
            isinstance(until, Path) and until.exists()
        )  # before the look: what was saved by then is seen
        self._is_out_of_reach = False
        looks = {spec: self._look_at(spec) for spec in self._specs()}
        self._order = list(looks)
        ready = {
            spec: look
            for spec, look in looks.items()
            if look is not None and self._looks.get(spec) == look and self._scored.get(spec) != look
        }
        self._looks = looks
        if ready:
            self._score(ready)
        self.pending = [
            spec for spec, look in looks.items() if look is None or self._scored.get(spec) != look
        ]
        if isinstance(until, int):
            return self._have_reached(until)
        whole = [spec for spec in self.pending if looks[spec] is not None]
        return is_ended and not whole and not self._is_out_of_reach

    def _look_at(self, spec: str) -> Look | None:
        try:
            return look_at(spec)
        except ModelError as error:  # a hub may be out of reach for a while
            self._is_out_of_reach = True
            self._tell_of_waiting(error)
            return None

    def _tell_of_waiting(self, error: ModelError) -> None:
        if str(error) not in self._told:  # and not at every look
            self._told.add(str(error))
            self._options.reporter.message(f"{error}; waiting")

    def _specs(self) -> list[str]:
        specs, catalog = [], load_catalog()
        for model in self._models:
            try:
                self._specs_of[model] = specs_of(model, catalog)
                specs += self._specs_of[model]
            except ModelError as error:  # nothing yet, or the hub cannot be reached now
                if not means_several(model):
                    raise
                self._tell_of_waiting(error)
                specs += filter(revision_of, self._specs_of.get(model, ()))
        return list(dict.fromkeys(specs))

    def _score(self, ready: dict[str, Look]) -> None:
        try:
            run(list(ready), **self._scoring._asdict(), options=self._options)
        except DiskError:
            raise
        except ModelError as error:  # none of them can be identified: it is said now, and again at the end
            self._options.reporter.message(f"FAILED {error}")
        self._scored |= ready

    def _have_reached(self, step: int) -> bool:
        """Whether each run that has checkpoints has one scored of this step or a later one."""
        furthest: dict[str, int] = {}
        for spec in self._order:
            facts = _facts(spec)
            if facts is not None:
                reached = facts.step if spec in self._scored else -1
                furthest[facts.run] = max(furthest.get(facts.run, -1), reached)
        return bool(furthest) and min(furthest.values()) >= step

    def result(self) -> RunResult:
        """All that is there; what is not whole is named and left out."""
        for spec in self.pending:
            self._options.reporter.message(f"{spec} is not whole and was not scored")
        specs = [spec for spec in self._order if spec in self._scored]
        # The journal has counted these cells already.
        options = dataclasses.replace(self._options, journal=None)
        return run(specs, **self._scoring._asdict(), options=options)


def _facts(spec: str) -> CheckpointFacts | None:
    if revision := revision_of(spec):
        return checkpoint_facts(None, revision.repo, revision.name)
    places = local_places(spec)
    return checkpoint_facts(places[-1].absolute(), "", None) if places else None
