"""What ``biofm neighbours`` prints."""

from typing import TYPE_CHECKING

from typer import BadParameter

from biofm.api import Neighbours
from biofm.cli.printing import print_json, print_table, say, say_notices
from biofm.core.errors import OptionError

if TYPE_CHECKING:
    from biofm.inference import FoundNeighbours


def check(asked: Neighbours, as_json: bool) -> None:
    """Raises BadParameter: a number that cannot be asked for is wrong usage, like a word that is none."""
    from biofm.inference import check_top  # brings torch

    try:
        check_top(asked.top)
    except OptionError as error:
        raise BadParameter(f"{error.what}. {error.remedy}", param_hint=f"'{error.where}'") from error


def show(asked: Neighbours, found: "FoundNeighbours", as_json: bool) -> None:
    say_notices(found.notices)
    pairs = [(id_, *near) for row, id_ in enumerate(found.ids) for near in found.of(row)]
    if as_json:
        print_json([{found.item: id_, "nearest": other, "cosine": cosine} for id_, other, cosine in pairs])
    else:
        rows = [(id_, other, f"{cosine:.3f}") for id_, other, cosine in pairs]
        print_table(rows, header=(found.item, "nearest", "cosine"))
    if asked.picture:
        say(f"picture -> {asked.picture}")
