"""``evalkit env``: what results from this machine will say of it."""

import typer

from evalkit.cli.parsing import DeviceOption, JsonOption


def env_command(as_json: JsonOption = False, device: DeviceOption = "auto") -> None:
    """Show what results from here will say of the machine and the software."""
    from evalkit.environment import environment, torch_environment
    from evalkit.files import strict_json

    facts = environment() | torch_environment(device)
    if as_json:
        typer.echo(strict_json(facts), nl=False)
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        typer.echo(f"{name + ':':<19}{value}")
