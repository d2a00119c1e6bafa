"""Work: where a verb that can be resumed or shared among processes keeps its unfinished work, and what that
becomes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from biofm.api.inputs import STANDARD_STREAM
from biofm.policy import Target

if TYPE_CHECKING:
    from biofm.inference.runs import Shard


class Resumable(Protocol):
    """A verb with the options of a run that can be resumed and shared."""

    @property
    def output(self) -> str | Path: ...
    @property
    def shard(self) -> str | None: ...
    @property
    def resume(self) -> bool: ...
    @property
    def overwrite(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one run.

    ``share``: the part of the input that the run works on. ``made``: the file that is there at its end, which
    is the output or, where ``is_shared``, the file that ``merge`` takes.
    """

    share: "Shard"
    made: Path
    is_shared: bool
    resume: bool
    overwrite: bool

    @property
    def is_finished(self) -> bool:
        """Whether the run is to be resumed and has ended before."""
        from biofm.gate import was_finished  # brings numpy

        return self.resume and not self.overwrite and was_finished(self.made)

    @property
    def target(self) -> Target:
        """Where the work is written: into the file of a share, or into a folder beside the output.

        For standard output it is a temporary folder, which goes when the run ends.
        """
        from secrets import token_hex  # these bring numpy, or are rarely needed

        from biofm.core.temporary import temporary_folder
        from biofm.gate import scratch_path

        if self.made == STANDARD_STREAM:
            return Target(path=temporary_folder() / f".biofm-{token_hex(8)}.run", kind="temporary")
        if self.is_shared:
            return Target(path=self.made, kind="journal", overwrite=self.overwrite, resume=self.resume)
        path = scratch_path(self.made)
        return Target(path=path, kind="scratch", overwrite=self.overwrite, resume=self.resume)


def work_of(asked: Resumable) -> Work:
    """The work that a verb was asked for. Raises OptionError where its ``shard`` is not such as 2/8."""
    from biofm.inference.runs import WHOLE, Shard  # bring torch

    output, is_shared = Path(asked.output), asked.shard is not None
    share = WHOLE if asked.shard is None else Shard.parse(asked.shard)
    made = share.path(output) if is_shared else output
    return Work(share, made, is_shared, asked.resume, asked.overwrite)
