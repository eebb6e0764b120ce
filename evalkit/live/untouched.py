"""A model that is being trained is left as it was: scoring switches modes and functions for a while."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from evalkit.errors import UsageError


@contextlib.contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Put back everything that scoring sets on a model: modes, wrapped functions, caches, random numbers.

    What its modules have as attributes afterwards are the very objects of before. Parameters are not copied:
    scoring does not write to them.

    Args:
        model: with all its modules.
    """
    modules = list(model.modules())
    attributes = [dict(vars(module)) for module in modules]
    buffers = [dict(module._buffers) for module in modules]
    config = getattr(model, "config", None)
    settings = [dict(vars(each)) for each in _configs(config)]
    devices = sorted({x.device.index or 0 for x in model.parameters() if x.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        for module, saved, saved_buffers in zip(modules, attributes, buffers, strict=True):
            vars(module).clear()
            vars(module).update(saved)
            module._buffers.clear()
            module._buffers.update(saved_buffers)
        for each, saved in zip(_configs(config), settings, strict=True):
            vars(each).clear()
            vars(each).update(saved)


def _configs(config: object) -> list[object]:
    """A config of transformers, and the text model's where that is another."""
    if config is None or not hasattr(config, "get_text_config"):
        return []
    text_config = config.get_text_config(decoder=True)
    return [config] if text_config is config else [config, text_config]


def bare_module(model: nn.Module) -> nn.Module:
    """The module inside of what torch and others wrap around one: compilation, data parallelism, adapters.

    Raises:
        UsageError: it is no module, or its weights are spread over processes, so that no process can compute
            it alone.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"{type(model).__name__} is no torch module, as a model in training is; models by name are "
            "scored by evalkit.run"
        )
    while True:
        inner = getattr(model, "_orig_mod", None)  # torch.compile
        if inner is None and isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = model.module
        if (
            inner is None
            and hasattr(model, "peft_config")
            and callable(base := getattr(model, "get_base_model", None))
        ):
            inner = base()  # with the adapter's layers in it
        if not isinstance(inner, nn.Module):
            break
        model = inner
    for name, parameter in model.named_parameters():
        if type(parameter.data).__name__ == "DTensor" or parameter.numel() == 0:
            raise UsageError(
                f"the weights of {name} are spread over processes (FSDP, ZeRO-3): gather them first, or "
                "score checkpoints with evalkit run --watch"
            )
    return model


@contextlib.contextmanager
def without_autocast(model: nn.Module) -> Iterator[None]:
    """Compute in the precision of the weights, as a checkpoint is: without what accelerate wraps around."""
    original = vars(model).get("_original_forward")
    if original is not None:
        model.forward = original
    kinds = {parameter.device.type for parameter in model.parameters()} or {"cpu"}
    with contextlib.ExitStack() as stack:
        for kind in sorted(kinds):
            stack.enter_context(torch.autocast(kind, enabled=False))
        yield
