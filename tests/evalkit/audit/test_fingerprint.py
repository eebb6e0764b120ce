"""Fingerprints: the shipped ones are those of the models, and a port's fault is named by its costs."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from evalkit.audit.auditing import audit_model
from evalkit.audit.diagnosis import diagnose, diagnosis_lines
from evalkit.audit.export import export_fingerprint
from evalkit.audit.fingerprint import (
    Fingerprint,
    Probe,
    fingerprint_of,
    read_fingerprint,
    shipped_names,
    write_fingerprint,
)
from evalkit.audit.result import FAULTS
from evalkit.audit.rwkv7_faults import DEPARTURES, hidden_with
from evalkit.audit.subject import Nats
from evalkit.errors import ModelError, UsageError
from evalkit.models.catalog import EMBEDDED_MODELS
from evalkit.models.loading import load_model
from evalkit.models.protocol import TokenModel
from evalkit.models.rwkv7.model import RWKV7Model
from tests.planted.ports import NANO, RWKV7_FAULTS, Port, counted_logits, rwkv7_logits, vocabulary_of
from tests.planted.rwkv7 import Rwkv7Port, tensors_of
from tests.support.rwkv7_files import TINY
from tests.support.toys import run_cli


def costing(fingerprint: Fingerprint, nats: Nats, **model: object) -> Fingerprint:
    """What a port would give that costs this on the probe, and reads and cuts as it should."""
    probe = Probe(ids=fingerprint.probe.ids, nats=tuple(nats.tolist()))
    return dataclasses.replace(
        fingerprint, probe=probe, model=dataclasses.replace(fingerprint.model, **model), faults=()
    )


def probe_nats(model: TokenModel, fingerprint: Fingerprint) -> Nats:
    return np.asarray(model.nats([fingerprint.probe.ids])[0], np.float64)


@pytest.mark.parametrize(
    ("name", "spec"),
    [*((name, name) for name in EMBEDDED_MODELS), ("rwkv7-tiny", f"rwkv7:{TINY}")],
)
def test_shipped_fingerprints_are_those_of_the_models(name: str, spec: str) -> None:
    fingerprint, model = read_fingerprint(name), load_model(spec)
    assert isinstance(model, TokenModel)
    assert fingerprint.model.weights_sha256 == model.identity.weights_sha256
    assert fingerprint.model.prefix_ids == model.prefix
    assert np.abs(probe_nats(model, fingerprint) - fingerprint.probe.nats).max() < 1e-4
    assert all(outcome != "failed" for outcome in fingerprint.audit.values())


def test_shipped_files_are_small_and_their_costs_add_up() -> None:
    assert {"rwkv7-nano", "llama-nano", "rwkv7-tiny"} <= set(shipped_names())
    for name in shipped_names():
        fingerprint = read_fingerprint(name)
        for section in fingerprint.sections:
            assert section.costs().sum() == pytest.approx(section.total_nats, rel=1e-4)
        first = fingerprint.sections[0].costs()[: len(fingerprint.probe.nats)]
        assert np.abs(first - fingerprint.probe.nats).max() < 1e-3
        assert {fault.fault for fault in fingerprint.faults} <= FAULTS.keys()
    folder = NANO.parent / "audit" / "fingerprints"
    assert max(path.stat().st_size for path in folder.iterdir()) <= 200_000


def test_without_a_departure_the_equations_are_the_networks() -> None:
    model = load_model("rwkv7-nano")
    assert isinstance(model, RWKV7Model)
    text = "def add(first, second):\n    return first + second\n"
    ids = torch.tensor([*model.prefix, *model.encode(text).ids])
    with torch.inference_mode():
        expected, _ = model.network(ids[None])
        hidden = hidden_with(model.network, ids)
        assert (hidden - expected[0]).abs().max() < 1e-3 * expected.abs().max()
        moved = [(hidden_with(model.network, ids, of) - hidden).abs().max() for of in DEPARTURES]
    assert min(moved) > 1e-5  # each does something


@pytest.mark.parametrize("fault", [None, *RWKV7_FAULTS])
def test_faults_of_rwkv7_are_named_by_what_the_probe_costs(fault: str | None) -> None:
    fingerprint = read_fingerprint("rwkv7-nano")
    port = Port(rwkv7_logits(fault), "port", tokenizer=vocabulary_of("rwkv7-nano"))
    measured = costing(fingerprint, probe_nats(port, fingerprint))
    diagnosis = diagnose(measured, fingerprint)
    assert diagnosis.fault == (None if fault is None else RWKV7_FAULTS[fault])
    assert diagnosis.passed == (fault is None)


def test_faults_are_named_where_they_hardly_show() -> None:
    """The official test model is near its initialisation: a missing residual moves a token by 0.08 nats."""
    fingerprint = read_fingerprint("rwkv7-tiny")
    port = Port(Rwkv7Port(tensors_of(TINY), "missing value residual").logits, "port")
    port.prefix = ()
    diagnosis = diagnose(costing(fingerprint, probe_nats(port, fingerprint)), fingerprint)
    assert diagnosis.fault == "missing value residual"
    assert 1e-3 < diagnosis.mean_difference_nats < 0.02


def test_rounding_is_told_from_faults() -> None:
    fingerprint = read_fingerprint("llama-nano")
    expected = np.array(fingerprint.probe.nats)
    noise = np.random.default_rng(0).standard_normal(len(expected))
    tiny = diagnose(costing(fingerprint, expected + 1e-5 * noise), fingerprint)
    assert (tiny.verdict, tiny.rounding, tiny.passed) == ("the same", "float32", True)
    coarse = diagnose(costing(fingerprint, expected + 0.03 * noise, dtype="bfloat16"), fingerprint)
    assert (coarse.verdict, coarse.rounding) == ("the same", "bfloat16")
    rounded = diagnose(costing(fingerprint, expected + 0.03 * noise), fingerprint)
    assert (rounded.verdict, rounded.passed) == ("the same but for rounding", True)
    short = Probe(ids=fingerprint.probe.ids[:90], nats=tuple(expected[:90]))  # of a context of 100 tokens
    first = diagnose(dataclasses.replace(fingerprint, probe=short, curve=fingerprint.curve[1:]), fingerprint)
    assert (first.verdict, first.max_difference_nats, first.passed) == ("the same", 0, True)
    assert first.curve == tuple((point.first, 0) for point in fingerprint.curve[1:])
    foreign = diagnose(costing(fingerprint, expected + 1 + np.abs(noise)), fingerprint)
    assert (foreign.verdict, foreign.fault) == ("another", "other weights")


def test_patterns_name_what_no_known_fault_explains() -> None:
    fingerprint = read_fingerprint("llama-nano")
    expected = np.array(fingerprint.probe.nats)
    late = np.arange(len(expected)) >= 128

    def fault(nats: Nats, **model: object) -> str | None:
        return diagnose(costing(fingerprint, nats, **model), fingerprint).fault

    assert fault(expected - np.log(1.02)) == "scaled distribution"
    assert fault(expected + 9) == "scaled distribution"
    assert fault(expected + late * 0.8 * expected) == "context is lost"
    assert fault(expected + (np.arange(len(expected)) < 6) * 20 * expected) == "another prefix"
    assert fault(expected + 5 * expected) == "vocabulary order"
    assert fault(expected, prefix_ids=(2047, 2047)) == "prefix doubled"
    assert fault(expected, prefix_ids=()) == "prefix missing"
    assert fault(expected, prefix_ids=(10,)) == "another prefix"


def test_other_tokens_are_told_before_costs() -> None:
    fingerprint = read_fingerprint("llama-nano")
    first, *others = fingerprint.sections

    def fault(**changes: object) -> str | None:
        section = dataclasses.replace(first, ids_sha256="0" * 64, **changes)
        return diagnose(dataclasses.replace(fingerprint, sections=(section, *others)), fingerprint).fault

    assert fault() == "vocabulary order"
    assert fault(num_tokens=first.num_tokens - 1) == "another tokenizer"
    missing = diagnose(dataclasses.replace(fingerprint, sections=tuple(others)), fingerprint)
    assert missing.fault == "another tokenizer" and "latin" in missing.reason


def test_a_model_that_passes_gets_a_fingerprint_and_its_export(tmp_path: Path) -> None:
    model = Port(counted_logits(), "port")
    fingerprint = fingerprint_of(model, audit_model(model, extent="short"))
    write_fingerprint(fingerprint, tmp_path / "port.json")
    assert read_fingerprint(str(tmp_path / "port.json")) == fingerprint
    faulty = Port(counted_logits(), "port", "un-normalised softcap")
    named = diagnose(fingerprint_of(faulty), fingerprint, audit_model(faulty, extent="short"))
    assert named.fault == "logits changed after normalisation"
    assert "likely fault: logits changed after normalisation" in diagnosis_lines(named)[1]
    with pytest.raises(ModelError, match=r"failed its audit \(logits changed"):
        fingerprint_of(faulty, audit_model(faulty, extent="short"))
    export_fingerprint(model, fingerprint, tmp_path / "export")
    section = json.loads((tmp_path / "export" / "expected" / "greek.json").read_text())
    text = (tmp_path / "export" / "texts" / "greek.txt").read_bytes()
    assert bytes(section["ids"]) == text
    assert sum(section["nats"]) == pytest.approx(section["total_nats"], rel=1e-4)
    with pytest.raises(UsageError, match="no empty folder"):
        export_fingerprint(model, fingerprint, tmp_path / "export")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is no fingerprint"),
        ("[]", 'has no "kind"'),
        ('{"kind": "evalkit fingerprint"}', "is missing"),
        (None, "no file that can be read"),
    ],
)
def test_what_is_no_fingerprint_is_refused_in_a_line(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    path = tmp_path / "file.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=reason):
        read_fingerprint(str(path))


def test_lists_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    fingerprint = read_fingerprint("llama-nano")
    probe = dataclasses.replace(fingerprint.probe, nats=fingerprint.probe.nats[1:])
    new_fault = dataclasses.replace(fingerprint.faults[0], fault="a new one")
    other_text = dataclasses.replace(fingerprint, text_sha256="0" * 64)
    section = dataclasses.replace(fingerprint.sections[0], num_tokens=5)
    for damaged, reason in (
        (dataclasses.replace(fingerprint, probe=probe), "256 ids and 255 costs"),
        (other_text, "other texts"),
        (dataclasses.replace(fingerprint, tolerances={"float32": 0.1}), "its tolerances lack 4-bit, 8-bit"),
        (dataclasses.replace(fingerprint, faults=(new_fault,)), "does not know: a new one"),
        (
            dataclasses.replace(fingerprint, tolerances=fingerprint.tolerances | {"8-bit": -1.0}),
            "its tolerance of 8-bit is -1, not 0 or more",
        ),
        (dataclasses.replace(fingerprint, sections=()), "it has the costs of no section"),
        (
            dataclasses.replace(fingerprint, probe=Probe(ids=(), nats=()), faults=()),
            "its probe has no tokens",
        ),
        (dataclasses.replace(fingerprint, sections=(section,)), "section latin has 5 tokens"),
    ):
        write_fingerprint(damaged, tmp_path / "damaged.json")
        with pytest.raises(UsageError, match=reason):
            read_fingerprint(str(tmp_path / "damaged.json"))


def test_the_command_refuses_what_it_cannot_do_together() -> None:
    outcome = run_cli("audit", "rwkv7-nano", "--against", "rwkv7-nano", "--long")
    assert outcome.exit_code == 2 and "--against goes without" in outcome.stderr
    outcome = run_cli("audit", "rwkv7-nano", "--against", "nothing.json")
    assert outcome.exit_code == 2 and "rwkv7-nano" in outcome.stderr
