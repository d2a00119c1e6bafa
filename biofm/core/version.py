"""Which biofm this is."""

import tomllib
from pathlib import Path


def find_version(checkout: Path) -> str:
    """The version that ``checkout/pyproject.toml`` states; failing that, that of the installed package.

    The checkout comes first, because an editable install keeps the version it was made with.
    """
    project_file = checkout / "pyproject.toml"
    if project_file.is_file():
        project = tomllib.loads(project_file.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == "biofm":
            return str(project["version"])
    from importlib import metadata  # takes a tenth of the time of `biofm --help`

    return metadata.version("biofm")


__version__ = find_version(Path(__file__).resolve().parents[2])
