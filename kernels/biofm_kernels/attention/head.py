"""One head's rows in a kernel: which rows a program owns and meets, and how they are read and written; the
gradients of rotated rows are rotated back.

Rows are read in blocks of (rows, padded head dim). Rotary embedding pairs the halves of a head, so each half
is padded to a power of two: any even head dim is then one operand of a matrix product, and its halves part at
a power of two.
"""

import triton
import triton.language as tl

from biofm_kernels.numerics import rounded
from biofm_kernels.packing import TILE

ROWS_PER_TILE = tl.constexpr(TILE)


@triton.constexpr_function
def padded_half(head_dim):
    """Return the columns that half of a head takes in a block. Matrix instructions need 16 for the whole
    head.
    """
    return max(8, triton.next_power_of_2(head_dim // 2))


@triton.jit
def owned(tiles, BLOCK: tl.constexpr):
    """Return the first row of the program's block, the end of its sequence's rows, and the first and the end
    of the rows that these meet. A block that begins behind its sequence's end meets none.
    """
    blocks: tl.constexpr = ROWS_PER_TILE // BLOCK
    tile = tiles + 4 * (tl.program_id(0) // blocks)
    first = tl.load(tile) + tl.program_id(0) % blocks * BLOCK
    end = tl.load(tile + 1)
    others = tl.load(tile + 2)
    return first, end, others, tl.where(first < end, tl.load(tile + 3), others)


@triton.jit
def within_reach(first, end, others, others_end, before, after, BLOCK: tl.constexpr):
    """Return the part of the others that lies from ``before`` rows before the block to ``after`` rows behind
    it.
    """
    if before is not None:
        others = tl.maximum(others, first - before)
    if after is not None:
        others_end = tl.minimum(others_end, tl.minimum(first + BLOCK, end) + after)
    return others, others_end


@triton.jit
def visible(queries, keys, keys_end, left, right):
    """Return which query sees which key: those of its sequence, from ``left`` before it to ``right`` behind
    it.
    """
    seen = keys < keys_end
    if left is not None:
        seen &= keys >= queries - left
    if right is not None:
        seen &= keys <= queries + right
    return seen


@triton.jit
def _entries(first, end, ROW: tl.constexpr, HEAD_DIM: tl.constexpr, BLOCK: tl.constexpr):
    """Return where the entries of a block lie in memory, and which of them exist. Rows are ``ROW`` elements
    apart.
    """
    half: tl.constexpr = padded_half(HEAD_DIM)
    row = tl.arange(0, BLOCK)[:, None]
    place = tl.arange(0, 2 * half)[None, :]
    column = place // half * (HEAD_DIM // 2) + place % half
    inside = row < end - first
    if 2 * half > HEAD_DIM:
        inside = inside & (place % half < HEAD_DIM // 2)
    return tl.cast(first, tl.int64) * ROW + row * ROW + column, inside


@triton.jit
def load(x, first, end, ROW: tl.constexpr, HEAD_DIM: tl.constexpr, BLOCK: tl.constexpr):
    """Load a block of one head's rows, from ``first`` on; 0 from row ``end`` on and in the padding."""
    offset, inside = _entries(first, end, ROW, HEAD_DIM, BLOCK)
    return tl.load(x + offset, mask=inside, other=0.0)


@triton.jit
def store(x, block, first, end, ROW: tl.constexpr, HEAD_DIM: tl.constexpr, BLOCK: tl.constexpr):
    """Store a block of one head's rows, as ``load`` reads them."""
    offset, inside = _entries(first, end, ROW, HEAD_DIM, BLOCK)
    tl.store(x + offset, rounded(block, x.dtype.element_ty), mask=inside)


@triton.jit
def _angles(table, positions, first, end, place, HEAD_DIM: tl.constexpr, BLOCK: tl.constexpr):
    """Load cos or sin for each row at these places of a half; 0 from row ``end`` on and in the padding."""
    row = tl.arange(0, BLOCK)
    position = tl.load(positions + tl.cast(first, tl.int64) + row, mask=row < end - first, other=0)
    inside = (row < end - first)[:, None] & (place < HEAD_DIM // 2)[None, :]
    offset = position[:, None].to(tl.int64) * (HEAD_DIM // 2) + place[None, :]
    return tl.load(table + offset, mask=inside, other=0.0)


@triton.jit
def turned_back(block, first, end, cos, sin, positions, HEAD_DIM: tl.constexpr, BLOCK: tl.constexpr):
    """Rotate a gradient in float32 back, to the gradient of the rows before their rotation."""
    half: tl.constexpr = padded_half(HEAD_DIM)
    place = tl.arange(0, half)
    cos = _angles(cos, positions, first, end, place, HEAD_DIM, BLOCK)
    sin = _angles(sin, positions, first, end, place, HEAD_DIM, BLOCK)
    x1, x2 = tl.split(tl.permute(tl.reshape(block, (BLOCK, 2, half)), (0, 2, 1)))
    halves = tl.join(x1 * cos + x2 * sin, x2 * cos - x1 * sin)
    return tl.reshape(tl.permute(halves, (0, 2, 1)), (BLOCK, 2 * half))
