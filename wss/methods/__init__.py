"""Learning methods, one file each.

Importing the package imports all its modules, so that gin files can name every method.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
