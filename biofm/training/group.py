"""The end of torch's group of processes, which Lightning begins and leaves to the end of Python."""

import gc

from torch import distributed
from torch.distributed.device_mesh import DeviceMesh


def end_group() -> None:
    """End the group and, where no model needs it any more, the threads of gloo.

    Such a thread lets go of the tensors of a collective some time after that is over. Where Python has ended
    meanwhile, the thread dies of it, and the process by SIGABRT (pytorch #179291).
    """
    if not distributed.is_initialized():
        return
    gc.collect()  # models and their wrappers, which refer to the group
    for mesh in gc.get_objects():
        if type(mesh) is DeviceMesh:  # in caches of torch, for ever
            getattr(mesh, "_pg_registry", {}).clear()
    distributed.destroy_process_group()
