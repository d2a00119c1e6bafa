"""The backward kernels of attention: each recomputes the weights from the scores and their log-sum."""

import triton
import triton.language as tl

from biofm_kernels.attention.head import load, owned, store, turned_back, visible, within_reach
from biofm_kernels.numerics import dot, rounded

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit(do_not_specialize=["n_queries"])
def attention_delta(
    d_out, out, delta, n_queries,
    HEAD_DIM: tl.constexpr, OUT_ROW: tl.constexpr, BLOCK_Q: tl.constexpr,
):  # fmt: skip
    """Compute delta, the sum of d_out · out over the head: the softmax subtracts it from each weight's
    gradient.
    """
    head = tl.program_id(1).to(tl.int64)
    first = tl.program_id(0) * BLOCK_Q
    block_d_out = load(d_out + head * HEAD_DIM, first, n_queries, OUT_ROW, HEAD_DIM, BLOCK_Q)
    block_out = load(out + head * HEAD_DIM, first, n_queries, OUT_ROW, HEAD_DIM, BLOCK_Q)
    sums = tl.sum(block_d_out.to(tl.float32) * block_out.to(tl.float32), 1)
    queries = first + tl.arange(0, BLOCK_Q)
    tl.store(delta + head * n_queries + queries, sums, mask=queries < n_queries)


@triton.jit(do_not_specialize=["n_queries", "left", "right"])
def attention_backward_keys(
    d_out, q, k, v, lse, delta, dk, dv, tiles, n_queries, scale, left, right, cos, sin, k_positions,
    HEAD_DIM: tl.constexpr,
    Q_ROW: tl.constexpr, Q_HEAD: tl.constexpr,
    K_ROW: tl.constexpr, K_HEAD: tl.constexpr,
    V_ROW: tl.constexpr, V_HEAD: tl.constexpr,
    OUT_ROW: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Compute dk and dv. One program owns a block of keys of one head and walks the queries that see them."""
    head = tl.program_id(1).to(tl.int64)
    first, end, queries_first, queries_end = owned(tiles, BLOCK_K)
    queries_first, queries_end = within_reach(first, end, queries_first, queries_end, right, left, BLOCK_K)
    keys = first + tl.arange(0, BLOCK_K)
    block_k = load(k + head * K_HEAD, first, end, K_ROW, HEAD_DIM, BLOCK_K)
    block_v = load(v + head * V_HEAD, first, end, V_ROW, HEAD_DIM, BLOCK_K)
    q += head * Q_HEAD
    d_out += head * HEAD_DIM
    lse += head * n_queries
    delta += head * n_queries

    sum_k = tl.zeros(block_k.shape, tl.float32)
    sum_v = tl.zeros(block_v.shape, tl.float32)
    for start in range(queries_first, queries_end, BLOCK_Q):
        queries = start + tl.arange(0, BLOCK_Q)
        block_q = load(q, start, queries_end, Q_ROW, HEAD_DIM, BLOCK_Q)
        block_d_out = load(d_out, start, queries_end, OUT_ROW, HEAD_DIM, BLOCK_Q)
        log_sum = tl.load(lse + queries, mask=queries < queries_end, other=float("inf")) * LOG2_E
        softmax_part = tl.load(delta + queries, mask=queries < queries_end, other=0.0)
        # (keys, queries). The weights of queries behind the end are 0, because their log-sum is infinite.
        weights = tl.exp2(dot(block_k, tl.trans(block_q)) * (scale * LOG2_E) - log_sum[None, :])
        if left is not None or right is not None:
            weights = tl.where(visible(queries[None, :], keys[:, None], end, left, right), weights, 0.0)
        sum_v += dot(rounded(weights, block_d_out.dtype), block_d_out)
        d_scores = weights * (dot(block_v, tl.trans(block_d_out)) - softmax_part[None, :])
        sum_k += dot(rounded(d_scores, block_q.dtype), block_q)

    sum_k *= scale
    if cos is not None:
        sum_k = turned_back(sum_k, first, end, cos, sin, k_positions, HEAD_DIM, BLOCK_K)
    store(dk + head * HEAD_DIM, sum_k, first, end, OUT_ROW, HEAD_DIM, BLOCK_K)
    store(dv + head * HEAD_DIM, sum_v, first, end, OUT_ROW, HEAD_DIM, BLOCK_K)


@triton.jit(do_not_specialize=["n_queries", "left", "right"])
def attention_backward_queries(
    d_out, q, k, v, lse, delta, dq, tiles, n_queries, scale, left, right, cos, sin, q_positions,
    HEAD_DIM: tl.constexpr,
    Q_ROW: tl.constexpr, Q_HEAD: tl.constexpr,
    K_ROW: tl.constexpr, K_HEAD: tl.constexpr,
    V_ROW: tl.constexpr, V_HEAD: tl.constexpr,
    OUT_ROW: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Compute dq. One program owns a block of queries of one head and walks the keys that they see."""
    head = tl.program_id(1).to(tl.int64)
    first, end, keys_first, keys_end = owned(tiles, BLOCK_Q)
    keys_first, keys_end = within_reach(first, end, keys_first, keys_end, left, right, BLOCK_Q)
    queries = first + tl.arange(0, BLOCK_Q)
    block_q = load(q + head * Q_HEAD, first, end, Q_ROW, HEAD_DIM, BLOCK_Q)
    block_d_out = load(d_out + head * HEAD_DIM, first, end, OUT_ROW, HEAD_DIM, BLOCK_Q)
    at = head * n_queries + queries
    log_sum = tl.load(lse + at, mask=queries < end, other=float("inf")) * LOG2_E
    softmax_part = tl.load(delta + at, mask=queries < end, other=0.0)
    k += head * K_HEAD
    v += head * V_HEAD

    sum_q = tl.zeros(block_q.shape, tl.float32)
    for start in range(keys_first, keys_end, BLOCK_K):
        keys = start + tl.arange(0, BLOCK_K)
        block_k = load(k, start, keys_end, K_ROW, HEAD_DIM, BLOCK_K)
        block_v = load(v, start, keys_end, V_ROW, HEAD_DIM, BLOCK_K)
        weights = tl.exp2(dot(block_q, tl.trans(block_k)) * (scale * LOG2_E) - log_sum[:, None])
        seen = visible(queries[:, None], keys[None, :], keys_end, left, right)
        weights = tl.where(seen, weights, 0.0)
        d_scores = weights * (dot(block_d_out, tl.trans(block_v)) - softmax_part[:, None])
        sum_q += dot(rounded(d_scores, block_k.dtype), block_k)

    sum_q *= scale
    if cos is not None:
        sum_q = turned_back(sum_q, first, end, cos, sin, q_positions, HEAD_DIM, BLOCK_Q)
    store(dq + head * HEAD_DIM, sum_q, first, end, OUT_ROW, HEAD_DIM, BLOCK_Q)
