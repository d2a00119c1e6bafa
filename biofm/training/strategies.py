"""How the weights lie in several processes: Lightning's strategies, as runs here need them."""

from pathlib import Path
from typing import Any

from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.constants import default_pg_timeout
from torch.optim import Optimizer

from biofm.training.crew import Crew
from biofm.training.group import keep_to_ourselves
from biofm.training.parts import as_data, load_parts, read_rest


class CopiesStrategy(DDPStrategy):
    """Lightning's DDP, a copy of the model in every process, in the crew's group."""

    def __init__(self, crew: Crew) -> None:
        super().__init__()
        self._crew = crew

    def setup_environment(self) -> None:
        self._crew.begin_group(self.root_device, self._timeout or default_pg_timeout)
        super().setup_environment()


class SpreadStrategy(ModelParallelStrategy):
    """Lightning's FSDP2, a part of the weights in every process, in the crew's group; it reads parts of
    checkpoints as data.
    """

    def __init__(self, crew: Crew) -> None:
        super().__init__(data_parallel_size=crew.processes.world_size, tensor_parallel_size=1)
        self._crew = crew

    def setup_environment(self) -> None:
        self._crew.begin_group(self.root_device, self._timeout or default_pg_timeout)
        super().setup_environment()
        keep_to_ourselves(self._crew.processes)  # the mesh has a group of its own

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        path = Path(checkpoint_path)
        if not path.is_dir():
            whole: dict[str, Any] = super().load_checkpoint(path, weights_only=True)
            return whole
        assert self.model is not None
        state = {"state_dict": get_model_state_dict(self.model)}
        load_parts(state, path)
        with as_data(path):
            self.model.load_state_dict(state["state_dict"])
        for number, optimizer in enumerate(self.optimizers):
            self._load_optimizer(optimizer, f"optimizer_{number}", path)
        return read_rest(path)

    def _load_optimizer(self, optimizer: Optimizer, name: str, path: Path) -> None:
        assert self.model is not None
        state = {name: get_optimizer_state_dict(self.model, optimizer)}
        load_parts(state, path)
        options = StateDictOptions(cpu_offload=True)
        with as_data(path):
            set_optimizer_state_dict(self.model, optimizer, optim_state_dict=state[name], options=options)
