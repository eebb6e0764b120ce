"""What is built into a distribution besides its files: the native loop of a wheel, and README's addresses.

With ``EVALKIT_PREBUILT=1`` a wheel has the library of the native loops for every kind of processor of this
machine's family, and is one for this platform; else it is for every platform and compiles at first use. The
address of the repository is what GitHub Actions says it is; built elsewhere, README keeps its relative links.
"""

import importlib.util
import os
import platform
import re
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

PREBUILT = "EVALKIT_PREBUILT"
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)]+)\)")


class ReadmeHook(MetadataHookInterface):
    """README with absolute links, and the project's addresses."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Add ``readme`` and ``urls``, which pyproject.toml calls dynamic."""
        root = Path(self.root)
        text = (root / "README.md").read_text(encoding="utf-8")
        repository, ref = published_at(os.environ)
        if repository is not None:
            text = with_absolute_links(text, repository, ref)
            metadata["urls"] = {
                "Repository": repository,
                "Issues": f"{repository}/issues",
                "Changelog": f"{repository}/blob/{ref}/CHANGELOG.md",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


class NativeLoopHook(BuildHookInterface[Any]):
    """The native loop in a wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile for each kind of processor, where that is wanted; a compiler that fails ends the build."""
        if self.target_name != "wheel" or version == "editable" or os.environ.get(PREBUILT) != "1":
            return
        native = load_native_library(Path(self.root))
        compiler = native.find_compiler()
        machine = platform.machine()
        if compiler is None or machine not in native.ARCHITECTURES:
            raise SystemExit(f"{PREBUILT}=1: there is no C compiler, or nothing is prebuilt for {machine}")
        self._folder = tempfile.TemporaryDirectory()
        for capability, architecture in native.ARCHITECTURES[machine].items():
            name = native.prebuilt_path(machine, capability).name
            product = Path(self._folder.name, name)
            native.compile_library(compiler, ("-O3", f"-march={architecture}", *native.COMMON_FLAGS), product)
            build_data["force_include"][str(product)] = f"evalkit_kernels/prebuilt/{name}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{re.sub(r'[-.]', '_', sysconfig.get_platform())}"


def published_at(environment: Mapping[str, str]) -> tuple[str | None, str]:
    """Address of the repository and the name of what is built; no address outside of GitHub Actions."""
    server, name = environment.get("GITHUB_SERVER_URL"), environment.get("GITHUB_REPOSITORY")
    ref = environment.get("GITHUB_REF_NAME") or environment.get("GITHUB_SHA") or "main"
    return (f"{server}/{name}" if server and name else None), ref


def with_absolute_links(text: str, repository: str, ref: str) -> str:
    """A page whose links to files of the repository, pictures among them, work from everywhere."""
    return _LINK.sub(
        lambda link: f"{link[1]}[{link[2]}]({repository}/{'raw' if link[1] else 'blob'}/{ref}/{link[3]})",
        text,
    )


def load_native_library(root: Path) -> ModuleType:
    """The module that knows how the loop is compiled; its package would need torch."""
    path = root / "kernels" / "evalkit_kernels" / "native_library.py"
    spec = importlib.util.spec_from_file_location("native_library", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
