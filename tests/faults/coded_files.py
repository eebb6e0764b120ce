"""Readers of files that a model's numbers are in: what was compressed, and fingerprints."""

import dataclasses
import functools
import hashlib
import json
import struct
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.damage import Choices, Files, damaged_bytes, damaged_json
from tests.support.toys import DistributionBigram

_START = 12
"""Bytes before the header of a compressed file; the last four say how long it is."""
_DIGEST_BYTES = 16


class ByteBigram(DistributionBigram):
    """A bigram model that says what its tokens stand for."""

    def decode(self, ids: Sequence[int]) -> bytes:
        return bytes(ids)


@functools.cache
def compressed() -> Files:
    from evalkit.coding.compression import compress_bytes

    data = b"A text that has tokens, and bytes that have none.\xff\xfe\xfd\xfc" * 2
    return {"x.ek": compress_bytes(data, ByteBigram()).content}


def damaged_compressed(files: dict[str, bytes], choices: Choices) -> dict[str, bytes]:
    """Its header or its sections changed, with its digest right again, or its bytes."""
    [(name, data)] = files.items()
    content = data[:-_DIGEST_BYTES]
    end = _START + struct.unpack("<I", content[_START - 4 : _START])[0]
    header, sections = zlib.decompress(content[_START:end]), content[end:]
    way = choices.number(0, 3)
    if way == 3:
        return {name: damaged_bytes(data, choices)}
    if way > 0:
        header = damaged_json(header, choices)
    else:
        sections = damaged_bytes(sections, choices)
    packed = zlib.compress(header)
    content = content[: _START - 4] + struct.pack("<I", len(packed)) + packed + sections
    return {name: content + hashlib.sha256(content).digest()[:_DIGEST_BYTES]}


def read_compressed(folder: Path) -> None:
    from evalkit.coding.compression import decompress_bytes
    from evalkit.coding.container import read_container

    path = folder / "x.ek"
    decompress_bytes(read_container(path.read_bytes(), str(path)), ByteBigram(), str(path))


@functools.cache
def _fingerprint() -> Any:
    from evalkit.audit.fingerprint import read_fingerprint

    whole = read_fingerprint("llama-nano")
    return dataclasses.replace(whole, sections=whole.sections[9:], faults=whole.faults[:2])


@functools.cache
def fingerprint() -> Files:
    from evalkit.audit.fingerprint import write_fingerprint

    with tempfile.TemporaryDirectory() as folder:
        write_fingerprint(_fingerprint(), Path(folder) / "x.json")
        content = json.loads((Path(folder) / "x.json").read_text())
    return {"x.json": json.dumps(content).encode()}


def read_fingerprint_of(folder: Path) -> None:
    from evalkit.audit.diagnosis import diagnose, diagnosis_lines
    from evalkit.audit.fingerprint import read_fingerprint
    from evalkit.files import strict_json

    diagnosis = diagnose(_fingerprint(), read_fingerprint(str(folder / "x.json")))
    strict_json(diagnosis.to_json())
    diagnosis_lines(diagnosis)
