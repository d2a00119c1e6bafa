"""Operations under biofm's models, each with a plain reference beside it. Knows nothing of biofm."""

from biofm_kernels.attention import attention, backend_for

__all__ = ["attention", "backend_for"]
