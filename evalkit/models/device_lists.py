"""Several devices by one word, as ``--device cuda:0,1``: a process for each."""

from evalkit.errors import UsageError

_EXAMPLE = "cuda:0,1"


def device_list(text: str) -> tuple[str, ...]:
    """The devices of a list by commas, each as `evalkit.models.devices.resolve_device` takes it.

    A number alone is a GPU's of the kind before it. The CPU may stand there several times: each time it is an
    equal share of its threads. Whether there are such devices is not looked at.

    >>> device_list("cuda:0,1"), device_list("cpu,cpu"), device_list("auto")
    (('cuda:0', 'cuda:1'), ('cpu', 'cpu'), ('auto',))

    Raises:
        UsageError: an empty place, kinds that differ, a GPU twice, or a GPU without its number.
    """
    if "," not in text:
        return (text,)
    devices: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        kind = devices[-1].partition(":")[0] if devices else ""
        device = f"{kind}:{part}" if part.isdecimal() and kind else part
        if device != "cpu" and not device.startswith("cuda:"):
            raise UsageError(
                f"--device {text}: {part or 'nothing'!r} is no part of a list; name GPUs by their numbers, "
                f"as {_EXAMPLE}, or cpu several times"
            )
        devices.append(device)
    if len({device.partition(":")[0] for device in devices}) > 1:
        raise UsageError(f"--device {text} mixes kinds of devices, which give other digits; name one kind")
    twice = sorted({device for device in devices if device != "cpu" and devices.count(device) > 1})
    if twice:
        raise UsageError(f"--device {text} names {twice[0]} twice; a GPU has one process")
    return tuple(devices)
