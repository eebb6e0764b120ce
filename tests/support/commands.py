"""Several command lines of ``evalkit`` in one process of their own, which imports everything once."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.toys import PATIENCE_S, ROOT, Outcome, run_cli


def run_commands(commands: Sequence[Sequence[str | Path]], env: Mapping[str, str]) -> list[Outcome]:
    """What each command line leads to, one after the other, in one process that has this environment."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.commands"],
        env={**env, "PYTHONPATH": str(ROOT)},
        input=json.dumps([[str(word) for word in command] for command in commands]),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return [Outcome(*outcome) for outcome in json.loads(done.stdout)]


if __name__ == "__main__":
    json.dump([run_cli(*command) for command in json.load(sys.stdin)], sys.stdout)
