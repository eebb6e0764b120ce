"""Cutoffs and leaks that are known: ``python -m tests.cutoffs`` looks for them, some minutes of one core.

Simulated months and documents, small models trained until a known day, and leaks planted among documents and
in distributions. Exits with 1 where what docs/cutoffs.md promises does not hold.
``--write`` puts the tables there.
"""

import argparse
import datetime as dt
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from evalkit.analysis.effective_cutoff import EffectiveCutoff, effective_cutoff
from evalkit.analysis.results import read_results
from tests.cutoffs.leaked import LeakOutcome, plant_in_distributions
from tests.cutoffs.planted import PLANTED, RATE, PlantedOutcome, plant
from tests.cutoffs.simulated import WORLDS, Outcome, simulate
from tests.cutoffs.trained import NUM_MONTHS, NUM_TRAINED, Wire, score, scored_corpora, train
from tests.faults.tables import write

PAGE = Path(__file__).parents[2] / "docs" / "cutoffs.md"
TRAINED_UNTIL = ("2023-08-31", "2024-01-15", "2024-06-30")
WIRES = (1, 2, 3, 4)
"""Seeds of the made-up worlds; a model is trained on each until each of the days."""
AIM_DAYS = 31
"""Of the trained models: how far off the day was to be, as set before any was trained."""
NUM_LEAK_DRAWS = 5
MAX_FALSE_SHARE = 0.002
"""Of the documents that were not read, those that a test may flag."""
COVERAGE = (0.90, 0.97)
"""What 95 % intervals were to hold of 200 draws, as set before any was drawn."""


PARTS = ("simulated", "trained", "planted", "leaked")
T = TypeVar("T")


class Trained(NamedTuple):
    """What came of a model that has read until a known day."""

    wire: int
    """Seed of the world."""
    until: dt.date
    cutoff: EffectiveCutoff

    @property
    def error_days(self) -> int | None:
        """None where nothing was found."""
        return None if self.cutoff.day is None else (self.cutoff.day - self.until).days

    @property
    def is_within_aim(self) -> bool:
        """Whether the day is as near as was to be."""
        return self.error_days is not None and abs(self.error_days) <= AIM_DAYS

    @property
    def is_held(self) -> bool:
        """Whether the interval holds the day; one that is open at an end goes on there."""
        low, high = self.cutoff.low or dt.date.min, self.cutoff.high or dt.date.max
        return self.error_days is not None and low <= self.until <= high


def main() -> int:
    """Run all, or what is named; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.cutoffs", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=(*PARTS, []), default=[])
    parser.add_argument("--write", action="store_true", help="put the tables into docs/cutoffs.md")
    parser.add_argument("--draws", type=int, default=200, help="of each simulated world")
    options = parser.parse_args()
    parts = options.parts or PARTS
    is_right = True
    if "simulated" in parts:
        outcomes = [_said(simulate(name, options.draws)) for name in WORLDS]
        is_right &= all(map(_is_covered, outcomes))
        if options.write:
            write("simulated cutoffs", simulated_table(outcomes), PAGE, by="tests.cutoffs")
    if "trained" in parts:
        trained = [row for wire in WIRES for row in train_and_look(wire)]
        is_right &= all(row.is_within_aim for row in trained)
        if options.write:
            write("trained models", trained_table(trained), PAGE, by="tests.cutoffs")
    if "planted" in parts:
        planted = [_said(plant(name, options.draws)) for name in PLANTED]
        is_right &= all(row.false_share - 2 * row.false_share_error <= RATE for row in planted)
        if options.write:
            write("planted leaks", planted_table(planted), PAGE, by="tests.cutoffs")
    if "leaked" in parts:
        leaked = [_said(row) for row in plant_in_distributions(NUM_LEAK_DRAWS)]
        is_right &= all(row.num_false <= MAX_FALSE_SHARE * row.num_documents for row in leaked)
        if options.write:
            write("leaks in distributions", leaked_table(leaked), PAGE, by="tests.cutoffs")
    return 0 if is_right else 1


def _is_covered(outcome: Outcome) -> bool:
    """Whether intervals hold what they say, and without a cutoff few are found."""
    if not WORLDS[outcome.world].has_cutoff:
        return outcome.num_found <= 0.09 * outcome.num_draws
    return COVERAGE[0] <= outcome.coverage <= COVERAGE[1] and outcome.median_error_months <= 1


def train_and_look(seed: int) -> list[Trained]:
    """Train a model until each of the days, score all months, and look for the days."""
    wire = Wire(seed)
    documents = [document for month in range(NUM_MONTHS) for document in wire.month(month, NUM_TRAINED)]
    corpora = scored_corpora(wire)
    days = [dt.date.fromisoformat(day) for day in TRAINED_UNTIL]
    models = [train(documents, day) for day in days]
    with tempfile.TemporaryDirectory(prefix="evalkit-cutoffs-") as folder:
        score(Path(folder), [*models, "ppmd", "brotli"], corpora)
        results = read_results(Path(folder), warn=_say)
        found_cutoffs = [
            effective_cutoff(results, model.identity.name, panel=["ppmd", "brotli"], catalog={})
            for model in models
        ]
    return [Trained(seed, day, cutoff) for day, cutoff in zip(days, found_cutoffs, strict=True)]


def simulated_table(outcomes: Sequence[Outcome]) -> str:
    """The worlds by row, as Markdown."""
    lines = [
        "| months and documents | found | median error, months | within a month | held by the 95 % interval "
        "| its median width, months |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row in outcomes:
        share = f"{row.num_found} of {row.num_draws}"
        if not WORLDS[row.world].has_cutoff:
            lines.append(f"| {row.world} | {share} | – | – | – | – |")
            continue
        lines.append(
            f"| {row.world} | {share} | {row.median_error_months:.2f} | {100 * row.within_a_month:.0f} % | "
            f"{100 * row.coverage:.1f} % | {row.median_width_months:.1f} |"
        )
    return "\n".join(lines) + "\n"


def trained_table(rows: Sequence[Trained]) -> str:
    """The models by row, as Markdown."""
    lines = [
        "| world | trained until | effective cutoff | 95 % interval | holds it | error, days |",
        "|--:|---|---|---|---|--:|",
    ]
    for row in rows:
        low, high = row.cutoff.low or "open", row.cutoff.high or "open"
        is_held = "yes" if row.is_held else "no"
        lines.append(
            f"| {row.wire} | {row.until} | {row.cutoff.day or 'no bend found'} | {low} to {high} | "
            f"{is_held} | {row.error_days} |"
        )
    return "\n".join(lines) + "\n"


def planted_table(rows: Sequence[PlantedOutcome]) -> str:
    """The plantings by row, as Markdown."""
    lines = [
        "| documents and how models differ on them | leaked | found of them | false among the flagged "
        "| draws with a flag |",
        "|---|--:|--:|--:|--:|",
    ]
    for row in rows:
        power = "–" if row.found_share is None else f"{100 * row.found_share:.0f} %"
        false_share = f"{100 * row.false_share:.1f} %"
        draws = f"{100 * row.flagged_draws:.0f} %"
        lines.append(f"| {row.name} | {row.num_leaked} | {power} | {false_share} | {draws} |")
    return "\n".join(lines) + "\n"


def leaked_table(rows: Sequence[LeakOutcome]) -> str:
    """The tests by row, as Markdown."""
    lines = [
        "| added to the logits of what was read | tested | leaked | found of them | flagged of the others |",
        "|--:|---|--:|--:|--:|",
    ]
    for row in rows:
        num_others = row.num_documents - row.num_leaked
        found = row.num_found if row.num_leaked else "–"
        lines.append(
            f"| {row.strength:g} | {row.test} | {row.num_leaked} | {found} | "
            f"{row.num_false} of {num_others:,} |"
        )
    return "\n".join(lines) + "\n"


def _said(outcome: T) -> T:
    _say(repr(outcome))
    return outcome


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
