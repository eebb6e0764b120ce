"""Planted faults: ``python -m tests.planted`` audits every faulty port and every good load, for some minutes.

Says what was caught and how it was named; exits with 1 where a fault was missed or misnamed, or a good load
suspected. ``--write`` puts the tables into docs/audit.md.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from evalkit.audit.auditing import audit_model
from evalkit.audit.diagnosis import diagnose
from evalkit.audit.fingerprint import fingerprint_of, read_fingerprint
from tests.faults.tables import write
from tests.planted.good import good_loads
from tests.planted.ports import (
    FAULTS,
    RWKV7_FAULTS,
    Logits,
    Port,
    rwkv7_logits,
    transformers_logits,
    vocabulary_of,
)

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"


class Caught(NamedTuple):
    """What came of a planted fault."""

    fault: str
    port: str
    expected: str
    failed_checks: str
    named: str
    seconds: float


class Suspected(NamedTuple):
    """What came of a good load."""

    name: str
    failed_checks: str
    verdict: str
    is_right: bool


def plant() -> Iterator[Caught]:
    """Every fault of adapters in both kinds of models, every fault of RWKV-7 in it."""
    subjects: list[tuple[str, Logits, str, str, str | None, int | None]] = []
    honest = {"rwkv7-nano": rwkv7_logits(), "llama-nano": transformers_logits()}
    limits = {"rwkv7-nano": None, "llama-nano": 2048}
    for fault, name in FAULTS.items():
        subjects += [(fault, logits, of, name, fault, limits[of]) for of, logits in honest.items()]
    for fault, name in RWKV7_FAULTS.items():
        subjects.append((fault, rwkv7_logits(fault), "rwkv7-nano", name, None, None))
    for fault, logits, of, name, port_fault, limit in subjects:
        started_s = time.perf_counter()
        port = Port(logits, f"port of {of}", port_fault, limit, vocabulary_of(of))
        audit = audit_model(port, extent="short")
        diagnosis = diagnose(fingerprint_of(port, compared=()), read_fingerprint(of), audit)
        checks = ", ".join(check.name for check in audit.failures)
        yield Caught(fault, of, name, checks, str(diagnosis.fault), time.perf_counter() - started_s)


def suspect(*, is_thorough: bool) -> Iterator[Suspected]:
    """Every good load, audited shortly or in full."""
    for load in good_loads():
        with tempfile.TemporaryDirectory(prefix="evalkit-planted-") as folder:
            model = load.load(Path(folder))
            audit = audit_model(model, extent="standard" if is_thorough else "short")
            verdict, is_right = "no fingerprint", audit.passed
            if load.fingerprint is not None:
                diagnosis = diagnose(fingerprint_of(model), read_fingerprint(load.fingerprint), audit)
                expected = "the same but for rounding" if load.is_rounded else "the same"
                verdict, is_right = diagnosis.verdict, audit.passed and diagnosis.verdict == expected
        yield Suspected(load.name, ", ".join(check.name for check in audit.failures), verdict, is_right)


def main() -> int:
    """Run all; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/audit.md")
    parser.add_argument("--thorough", action="store_true", help="audit the good loads in full")
    options = parser.parse_args()
    torch.set_num_threads(1)
    caught, suspected = [], []
    for row in plant():
        caught.append(row)
        _say(f"{row.fault} in {row.port}: {row.named} ({row.seconds:.0f} s); {row.failed_checks or '-'}")
    for load in suspect(is_thorough=options.thorough):
        suspected.append(load)
        _say(f"{load.name}: {load.verdict}; failed: {load.failed_checks or '-'}")
    if options.write:
        write("planted faults", fault_table(caught), PAGE, by="tests.planted")
        write("good loads", load_table(suspected), PAGE, by="tests.planted")
    missed = [row for row in caught if row.named != row.expected]
    alarms = [load for load in suspected if not load.is_right]
    _say(f"{len(caught) - len(missed)} of {len(caught)} named, {len(alarms)} of {len(suspected)} suspected")
    return 1 if missed or alarms else 0


def fault_table(rows: list[Caught]) -> str:
    """The faults by row, as Markdown."""
    lines = [
        "| planted fault | in a port of | named | checks that fail in the port itself |",
        "|---|---|---|---|",
    ]
    lines += [f"| {row.fault} | {row.port} | {row.named} | {row.failed_checks or '–'} |" for row in rows]
    return "\n".join(lines) + "\n"


def load_table(rows: list[Suspected]) -> str:
    """The good loads by row, as Markdown."""
    lines = ["| load | checks that fail | against its fingerprint |", "|---|---|---|"]
    lines += [f"| {row.name} | {row.failed_checks or '–'} | {row.verdict} |" for row in rows]
    return "\n".join(lines) + "\n"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
