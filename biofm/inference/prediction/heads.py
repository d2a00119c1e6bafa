"""Heads: small networks compute numbers or probabilities from the vectors of an encoder."""

from dataclasses import dataclass

import numpy as np
import torch
from biofm_datasets.arrays import Floats
from numpy.typing import NDArray
from torch import Tensor, nn

from biofm.core.choices import HeadPool, PoolName, Task
from biofm.core.errors import ModelError
from biofm.nn.supervised import prediction_head

State = dict[str, Tensor]

QUERY = "pool.query"
SHIFT, SCALE = "targets.shift", "targets.scale"


@dataclass(frozen=True, slots=True)
class Head:
    """Holds the trained layers on top of an encoder.

    The layers of a regression compute standardised targets, which ``scale`` and ``shift`` turn back into
    targets. Those of other tasks compute logits.

    Attributes:
        task: The kind of labels.
        layers: The layers, which read one vector for each row.
        query: The vector that pools the residues of a sequence by attention; None if the head does not pool.
        shift: The mean of each target of a regression; None for other tasks.
        scale: The standard deviation of each target of a regression; None for other tasks.
    """

    task: Task
    layers: nn.Sequential
    query: Tensor | None = None
    shift: Tensor | None = None
    scale: Tensor | None = None

    @torch.inference_mode()
    def outputs(self, rows: Floats, lengths: NDArray[np.int64]) -> Floats:
        """Compute the predicted numbers or probabilities.

        There is one row of outputs for each residue where the labels are per residue, else for each sequence.

        Args:
            rows: The vectors from an embedder: for each residue where the labels are per residue or the head
                pools by attention, else for each sequence.
            lengths: The lengths of the sequences in residues.
        """
        x = torch.from_numpy(rows)
        if self.query is not None:
            x = pool_by_attention(x, self.query, lengths.tolist())
        y: Tensor = self.layers(x)
        if self.task == "regression":
            assert self.shift is not None
            assert self.scale is not None
            return (y * self.scale + self.shift).numpy()
        return (y.sigmoid() if self.task == "multi-label" else y.softmax(-1)).numpy()

    @property
    def d_model(self) -> int:
        """The number of dimensions of the vectors that the head reads."""
        return self._linear[0].in_features

    @property
    def n_outputs(self) -> int:
        """The number of outputs that the head has for a row."""
        return self._linear[-1].out_features

    @property
    def _linear(self) -> list[nn.Linear]:
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def state(self) -> State:
        """Return the tensors from which ``read_head`` restores this head."""
        state = {f"head.{name}": tensor for name, tensor in self.layers.state_dict().items()}
        others = {QUERY: self.query, SHIFT: self.shift, SCALE: self.scale}
        return state | {name: tensor for name, tensor in others.items() if tensor is not None}


def linear_head(task: Task, weights: Floats, bias: Floats) -> Head:
    """Return the head that computes ``weights`` x + ``bias``.

    Args:
        task: The kind of labels. The outputs of a regression are the targets themselves, not standardised.
        weights: The weights, of shape (outputs, d_model).
        bias: One number for each output.
    """
    state = {"head.1.weight": torch.from_numpy(weights), "head.1.bias": torch.from_numpy(bias)}
    if task == "regression":
        state |= {SHIFT: torch.zeros(len(bias)), SCALE: torch.ones(len(bias))}
    return read_head(task, state, "a new head")


def read_head(task: Task, state: State, where: str) -> Head:
    """Restore a head from its tensors by name.

    Raise ModelError, naming ``where``, if a tensor is missing, does not fit the others, or is not finite.
    """
    for name, weights in state.items():
        if not weights.isfinite().all():
            what = f"the tensor {name} of a head holds NaN or infinity"
            raise ModelError(what, where=where, remedy="Copy the predictor's folder again, or train it again")
    try:
        first, last = state["head.1.weight"], state.get("head.4.weight", state["head.1.weight"])
        n_hidden = len(first) if last is not first else 0
        if first.ndim != 2 or last.ndim != 2 or (n_hidden and last.shape[1] != n_hidden):
            raise ValueError(f"weights of shapes {list(first.shape)} and {list(last.shape)}")
        layers = prediction_head(first.shape[1], len(last), 0.0, n_hidden)
        own = {name.removeprefix("head."): tensor for name, tensor in state.items() if name[:5] == "head."}
        layers.load_state_dict({name: tensor.float() for name, tensor in own.items()})
        scaling = [state[name].float() for name in (SHIFT, SCALE)] if task == "regression" else [None, None]
        query = state.get(QUERY)
        wanted = [(one, len(last)) for one in scaling] + [(query, first.shape[1])]
        for tensor, n in wanted:
            if tensor is not None and tensor.shape != (n,):
                raise ValueError(f"a shape of {list(tensor.shape)} where [{n}] belongs")
    except (KeyError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        what = f"the tensors of a head do not fit ({reason})"
        raise ModelError(what, where=where, remedy="Copy the predictor's folder again") from error
    return Head(task, layers.eval().requires_grad_(False), query, *scaling)


def embedder_pool(task: Task, pool: HeadPool) -> PoolName:
    """Return the pooling of the embedder, which is "none" where the head needs every residue.

    Args:
        task: The kind of labels; those per residue need every residue.
        pool: The pooling of the head; "attention" needs every residue.
    """
    return "none" if task == "per-residue" or pool == "attention" else pool


def pool_by_attention(rows: Tensor, query: Tensor, lengths: list[int]) -> Tensor:
    """Compute Σ softmax(x · query) x over each sequence, as ``nn.supervised.AttentionPool`` does."""
    pooled = [part.T @ (part @ query).softmax(0) for part in rows.split(lengths)]
    return torch.stack(pooled) if pooled else rows.new_empty(0, rows.shape[1])
