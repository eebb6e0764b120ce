"""Faults on purpose: ``python -m tests.faults attacks`` and ``python -m tests.faults readers``.

Says what was tried and what came of it; exits with 1 if something was found. ``--write`` puts the tables into
the documentation.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults import fuzzing, hub, tables, victims, workloads
from tests.faults.attacks import Laboratory, Tally, tallies
from tests.faults.fuzzing import Fuzzed
from tests.faults.readers import READER, READERS


@contextlib.contextmanager
def laboratory() -> Iterator[Laboratory]:
    """Where attacks are made: folders, a hub, and a process that forks commands."""
    checkpoint = {Path(name).name: data for name, data in READER["tokenizer and config"].files().items()}
    with tempfile.TemporaryDirectory(prefix="evalkit-faults-") as name, hub.serve(checkpoint) as server:
        folder = Path(name)
        (folder / "work").mkdir()
        variables = workloads.environment(folder / "plugin", folder / "cache", server.url)
        with victims.running(variables) as running:
            yield Laboratory(running, server, folder / "work")


def attack(share: float, log: Path | None) -> list[Tally]:
    """Every attack on every command; says what it does.

    Args:
        share: of the tries of the long form.
        log: a file of what was done, a line each; what stands in it is not done again.
    """
    lines = log.read_text().splitlines() if log and log.exists() else []
    done = [Tally(**json.loads(line)) for line in lines]
    finished = {(tally.attack, tally.workload) for tally in done}
    with laboratory() as place:
        for tally in tallies(place, share=share, finished=finished):
            done.append(tally)
            if log:
                with log.open("a") as file:
                    file.write(json.dumps(tally._asdict()) + "\n")
            _say(f"{tally.attack} on {tally.workload}: {tally.num_tries} tries, {tally.num_struck} felt")
            for line in dict.fromkeys(tally.findings):
                _say(f"  FOUND {line}")
    return done


def fuzz(num_examples: int, seconds: int, names: list[str], log: Path | None) -> list[tables.ReaderRow]:
    """Every reader under both fuzzers; says what it does.

    Args:
        num_examples: of hypothesis's, for each reader.
        seconds: of the coverage-guided fuzzer, for each reader.
        names: of the readers; all if none.
        log: a file of what was done, a line for each reader, the last of a reader's counting; what stands in
            it is not done again unless it is named.

    Returns:
        What was done now and what stands in the log, in the order of the readers.
    """
    rows = {row.reader: row for row in _logged(log)}
    chosen = [reader for reader in READERS if reader.name in names or (not names and reader.name not in rows)]
    for reader in chosen:
        with tempfile.TemporaryDirectory(prefix="evalkit-fuzz-") as folder:
            by_hypothesis = fuzzing.with_hypothesis(reader, Path(folder), num_examples)
        by_coverage = fuzzing.with_coverage(reader, seconds=seconds)
        row = tables.ReaderRow(reader.name, by_hypothesis, by_coverage, seconds)
        rows[reader.name] = row
        if log:
            with log.open("a") as file:
                file.write(json.dumps(row) + "\n")
        _say(f"{reader.name}: {row.by_hypothesis.num_tries} and {row.by_coverage.num_tries} tries")
        for line in row.findings:
            _say(f"  FOUND {line}")
    return [rows[reader.name] for reader in READERS if reader.name in rows]


def _logged(log: Path | None) -> Iterator[tables.ReaderRow]:
    for line in log.read_text().splitlines() if log and log.exists() else []:
        name, *fuzzed, seconds = json.loads(line)
        by_hypothesis, by_coverage = (Fuzzed(num_tries, tuple(lines)) for num_tries, lines in fuzzed)
        yield tables.ReaderRow(name, by_hypothesis, by_coverage, seconds)


def _say(text: str) -> None:
    print(text, flush=True)


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("what", choices=["attacks", "readers"])
    parser.add_argument("names", nargs="*", help="of readers; all that are not in the log if none")
    parser.add_argument("--share", type=float, default=1.0, help="of the tries of the long form")
    parser.add_argument("--examples", type=int, default=2000, help="files of hypothesis's for each reader")
    parser.add_argument("--seconds", type=int, default=600, help="of the coverage-guided fuzzer for each")
    parser.add_argument("--log", type=Path, help="what was done, to go on from where it was stopped")
    parser.add_argument("--write", action="store_true", help="the tables into docs/security.md")
    arguments = parser.parse_args()
    if arguments.what == "attacks":
        done = attack(arguments.share, arguments.log)
        table, found = tables.attack_tables(done), any(tally.findings for tally in done)
    else:
        rows = fuzz(arguments.examples, arguments.seconds, arguments.names, arguments.log)
        table, found = tables.reader_table(rows), any(row.findings for row in rows)
    _say(table)
    if arguments.write:
        tables.write(arguments.what, table)
    return int(found)


if __name__ == "__main__":
    sys.exit(_main())
