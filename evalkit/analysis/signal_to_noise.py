"""Signal and noise of training runs: what a corpus tells apart, and what it would take to tell more.

Noise and signal are those of Heineman et al., "Signal and Noise: A Framework for Reducing Uncertainty in
Language Model Evaluation" (arXiv 2508.13144): how much the last checkpoints of a run differ among
themselves, and how much the runs do. Beside them stands what that framework leaves out, the documents:
another corpus of the same size would give other differences, which bounds the effects that this one shows.

| name | what it is |
|---|---|
| noise | standard deviation of a run's last checkpoints around a straight line, pooled over runs |
| seed noise | standard deviation between runs of one recipe that differ in their seed, pooled over recipes |
| signal | greatest minus least level of the recipes |
| minimum detectable effect | the true difference of two recipes that is clear of 0 in 80 % of cases |

A recipe's level is the mean over its seeds of the mean over their last checkpoints. Runs are of one recipe if
their names differ in ``seed`` and a number alone; of seeds that are not so named, each is a recipe.
"""

import itertools
import math
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.aggregates import HEADLINE, Array
from evalkit.analysis.curves import Subject, scored_checkpoints, subjects
from evalkit.analysis.estimates import Estimate, estimates, fewest_clusters, level_samples
from evalkit.analysis.rank_intervals import (
    RankInterval,
    document_deviations,
    rank_intervals,
    student_reach,
)
from evalkit.analysis.results import Results
from evalkit.analysis.training_runs import TrainingRun, training_runs
from evalkit.errors import UsageError
from evalkit.stats import CONFIDENCE, SEED

DEFAULT_LAST = 5
POWER = 0.8
"""How often a difference of the minimum detectable effect is found."""
_SEED_OF_A_NAME = re.compile(r"[-_.,/ ]*(?<![a-z])seed[-_= ]?\d+", re.IGNORECASE)
_STREAM = 22


class SignalOptions(NamedTuple):
    """What is asked of the runs."""

    policy: str = "document"
    corpora: Sequence[str] = ()
    """Names; empty: all."""
    runs: Sequence[str] = ()
    """Names; empty: all."""
    last: int = DEFAULT_LAST
    """How many checkpoints at the end of each run are final."""


class RecipeLevel(NamedTuple):
    """A recipe on a corpus."""

    recipe: str
    num_seeds: int
    num_checkpoints: int
    """Final ones, over all seeds."""
    level: Estimate
    """The interval is of another corpus and another training."""
    ranks: RankInterval
    """Of all ranks with too few clusters."""


class RecipePair(NamedTuple):
    """Two recipes on a corpus."""

    first: str
    second: str
    difference: Estimate
    """First minus second; the interval is of another corpus and another training."""
    detectable: float
    """Minimum detectable effect of the pair on this corpus, with the noise of its trainings."""
    num_documents_more: int | None
    """How many documents of the kind would raise the power for a difference as large as the measured one to
    `POWER`; 0: there are enough; None: no number would, for training differs as much by itself."""


class CorpusSignal(NamedTuple):
    """What a corpus says of the runs."""

    corpus: str
    num_documents: int
    num_clusters: int
    noise: float | None
    """None where no run has three final checkpoints."""
    seed_noise: float | None
    """None where no recipe has several seeds."""
    signal: float
    ratio: float | None
    """Signal by noise: by seed noise where that is known."""
    detectable_by_documents: float | None
    """Minimum detectable effect of documents alone, for the median pair; None with too few clusters."""
    detectable: float | None
    """The same with the noise of training."""
    recipes: tuple[RecipeLevel, ...]
    """From the lowest level up."""
    pairs: tuple[RecipePair, ...]
    """Neighbors in that order."""

    def to_json(self) -> dict[str, object]:
        """As strict JSON can hold it."""
        return {
            **self._asdict(),
            "recipes": [
                {**row._asdict(), "level": row.level._asdict(), "ranks": list(row.ranks)}
                for row in self.recipes
            ],
            "pairs": [{**pair._asdict(), "difference": pair.difference._asdict()} for pair in self.pairs],
        }


def signals(
    results: Results, options: SignalOptions | None = None, *, warn: Callable[[str], None] = lambda _: None
) -> list[CorpusSignal]:
    """Signal and noise on each corpus, and on the mean of all where there are several.

    Args:
        results: the cells.
        options: what is asked.
        warn: told of cells that are left out.

    Raises:
        UsageError: a name is unknown, or there are fewer than two recipes.
    """
    options = options or SignalOptions()
    if options.last < 1:
        raise UsageError(f"--last {options.last} leaves no checkpoint; give 1 or more")
    runs = training_runs(results, options.policy, names=options.runs, warn=warn)
    if len({recipe_of(run.name) for run in runs}) < 2:
        raise UsageError(
            f"signal is between runs, and here is only {recipe_of(runs[0].name)}; score the checkpoints of "
            "another beside it"
        )
    found_signals = []
    for subject in subjects(results, runs, options.corpora):
        signal = _signal(subject, runs, options)
        if signal is None:
            warn(f"{subject.label}: fewer than two recipes were scored on it")
        else:
            found_signals.append(signal)
    if not found_signals:
        raise UsageError("no corpus has the checkpoints of two recipes")
    return found_signals


def recipe_of(run: str) -> str:
    """A run's name without its seed: ``mix-a-seed0`` and ``mix-a-seed1`` are one recipe."""
    return _SEED_OF_A_NAME.sub("", run) or run


class _FinalRun(NamedTuple):
    """The end of a run."""

    recipe: str
    samples: Array
    """``[1 + R]``: the mean of its final checkpoints."""
    num_checkpoints: int
    variance: float | None
    """Of its final checkpoints around a straight line."""


class _Recipes(NamedTuple):
    """The recipes on a corpus."""

    names: list[str]
    samples: Array
    """``[K, 1 + R]``, by documents alone."""
    training_variances: NDArray[np.float64]
    """``[K]``, of the level by training."""
    degrees: int | None
    """Of freedom, of what the variances were taken from; None: there was nothing."""


def _signal(subject: Subject, runs: Sequence[TrainingRun], options: SignalOptions) -> CorpusSignal | None:
    ends = [end for run in runs if (end := _final_run(subject, run, options.last)) is not None]
    by_recipe: dict[str, list[_FinalRun]] = {}
    for end in ends:
        by_recipe.setdefault(end.recipe, []).append(end)
    if len(by_recipe) < 2:
        return None
    variances = [end.variance for end in ends if end.variance is not None]
    noise = math.sqrt(math.fsum(variances) / len(variances)) if variances else None
    seed_noise = _seed_noise(by_recipe)
    recipes = _recipes(by_recipe, noise, seed_noise)
    num_clusters = fewest_clusters(subject.sums)
    signal = float(np.ptp(recipes.samples[:, 0]))
    divisor = noise if seed_noise is None else seed_noise
    errors = _document_errors(recipes.samples, num_clusters)
    order = np.argsort(recipes.samples[:, 0], kind="stable").tolist()
    trained = _with_training(recipes)
    levels = estimates(trained, num_clusters)
    has_errors = recipes.samples.shape[1] > 1
    ranks = [RankInterval(1, len(order))] * len(order)  # any, where nothing is known of errors
    if has_errors:
        ranks = rank_intervals(recipes.samples[:, 0], _errors(recipes, num_clusters), num_clusters)
    detectable_pairs = [
        _detectable(recipes, errors, pair, num_clusters)
        for pair in itertools.combinations(range(len(order)), 2)
    ]
    middle = errors[np.triu_indices(len(order), 1)]
    return CorpusSignal(
        corpus=subject.label,
        num_documents=subject.num_documents,
        num_clusters=num_clusters,
        noise=noise,
        seed_noise=seed_noise,
        signal=signal,
        ratio=signal / divisor if divisor else None,
        detectable_by_documents=_factor(num_clusters) * float(np.median(middle)) if has_errors else None,
        detectable=float(np.median(detectable_pairs)) if has_errors else None,
        recipes=tuple(
            RecipeLevel(
                recipes.names[i],
                len(by_recipe[recipes.names[i]]),
                sum(end.num_checkpoints for end in by_recipe[recipes.names[i]]),
                levels[i],
                ranks[i],
            )
            for i in order
        ),
        pairs=tuple(
            _pair(recipes, trained, errors, (first, second), subject.num_documents, num_clusters)
            for first, second in itertools.pairwise(order)
            if has_errors
        ),
    )


def _final_run(subject: Subject, run: TrainingRun, last: int) -> _FinalRun | None:
    checkpoints = scored_checkpoints(run, subject)[-last:]
    if not checkpoints:
        return None
    samples = level_samples(HEADLINE, subject.sums, [checkpoint.configuration for checkpoint in checkpoints])
    variance = None
    if len(checkpoints) >= 3:
        steps = np.array([checkpoint.step for checkpoint in checkpoints], np.float64)
        line = np.polyfit(steps - steps.mean(), samples[:, 0], 1)
        residuals = samples[:, 0] - np.polyval(line, steps - steps.mean())
        variance = float((residuals**2).sum() / (len(checkpoints) - 2))
    return _FinalRun(recipe_of(run.name), samples.mean(axis=0), len(checkpoints), variance)


def _seed_noise(by_recipe: dict[str, list[_FinalRun]]) -> float | None:
    groups = [[float(end.samples[0]) for end in ends] for ends in by_recipe.values() if len(ends) > 1]
    if not groups:
        return None
    squares = math.fsum((level - np.mean(levels)) ** 2 for levels in groups for level in levels)
    return math.sqrt(squares / sum(len(levels) - 1 for levels in groups))


def _recipes(
    by_recipe: dict[str, list[_FinalRun]], noise: float | None, seed_noise: float | None
) -> _Recipes:
    names = sorted(by_recipe)
    samples = np.stack([np.mean([end.samples for end in by_recipe[name]], axis=0) for name in names])
    if seed_noise is not None:
        variances = np.array([seed_noise**2 / len(by_recipe[name]) for name in names])
        degrees = sum(len(ends) - 1 for ends in by_recipe.values())
    elif noise is not None:
        ends = [by_recipe[name][0] for name in names]
        variances = np.array([noise**2 / end.num_checkpoints for end in ends])
        degrees = sum(end.num_checkpoints - 2 for end in ends if end.variance is not None)
    else:
        return _Recipes(names, samples, np.zeros(len(names)), None)
    return _Recipes(names, samples, variances, degrees)


def _with_training(recipes: _Recipes) -> Array:
    """The levels with resamples that vary as documents and trainings do, ``[K, 1 + R]``."""
    trained = recipes.samples.copy()
    if recipes.degrees is None or trained.shape[1] == 1:
        return trained
    rng = np.random.default_rng([SEED, _STREAM])
    # One estimate of the noise serves all recipes: its error is common to them.
    num_draws = trained.shape[1] - 1
    widening = np.sqrt(recipes.degrees / rng.chisquare(recipes.degrees, num_draws))
    draws = rng.standard_normal((len(trained), num_draws)) * widening
    trained[:, 1:] += np.sqrt(recipes.training_variances)[:, None] * draws
    return trained


def _errors(recipes: _Recipes, num_clusters: int) -> Array:
    """Draws of what the levels may be off by, ``[K, R]``, by documents and by training.

    Both as wide as `document_deviations` says.
    """
    errors = document_deviations(recipes.samples, num_clusters)
    if recipes.degrees is not None:
        rng = np.random.default_rng([SEED, _STREAM])
        spread = np.sqrt(recipes.training_variances) * student_reach(recipes.degrees)
        errors = errors + spread[:, None] * rng.standard_normal(errors.shape)
    return np.asarray(errors)


def _document_errors(samples: Array, num_clusters: int) -> NDArray[np.float64]:
    """Standard errors of all paired differences by documents, ``[K, K]``."""
    if samples.shape[1] == 1:
        return np.zeros((len(samples), len(samples)))
    covariance = np.cov(samples[:, 1:]) * num_clusters / (num_clusters - 1)
    variances = np.diag(covariance)
    return np.asarray(np.sqrt(np.maximum(variances[:, None] + variances[None] - 2 * covariance, 0.0)))


def _factor(num_clusters: int) -> float:
    """By which a standard error is multiplied to make the minimum detectable effect."""
    from scipy.special import stdtrit

    size = max(1, num_clusters - 1)
    return float(stdtrit(size, (1 + CONFIDENCE) / 2) + stdtrit(size, POWER))


def _detectable(
    recipes: _Recipes, errors: NDArray[np.float64], pair: tuple[int, int], num_clusters: int
) -> float:
    """The minimum detectable effect of two recipes, by documents and by training."""
    variance = errors[pair] ** 2 + recipes.training_variances[list(pair)].sum()
    return _factor(num_clusters) * math.sqrt(variance)


def _pair(
    recipes: _Recipes,
    trained: Array,
    errors: NDArray[np.float64],
    pair: tuple[int, int],
    num_documents: int,
    num_clusters: int,
) -> RecipePair:
    first, second = pair
    [difference] = estimates((trained[first] - trained[second])[None], num_clusters)
    needed: int | None = None
    margin = (difference.value / _factor(num_clusters)) ** 2 - recipes.training_variances[list(pair)].sum()
    if margin > 0:
        needed = max(0, math.ceil(num_documents * (errors[pair] ** 2 / margin - 1)))
    detectable = _detectable(recipes, errors, pair, num_clusters)
    return RecipePair(recipes.names[first], recipes.names[second], difference, detectable, needed)
