"""A network that is to be filled has the shapes of one that is not, and brings no compiler with it."""

import subprocess
import sys

from evalkit.models.rwkv7.network import RWKV7, LayerShape, NetworkShape
from evalkit.models.rwkv7.skeleton import network_skeleton
from tests.support.rwkv7_files import TINY


def test_a_skeleton_has_the_networks_shapes_and_no_values() -> None:
    shape = NetworkShape(11, 32, 16, (LayerShape(4, 4, 4, 4, 48), LayerShape(4, 8, 4, 4, 64)))
    skeleton, network = network_skeleton(shape, 2.0), RWKV7(shape, 2.0)
    assert {name: value.shape for name, value in skeleton.state_dict().items()} == {
        name: value.shape for name, value in network.state_dict().items()
    }
    assert all(parameter.is_meta for parameter in skeleton.parameters())


def test_a_model_that_needs_no_tokenizer_file_is_loaded_without_torchs_compiler() -> None:
    code = (
        "import sys, evalkit.models.loading as loading\n"
        f"loading.load_model('rwkv7:{TINY}', device='cpu')\n"
        "heavy = {'torch._dynamo', 'sympy', 'pandas', 'transformers'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
