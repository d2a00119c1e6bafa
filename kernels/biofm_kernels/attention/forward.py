"""The forward kernel of attention: it walks blocks of keys and carries the softmax's maximum and sum
along.
"""

import triton
import triton.language as tl

from biofm_kernels.attention.head import load, owned, store, visible, within_reach
from biofm_kernels.numerics import dot, rounded

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit(do_not_specialize=["n_queries", "left", "right"])
def attention_forward(
    q, k, v, out, lse, tiles, n_queries, scale, left, right,
    HEAD_DIM: tl.constexpr,
    Q_ROW: tl.constexpr, Q_HEAD: tl.constexpr,
    K_ROW: tl.constexpr, K_HEAD: tl.constexpr,
    V_ROW: tl.constexpr, V_HEAD: tl.constexpr,
    OUT_ROW: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Compute attention. One program owns a block of queries of one head and walks the keys that they see."""
    head = tl.program_id(1).to(tl.int64)
    first, end, keys_first, keys_end = owned(tiles, BLOCK_Q)
    keys_first, keys_end = within_reach(first, end, keys_first, keys_end, left, right, BLOCK_Q)
    queries = first + tl.arange(0, BLOCK_Q)
    q += head * Q_HEAD
    k += head * K_HEAD
    v += head * V_HEAD
    block_q = load(q, first, end, Q_ROW, HEAD_DIM, BLOCK_Q)

    to_base_2 = scale * LOG2_E
    largest = tl.full((BLOCK_Q,), -float("inf"), tl.float32)
    total = tl.zeros((BLOCK_Q,), tl.float32)
    mixed = tl.zeros(block_q.shape, tl.float32)
    for start in range(keys_first, keys_end, BLOCK_K):
        keys = start + tl.arange(0, BLOCK_K)
        block_k = load(k, start, keys_end, K_ROW, HEAD_DIM, BLOCK_K)
        block_v = load(v, start, keys_end, V_ROW, HEAD_DIM, BLOCK_K)
        seen = visible(queries[:, None], keys[None, :], keys_end, left, right)
        scores = tl.where(seen, dot(block_q, tl.trans(block_k)), -float("inf"))
        larger = tl.maximum(largest, tl.max(scores, 1) * to_base_2)
        shift = tl.where(larger == -float("inf"), 0.0, larger)  # No key seen yet.
        weights = tl.exp2(scores * to_base_2 - shift[:, None])
        shrink = tl.exp2(largest - shift)
        total = total * shrink + tl.sum(weights, 1)
        mixed = mixed * shrink[:, None] + dot(rounded(weights, block_v.dtype), block_v)
        largest = larger

    sees_any = total > 0.0
    total = tl.where(sees_any, total, 1.0)
    store(out + head * HEAD_DIM, mixed / total[:, None], first, end, OUT_ROW, HEAD_DIM, BLOCK_Q)
    log_sum = tl.where(sees_any, (largest + tl.log2(total)) * LN_2, float("inf"))
    tl.store(lse + head * n_queries + queries, log_sum, mask=queries < end)
