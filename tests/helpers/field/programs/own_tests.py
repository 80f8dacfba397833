"""Run a test file of Twisted's with some of its modules taken from elsewhere.

``own_tests.py TESTS [MODULE=FILE …]``: the name of the module of tests, and for modules, its own
among them, the files that they are loaded from. What trial prints of each test is a line of it.
"""

import importlib.util
import sys

from twisted.scripts import trial

tests, *given = sys.argv[1:]
for module, _, file in (each.partition("=") for each in given):
    spec = importlib.util.spec_from_file_location(module, file)
    loaded = importlib.util.module_from_spec(spec)
    package, _, name = module.rpartition(".")
    sys.modules[module] = loaded
    spec.loader.exec_module(loaded)
    setattr(importlib.import_module(package), name, loaded)
sys.argv = ["trial", "--reporter=verbose", tests]
trial.run()
