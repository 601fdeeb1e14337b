"""`resnet.import_weights` is the function, whatever was imported before."""

import pytest

from processes import run_file_afresh

FUNCTION = "from resnet import import_weights\nassert resnet.import_weights is import_weights"
COMMAND = (
    "import resnet.commands.import_weights\n"
    "assert callable(resnet.commands.import_weights.define_flags)"
)
LIBRARY = "import resnet.weights, resnet.weights.importing"


@pytest.mark.parametrize("order", [(FUNCTION, COMMAND, LIBRARY), (LIBRARY, COMMAND, FUNCTION)])
def test_the_function_is_not_hidden_by_modules(order, tmp_path):
    script = tmp_path / "imports.py"
    wanted = ["import inspect", "assert inspect.isfunction(resnet.import_weights)"]
    script.write_text("\n".join(["import resnet", *order, *wanted, "print('a function')"]))
    assert run_file_afresh(script) == "a function\n"
