"""What the distribution holds and says of itself, and what is compiled into its wheels."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from hatchling.builders.sdist import SdistBuilder
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager
from trove_classifiers import classifiers

from evalkit.extras import DISTRIBUTION
from evalkit.version import __version__
from evalkit_kernels import native_library as native
from tests.support.toys import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
ADDRESS = "https://github.com/owner/name"


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> ProjectMetadata:
    """The metadata of what a tag's job on GitHub builds."""
    variables = {
        "SERVER_URL": "https://github.com",
        "REPOSITORY": "owner/name",
        "REF_NAME": f"v{__version__}",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    return ProjectMetadata(str(ROOT), PluginManager())


def test_the_distribution_says_what_it_is(project: ProjectMetadata) -> None:
    assert (project.name, project.version) == (DISTRIBUTION, __version__)
    assert set(project.core.classifiers) <= classifiers
    assert project.core.urls["Repository"] == ADDRESS
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["license"]) == (__version__, project.core.license_expression)


def test_links_of_the_description_lead_somewhere_from_the_package_index(project: ProjectMetadata) -> None:
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)]+)\)", project.core.readme)
    assert sum(mark == "!" for mark, _ in links) == 1
    for mark, link in links:
        place = f"{ADDRESS}/{'raw' if mark else 'blob'}/v{__version__}/"
        assert link.startswith(place)
        assert (ROOT / link.removeprefix(place).partition("#")[0]).is_file()


def test_without_an_address_no_link_is_invented(hooks: ModuleType) -> None:
    assert hooks.published_at({})[0] is None
    text = "[a](docs/a.md#b) ![c](d.png) [e](https://e.org) [f](#g)"
    assert hooks.with_absolute_links(text, "https://h/r", "v1") == (
        "[a](https://h/r/blob/v1/docs/a.md#b) ![c](https://h/r/raw/v1/d.png) [e](https://e.org) [f](#g)"
    )


def test_the_source_distribution_has_the_packages_and_no_results() -> None:
    builder = SdistBuilder(str(ROOT))
    names = {file.distribution_path for file in builder.recurse_included_files()}
    assert {"hatch_build.py", "README.md", "LICENSE", "evalkit/version.py"} <= names
    assert {f"kernels/evalkit_kernels/{name}" for name in ("attention_cpu.c", "native_loops.h")} <= names
    assert {"kernels/evalkit_kernels/wkv7_cpu.c", "crawlers/evalkit_crawlers/cli.py"} <= names
    assert "evalkit/embedded/rwkv7-nano/model.safetensors" in names
    assert not [name for name in names if name.startswith(("results/", "tests/", ".", "site/"))]


@pytest.mark.skipif(native.find_compiler() is None or sys.platform != "linux", reason="needs a C compiler")
def test_what_a_wheel_brings_is_taken_before_a_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = tmp_path / "library.so"
    native.compile_library(native.find_compiler() or (), ("-O1", "-shared", "-fPIC"), product)
    asked_for = []

    def path(machine: str, capability: str) -> Path:
        asked_for.append((machine, capability))
        return product

    monkeypatch.setattr(native, "prebuilt_path", path)
    monkeypatch.setattr(native.platform, "machine", lambda: "x86_64")
    load = native.native_library.__wrapped__
    assert load("AVX2").origin == "prebuilt for x86-64-v3"
    assert load("AVX10_2").origin == "prebuilt for x86-64"  # a name of later versions of torch
    assert asked_for == [("x86_64", "AVX2"), ("x86_64", "DEFAULT")]
    assert load("AVX2").library.evalkit_wkv7


@pytest.mark.parametrize(("tag", "is_refused"), [(f"v{__version__}", False), ("v99.0", True)])
def test_a_tag_must_be_that_of_the_version(tag: str, is_refused: bool) -> None:
    [recipe] = re.findall(r"^\t(@version=.*?exit 1; fi)$", MAKEFILE, re.MULTILINE | re.DOTALL)
    script = recipe.removeprefix("@").replace("$$", "$").replace("\\\n\t", "")
    variables = os.environ | {"GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": tag}
    done = subprocess.run(["sh", "-c", script], cwd=ROOT, env=variables, capture_output=True, text=True)
    assert (done.returncode, f"v{__version__}" in done.stdout) == (int(is_refused), is_refused)
