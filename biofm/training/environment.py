"""What a run trains in."""

import torch

from biofm.core.environment import Environment, find_environment
from biofm.inference import Compute


def environment_of(compute: Compute) -> Environment:
    """This process's, with what torch knows of it."""
    return find_environment(
        threads=torch.get_num_threads(),
        gpus=[torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        device=compute.device.type,
        dtype=compute.dtype_name,
    )
