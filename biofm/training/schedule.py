"""The learning rate over the steps."""


def warmup_stable_decay(step: int, *, n_steps: int, n_warmup: int, decay_share: float = 0.3) -> float:
    """The factor at ``step``: linear from 0 to 1, flat, then linear to 0 over the last ``decay_share`` of the
    steps.

    The flat part lets a run be lengthened or cut short by resuming it with another number of steps (Hu et al.
    2024, MiniCPM, section 4).
    """
    n_decay = max(1, round(n_steps * decay_share))
    return max(0.0, min(1.0, (step + 1) / max(1, n_warmup), (n_steps - step) / n_decay))
