"""Whether there is a device for every process of this machine."""

import torch

from biofm.core.errors import OptionError
from biofm.inference import Compute
from biofm.training.processes import Processes


def check_devices(compute: Compute, processes: Processes) -> None:
    """Raise OptionError where there are fewer than are asked for."""
    kind = compute.device.type
    if kind == "cpu":
        return
    n_there = torch.cuda.device_count() if kind == "cuda" else 1
    if processes.n_local > n_there:
        what = f"{processes.n_local} processes need a device of {kind} each, and there are {n_there} here"
        raise OptionError(what, where="--devices", remedy=f"Give at most {n_there}, or --device cpu")
