"""``neighbours``: which of the proteins in a file of embeddings are alike."""

from pathlib import Path

import numpy as np

from biofm.api.paths import path_of
from biofm.api.request import request_of
from biofm.core import Progress
from biofm.core.h5ad import open_embeddings
from biofm.gate import ask
from biofm.inference.neighbours import Neighbours, check_top, find_neighbours, similarity_of
from biofm.policy import Target
from biofm.report import MOST_DRAWN, check_figure_suffix, draw_neighbours


def neighbours(
    embeddings: str | Path,
    *,
    top: int = 1,
    picture: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = True,
) -> Neighbours:
    """The ``top`` most similar others of each row of an ``.h5ad`` file, and a picture of who resembles whom:
    of all rows, or of 1,000 that are evenly spaced in the file.

    Memory does not grow with the file, but for the ids and what is found.

    Raises InputError: not such a file, or fewer than three rows. OptionError: too many neighbours are asked
    for. OutputError: ``picture`` cannot be written.
    """
    check_top(top)
    source = path_of(embeddings)
    writes = {}
    if picture:
        check_figure_suffix(Path(picture))
        writes["picture"] = Target(path=Path(picture), overwrite=overwrite)
    with (
        ask(request_of("neighbours", reads={"input": (source,)}, writes=writes)) as permit,
        open_embeddings(permit.reader("input"), str(source)) as read,
    ):
        with Progress("comparing", quiet=quiet) as bar:
            found = find_neighbours(read, top, lambda fraction: bar.update(fraction=fraction))
        if picture:
            n_rows = len(read.ids)
            chosen = np.linspace(0, n_rows - 1, min(n_rows, MOST_DRAWN)).round().astype(np.intp)
            labels, similarity = [read.ids[row] for row in chosen], similarity_of(read, chosen)
            draw_neighbours(labels, similarity, permit.writer("picture"), Path(picture).suffix, n_rows)
    return found
