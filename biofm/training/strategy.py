"""How the processes of a run share its work, in Lightning's terms."""

from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy

from biofm.training.processes import Processes
from biofm.training.recipe import Recipe


def choose_strategy(recipe: Recipe, processes: Processes) -> Strategy | str:
    """One process alone; copies of the model (DDP); or the model's weights spread over the processes
    (FSDP2).
    """
    if recipe.strategy == "fsdp":
        return ModelParallelStrategy(data_parallel_size=processes.world_size, tensor_parallel_size=1)
    if processes.world_size > 1 or recipe.strategy == "ddp":
        return DDPStrategy()
    return "auto"
