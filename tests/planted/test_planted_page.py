"""The tables of planted faults on their page: every fault is caught and named, no good load suspected."""

from tests.faults.tables import read
from tests.planted.__main__ import PAGE
from tests.planted.ports import FAULTS, RWKV7_FAULTS


def test_every_planted_fault_is_on_the_page_and_named() -> None:
    rows = read("planted faults", PAGE, by="tests.planted")
    named = {(row["planted fault"], row["in a port of"]): row["named"] for row in rows}
    of_adapters = {(fault, of): name for fault, name in FAULTS.items() for of in ("rwkv7-nano", "llama-nano")}
    assert named == of_adapters | {(fault, "rwkv7-nano"): name for fault, name in RWKV7_FAULTS.items()}


def test_no_good_load_is_suspected() -> None:
    rows = read("good loads", PAGE, by="tests.planted")
    assert len(rows) >= 14
    assert {row["checks that fail"] for row in rows} == {"–"}
    verdicts = {row["against its fingerprint"] for row in rows}
    assert verdicts == {"the same", "the same but for rounding", "no fingerprint"}
