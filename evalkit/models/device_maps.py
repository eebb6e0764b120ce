"""Models that are larger than one GPU: ``--device-map auto`` spreads their layers over all that there are."""

from evalkit.errors import UsageError
from evalkit.extras import check_extra
from evalkit.models.protocol import LoadOptions

DEVICE_MAPS = ("auto",)
_SPREADING_LOADERS = ("hf", "hub")
_COMPRESSORS = "codec"


def check_device_map(options: LoadOptions) -> None:
    """Refuse a device map that is unknown, that a device contradicts, or whose library is missing.

    Raises:
        UsageError: it is one of these.
    """
    name = options.device_map
    if name is None:
        return
    if name not in DEVICE_MAPS:
        raise UsageError(f"unknown device map {name!r}; use {', '.join(DEVICE_MAPS)}")
    if options.device not in ("auto", "cuda", "cpu"):
        raise UsageError(
            f"--device-map {name} takes all GPUs that there are; with it --device is auto, cuda or cpu, not "
            f"{options.device}"
        )
    check_extra("accelerate")


def check_spreads(options: LoadOptions, loader: str, name: str) -> None:
    """Refuse a device map for a model whose loader puts it on one device.

    Args:
        options: of the loading.
        loader: as in `evalkit.models.catalog.CatalogEntry`.
        name: of the model.

    Raises:
        UsageError: its loader does not spread it.
    """
    if options.device_map is not None and loader not in (*_SPREADING_LOADERS, _COMPRESSORS):
        raise UsageError(
            f"--device-map {options.device_map} is for hf: models, and {name} is one of the loader {loader}; "
            "run it without"
        )
