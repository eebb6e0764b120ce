"""`evalkit bench compress`: what it says of itself and of others, and the strings that it tries."""

from pathlib import Path

from evalkit.bench.compression import (
    CodecRow,
    CompressionBench,
    compression_lines,
    published_codes,
    try_hostile_bytes,
)
from evalkit.bench.hostile_bytes import hostile_bytes
from tests.support.rwkv7_files import TINY
from tests.support.toys import run_cli, write_texts


def test_shares_are_of_the_speed_of_scoring_round_by_round() -> None:
    rows = (CodecRow("xz", 250, 1e6),)
    bench = CompressionBench(
        "m",
        1000,
        500,
        2,
        1,
        300,
        220,
        1600.0,
        1744.0,
        (1.0, 3.0, 1.0),
        (2.0, 4.0, 1.0),
        (4.0, 4.0, 10.0),
        rows,
    )
    assert (bench.encode_share, bench.decode_share) == (0.75, 0.25)
    lines = "\n".join(compression_lines(bench))
    assert "score    1.6000 bits per byte        1,000 bytes/s" in lines
    assert "+0.917%; the lanes beside one piece: +9.00%" in lines and "xz      2.0000" in lines
    sizes = {code.name.split()[0]: code.enwik8_bytes for code in published_codes()}
    assert sizes["ts_zip"] == 13825741 and {"NNCP", "cmix"} <= sizes.keys()
    assert "1.1061 1.0835  ts_zip (RWKV-4 169M) (https://bellard.org/ts_zip;" in lines


def test_hostile_strings_are_the_same_everywhere_and_of_every_kind() -> None:
    strings = list(hostile_bytes(400))
    assert strings == list(hostile_bytes(400)) and len(set(strings)) > 250
    assert b"" in strings and max(map(len, strings)) == 300
    valid = [text.decode(errors="replace").encode() == text for text in strings]
    assert 100 < sum(valid) < 300


def test_hostile_strings_go_on_where_they_were_left() -> None:
    told: list[int] = []
    num_tokens = try_hostile_bytes(f"rwkv7:{TINY}", 9, tell=told.append)
    assert told == [9]
    shortest = sorted(hostile_bytes(9), key=len)[:3]
    assert num_tokens - try_hostile_bytes(f"rwkv7:{TINY}", 9, skip=3) <= sum(map(len, shortest))


def test_the_command_decodes_documents_and_refuses_what_it_cannot(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts.json", ["Ein Text.\n", "zwei", "a third one"])
    arguments = ("bench", "compress", "--corpus", texts, "--documents")
    outcome = run_cli(*arguments, "3", "--model", f"rwkv7:{TINY}")
    assert outcome.exit_code == 0 and "3 documents" in outcome.stdout and "25 bytes" in outcome.stdout
    assert "fewer than 4" in run_cli(*arguments, "4", "--model", f"rwkv7:{TINY}").stderr
    # A compressor has code of its own, and no distributions to code hostile strings by.
    assert "came back from 37 of code" in run_cli(*arguments, "3", "--model", "xz").stdout
    rest = run_cli(*arguments, "3", "--skip", "1", "--model", "xz")
    assert "2 documents" in rest.stdout and "3 have come back; --skip 3 goes on from here" in rest.stderr
    assert "give one of them, and fewer" in run_cli(*arguments, "3", "--skip", "3", "--model", "xz").stderr
    refused = run_cli("bench", "compress", "--hostile", "3", "--model", "xz")
    assert "does not show the distribution" in refused.stderr
