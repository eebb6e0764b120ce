import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.support.toys import ROOT

PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")


def block(heading: str, language: str) -> str:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    [code] = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return str(code)


def is_a_script(text: str, folder: Path) -> bool:
    path = folder / "script"
    path.write_text(text)
    return subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0


def test_the_files_for_clusters_are_what_they_are_meant_to_be(tmp_path: Path) -> None:
    sbatch = block("Slurm", "sh")
    assert sbatch.startswith("#!/bin/bash\n#SBATCH ")
    assert is_a_script(sbatch, tmp_path)
    assert not is_a_script(sbatch + "\nif", tmp_path)
    job: Any = yaml.safe_load(block("Kubernetes", "yaml"))
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert is_a_script(container["args"][0], tmp_path)
    assert f"/{job['spec']['completions']}" in container["args"][0]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in job["spec"]["template"]["spec"]["volumes"]}
    task: Any = yaml.safe_load(block("SkyPilot", "yaml"))
    assert is_a_script(task["setup"] + task["run"], tmp_path)
    assert set(task) <= {"name", "resources", "num_nodes", "file_mounts", "workdir", "setup", "run"}
