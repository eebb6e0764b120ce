"""Where there is a GPU the kernels run on it; that they do in the interpreter too is shown here."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.triton_kernels import needs_gpu


@needs_gpu
def test_the_interpreter_agrees_beside_a_gpu() -> None:
    files = sorted(map(str, Path(__file__).parent.glob("test_*_triton.py")))
    assert len(files) == 3
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *files],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
