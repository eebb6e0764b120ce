"""Several devices by one word, and models spread over several."""

from pathlib import Path

import pytest

from evalkit.errors import UsageError
from evalkit.models.device_lists import device_list
from evalkit.models.devices import resolve_device
from evalkit.runner import processes
from evalkit.runner.options import RunOptions
from evalkit.runner.prefixes import try_prefixes


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("cuda:0,1", ("cuda:0", "cuda:1")),
        ("cuda:0,cuda:1", ("cuda:0", "cuda:1")),
        ("cuda:3, 1,cuda:0", ("cuda:3", "cuda:1", "cuda:0")),
        ("cpu,cpu", ("cpu", "cpu")),
        ("cuda:1", ("cuda:1",)),
        ("auto", ("auto",)),
    ],
)
def test_a_list_names_each_device(text: str, devices: tuple[str, ...]) -> None:
    assert device_list(text) == devices


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"device": "cuda:0,0"}, "names cuda:0 twice"),
        ({"device": "cuda:0,cpu"}, "mixes kinds"),
        ({"device": "cuda:0,"}, "'nothing' is no part"),
        ({"device": "0,1"}, "'0' is no part"),
        ({"device": "cpu,1"}, "'1' is no part"),
        ({"device": "cuda,cuda"}, "'cuda' is no part"),
        ({"device": "cuda:x,1"}, "unknown device 'cuda:x'"),
        ({"device": "auto,cpu"}, "'auto' is no part"),
        ({"device": "cuda:97,98"}, "device 'cuda:97' was asked for"),
        ({"device": "cpu,cpu", "processes": 0}, "leave --processes out"),
        ({"device": "cpu,cpu", "processes": 2}, "leave --processes out"),
        ({"device": "cpu,cpu", "debug": True}, "--debug works in this one"),
        ({"device": "cpu,cpu", "engine": "ray"}, "is of one machine; give cpu with --engine ray"),
        ({"device_map": "auto", "engine": "ray"}, "leave --engine ray out"),
        ({"device_map": "balanced"}, "unknown device map 'balanced'; use auto"),
        ({"device_map": "auto", "device": "cuda:1"}, "is auto, cuda or cpu, not cuda:1"),
        ({"device_map": "auto", "device": "cpu,cpu"}, "is auto, cuda or cpu, not cpu,cpu"),
    ],
)
def test_what_is_no_list_of_devices_is_refused_before_anything_else(
    fields: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message) as refusal:
        RunOptions(**{"output": tmp_path, "processes": None, **fields}).check()  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value)


def test_one_device_is_needed_by_what_starts_no_processes() -> None:
    with pytest.raises(UsageError, match="device 'cpu,cpu' names several, and one is needed here"):
        resolve_device("cpu,cpu")
    options = RunOptions(device="cpu,cpu", processes=None)
    with pytest.raises(UsageError, match="--try-prefixes computes on one device"):
        try_prefixes(["xz"], ["python-stdlib"], options=options)


def test_each_process_sees_its_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name that ``CUDA_VISIBLE_DEVICES`` has for it, where that leaves out or reorders GPUs."""
    monkeypatch.setattr(processes, "_gpus", lambda: ["GPU-a", "5", "2"])

    def gpus(**fields: str) -> list[tuple[str, str | None]]:
        places = processes._places(RunOptions(processes=None, **fields))  # type: ignore[arg-type]
        return [(place.device, place.gpu) for place in places]

    assert gpus(device="cuda:2,0") == [("cuda", "2"), ("cuda", "GPU-a")]
    assert gpus(device="cuda") == [("cuda", "GPU-a"), ("cuda", "5"), ("cuda", "2")]
    assert gpus(device="cuda:1") == [("cuda:1", None)]
    assert gpus(device="cuda", device_map="auto") == [("cuda", None)]
