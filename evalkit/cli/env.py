"""``evalkit env``: what results from this machine will say of it."""

import importlib.util

from evalkit.cli.parsing import DeviceOption, JsonOption
from evalkit.extras import pip_install
from evalkit.terminal import show, show_json


def env_command(as_json: JsonOption = False, device: DeviceOption = "auto") -> None:
    """Show what results from here will say of the machine and the software."""
    from evalkit.environment import environment, torch_environment

    facts = environment()
    if importlib.util.find_spec("torch") is None:
        facts |= {"torch": f"not installed, and language models need it: {pip_install()}"}
    else:
        facts |= torch_environment(device)
    if as_json:
        show_json(facts)
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        show(f"{name + ':':<19}{value}")
