"""``neighbours``: which of the proteins in a file of embeddings are alike."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from biofm.api import options
from biofm.api.declaration import Option, Verb, verb
from biofm.api.inputs import path_of
from biofm.core.progress import SILENT, ProgressSink
from biofm.policy import NONE, Reads, Request, Target, Writes

if TYPE_CHECKING:
    from biofm.core.h5ad import Embeddings
    from biofm.gate import Permit
    from biofm.inference import FoundNeighbours


@dataclass(frozen=True, slots=True)
class Neighbours(Verb["FoundNeighbours"]):
    """Find the proteins of a file of embeddings that are most alike, by the cosine similarity of their rows
    once the mean of all rows is removed.

    Gives the ``top`` most similar others of each row of an ``.h5ad`` file, and a picture of who resembles
    whom: of all rows, or of 1,000 that are evenly spaced in the file. Memory does not grow with the file, but
    for the ids and what is found.

    Raises InputError: not such a file, or fewer than three rows. OptionError: too many neighbours are asked
    for. OutputError: ``picture`` cannot be written.
    """

    embeddings: Annotated[
        str | Path,
        Option("The .h5ad file of embeddings, with a row for each protein, as `biofm embed` writes it."),
        Reads("input"),
    ]
    _: KW_ONLY
    top: Annotated[int, Option("How many neighbours to find of each protein: 1 to 100."), NONE] = 1
    picture: Annotated[
        str | Path | None,
        Option(
            "Draw a figure of which proteins are alike, at most 1,000 of them: .png .svg .pdf",
            flag="--output",
            short="-o",
        ),
        Writes("picture"),
    ] = None
    overwrite: options.Overwrite = False
    quiet: options.Quiet = True

    def request(self) -> Request:
        from biofm.inference import check_top  # these bring torch
        from biofm.report import check_figure_suffix

        check_top(self.top)
        source, writes = path_of(self.embeddings), {}
        if self.picture:
            check_figure_suffix(Path(self.picture))
            writes["picture"] = Target(path=Path(self.picture), overwrite=self.overwrite)
        return self.asking(reads={"input": (source,)}, writes=writes)

    def run(self, progress: ProgressSink = SILENT) -> "FoundNeighbours":
        from biofm.core.h5ad import open_embeddings  # these bring numpy and torch
        from biofm.gate import ask
        from biofm.inference import find_neighbours

        with (
            ask(self.request()) as permit,
            open_embeddings(permit.reader("input"), str(path_of(self.embeddings))) as read,
        ):
            with progress.bar("comparing") as bar:
                found = find_neighbours(read, self.top, lambda fraction: bar.update(fraction=fraction))
            if self.picture:
                _draw(read, found.items, permit, Path(self.picture))
        return found


def _draw(read: "Embeddings", items: str, permit: "Permit", picture: Path) -> None:
    """Draw who resembles whom: of more rows than a picture shows, some that are evenly spaced."""
    import numpy as np

    from biofm.inference import similarity_of  # brings torch
    from biofm.report import MOST_DRAWN, draw_neighbours

    n_rows = len(read.ids)
    chosen = np.linspace(0, n_rows - 1, min(n_rows, MOST_DRAWN)).round().astype(np.intp)
    labels, similarity = [read.ids[row] for row in chosen], similarity_of(read, chosen)
    writer, models = permit.writer("picture"), [read.model]
    draw_neighbours(labels, similarity, writer, picture.suffix, n_rows, items=items, models=models)


neighbours = verb(Neighbours)
