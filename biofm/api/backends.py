"""What computes here."""

from biofm_kernels import Explanation, explain

from biofm.inference import choose_compute


def kernels(device: str = "auto") -> list[Explanation]:
    """What each operation under the models runs on this device, and why.

    Raises OptionError: there is no such device here.
    """
    return explain(choose_compute(device, "auto").device)
