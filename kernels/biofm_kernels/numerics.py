"""What kernels share so that one source runs on a GPU and, number for number, in Triton's interpreter.

The interpreter (``TRITON_INTERPRET=1``) keeps bfloat16 as bits and computes on the bits, and cuts where it
should round. So kernels compute in float32 from the load on, multiply matrices through ``dot``, and store
through ``rounded``. On a GPU both compile to what one would write without them.
"""

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))


@triton.jit
def dot(a, b):
    """a @ b, accumulated in float32; products of float32 are not shortened to tf32."""
    if INTERPRETED:
        return tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="ieee")
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def rounded(x, dtype: tl.constexpr):
    """float32 to ``dtype``, to the nearest, ties to even."""
    if INTERPRETED and dtype == tl.bfloat16:
        bits = x.to(tl.uint32, bitcast=True)
        bits += 0x7FFF + ((bits >> 16) & 1)
        return (bits & 0xFFFF0000).to(tl.float32, bitcast=True).to(tl.bfloat16)
    return x.to(dtype)
