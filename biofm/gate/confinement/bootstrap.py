"""Bootstrap: a worker's interpreter runs this script, which finds biofm and hands over to ``inside``.

The interpreter is started with ``-I -S``: no variable, no folder of the user and no ``.pth`` file may run
code before the confinement. The packages of biofm are therefore found by the folders that the parent names,
and by nothing else, so that the other folders of a checkout need not be readable.
"""

import json
import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location


class Packages:
    """Finds the packages that the parent named, before any folder of ``sys.path`` is searched."""

    def __init__(self, folders: dict[str, str]) -> None:
        self._folders = folders

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return where a package is, or None for a module that the parent did not name."""
        folder = self._folders.get(name)
        if folder is None:
            return None
        file = os.path.join(folder, "__init__.py")
        if os.path.isfile(file):
            return spec_from_file_location(name, file, submodule_search_locations=[folder])
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [folder]
        return spec


def main() -> None:
    """Read the first line of standard input, and become the worker that it describes."""
    jobs = sys.stdin.buffer
    line = jobs.readline()
    start = json.loads(line)
    sys.meta_path.insert(0, Packages(start["packages"]))
    sys.path += start["paths"]
    from biofm.gate.confinement.inside import work

    work(line, jobs)


if __name__ == "__main__":
    main()
