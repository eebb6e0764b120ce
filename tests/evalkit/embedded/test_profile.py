"""The profile of a training step: what it books where."""

import pytest
import torch

from evalkit.embedded import profile as profile_module
from evalkit.embedded.profile import PARTS, booked, profile_step, profile_table


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_module, "TOKENS_PER_STEP", 64)


@pytest.mark.usefixtures("small_steps")
def test_each_network_has_the_parts_that_it_has() -> None:
    profiles = {name: profile_step(name, 32, 1) for name in ("rwkv7-nano", "llama-nano")}
    for profile in profiles.values():
        assert sum(profile.shares.values()) == pytest.approx(1)
        assert min(profile.shares[part] for part in ("products", "optimiser", "other")) > 0
    rwkv7, llama = profiles["rwkv7-nano"].shares, profiles["llama-nano"].shares
    assert rwkv7["attention"] == llama["WKV-7 forward"] == llama["WKV-7 backward"] == 0
    assert min(rwkv7["WKV-7 forward"], rwkv7["WKV-7 backward"], llama["attention"]) > 0
    heading, *rows = profile_table(list(profiles.values())).splitlines()
    assert [row.split()[0] for row in rows] == list(profiles)
    assert len({len(line) for line in (heading, *rows)}) == 1


def test_nothing_is_booked_twice_and_nothing_lost() -> None:
    matrix = torch.randn(300, 300, requires_grad=True)
    optimiser = torch.optim.SGD([matrix], lr=0.1)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        (matrix @ matrix).exp().sum().backward()
        optimiser.step()
    events = profiler.events()
    seconds = booked(events)
    assert sum(seconds.values()) * 1e6 == pytest.approx(
        sum(event.self_cpu_time_total for event in events), rel=1e-9
    )
    by_name = {event.name: event.self_cpu_time_total for event in events}
    assert seconds["products"] * 1e6 == pytest.approx(
        sum(event.self_cpu_time_total for event in events if event.name == "aten::mm")
    )
    assert seconds["optimiser"] * 1e6 >= by_name["Optimizer.step#SGD.step"] > 0
    assert set(seconds) <= set(PARTS)
