"""Numerics that all kernels share: one source gives the same numbers on a GPU and in Triton's interpreter.

The interpreter (``TRITON_INTERPRET=1``) keeps bfloat16 as bits, computes on the bits, and truncates where it
should round. The kernels therefore compute in float32 from the load on, multiply matrices through ``dot`` and
store through ``rounded``. On a GPU both compile to the same code as without them.
"""

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))


@triton.jit
def dot(a, b):
    """Multiply a @ b and accumulate in float32. Float32 inputs are not shortened to tf32."""
    if INTERPRETED:
        return tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="ieee")
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def rounded(x, dtype: tl.constexpr):
    """Round float32 to ``dtype``, to the nearest, ties to even."""
    if INTERPRETED and dtype == tl.bfloat16:
        bits = x.to(tl.uint32, bitcast=True)
        bits += 0x7FFF + ((bits >> 16) & 1)
        return (bits & 0xFFFF0000).to(tl.float32, bitcast=True).to(tl.bfloat16)
    return x.to(dtype)
