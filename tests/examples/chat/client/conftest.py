"""Makes the package ``examples`` importable, without the packages beside it."""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path

if "examples" not in sys.modules:
    spec = ModuleSpec("examples", None, is_package=True)
    spec.submodule_search_locations = [str(Path(__file__).parents[4] / "examples")]
    sys.modules["examples"] = module_from_spec(spec)
