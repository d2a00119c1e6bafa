"""The learning rate over the steps."""

from math import cos, pi

from biofm.training.recipe import Recipe


def rate_factor(recipe: Recipe, step: int) -> float:
    """What the learning rate is multiplied by in the step behind ``step`` others: the first one is 0.

    Both schedules come to 0 behind the last step, which still learns, as those of ``transformers`` do.
    """
    if recipe.schedule == "cosine":
        return warmup_cosine(step, n_steps=recipe.n_steps, n_warmup=recipe.n_warmup)
    return warmup_stable_decay(
        step, n_steps=recipe.n_steps, n_warmup=recipe.n_warmup, decay_share=recipe.decay_share
    )


def warmup_stable_decay(step: int, *, n_steps: int, n_warmup: int, decay_share: float) -> float:
    """Linear from 0 to 1, flat, then linear towards 0 over the last ``decay_share`` of the steps.

    The flat part lets a run be lengthened or cut short by resuming it with another number of steps (Hu et al.
    2024, MiniCPM, section 4).
    """
    n_decay = max(1, round(n_steps * decay_share))
    return max(0.0, min(1.0, (step + 1) / max(1, n_warmup), (n_steps - step) / n_decay))


def warmup_cosine(step: int, *, n_steps: int, n_warmup: int) -> float:
    """Linear from 0 to 1, then half a cosine that comes to 0 behind the last step (Loshchilov and Hutter
    2017).
    """
    if step < n_warmup:
        return (step + 1) / n_warmup
    done = (step - n_warmup) / max(1, n_steps - n_warmup)
    return 0.5 * (1 + cos(pi * min(1.0, done)))
