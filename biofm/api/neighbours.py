"""The verb ``neighbours``: find the proteins of a file of embeddings that are most alike."""

from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from biofm.api import options
from biofm.api.declaration import Option, Verb, verb
from biofm.api.inputs import path_of
from biofm.api.loading import EMBEDDED_BY_DEMONSTRATION, with_demonstration
from biofm.core.progress import SILENT, ProgressSink
from biofm.policy import NONE, Reads, Request, Target, Writes

if TYPE_CHECKING:
    from biofm.core.h5ad import Embeddings
    from biofm.gate import Permit
    from biofm.inference import FoundNeighbours


@dataclass(frozen=True, slots=True)
class Neighbours(Verb["FoundNeighbours"]):
    """Find for each protein of a file of embeddings the proteins that are most similar to it.

    Similarity is the cosine of two rows after the mean of all rows is subtracted. The result holds
    for each row of the ``.h5ad`` file the ``top`` most similar other rows. The picture shows
    how similar all rows are, or 1,000 rows that are evenly spaced in the file. Apart from the ids and the
    result, memory does not grow with the file.

    Raises:
        InputError: This is no file of embeddings, or it has fewer than three rows.
        OptionError: ``top`` is out of range.
        OutputError: ``picture`` cannot be written.
    """

    embeddings: Annotated[
        str | Path,
        Option("Read the embeddings from this .h5ad file, one row per protein, as `biofm embed` writes."),
        Reads("input"),
    ]
    _: KW_ONLY
    top: Annotated[int, Option("Find this many neighbours of each protein.", group="Run"), NONE] = 1
    picture: Annotated[
        str | Path | None,
        Option(
            f"Draw how similar the proteins are, at most 1,000 of them, into this file. {options.FIGURE}",
            flag="--output",
            short="-o",
            metavar="FILE",
            group="Output",
        ),
        Writes("picture"),
    ] = None
    overwrite: options.Overwrite = False
    quiet: options.Quiet = True

    def request(self) -> Request:
        from biofm.report import check_figure_suffix

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
        notices = with_demonstration(found.notices, read.model, notice=EMBEDDED_BY_DEMONSTRATION)
        return replace(found, notices=notices)


def _draw(read: "Embeddings", items: str, permit: "Permit", picture: Path) -> None:
    """Draw how similar the rows are; of more rows than a picture shows, some that are evenly spaced."""
    import numpy as np

    from biofm.inference import similarity_of  # brings torch
    from biofm.report import MOST_DRAWN, draw_neighbours

    n_rows = len(read.ids)
    chosen = np.linspace(0, n_rows - 1, min(n_rows, MOST_DRAWN)).round().astype(np.intp)
    labels, similarity = [read.ids[row] for row in chosen], similarity_of(read, chosen)
    called = Path(read.model).name if Path(read.model).is_absolute() else read.model
    writer, models = permit.writer("picture"), [called]
    draw_neighbours(labels, similarity, writer, picture.suffix, n_rows, items=items, models=models)


neighbours = verb(Neighbours)
