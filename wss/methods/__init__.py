"""Learning methods, one file each.

Importing the package imports every module in it, so that gin files can name a method as
soon as its file is there.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
