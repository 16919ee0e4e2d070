"""torch.nn.MultiheadAttention with sparse weights: the same constructor, forward and parameters, so that its
weights load and its users need not change. What differs: attention weights come from sparsemax or entmax-1.5
(softmax gives torch's own results), and a query that may see no key attends to nothing instead of giving
NaN."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import Normalizer, SparseMask, sparse_mask_attention


def _added_to_scores(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask of torch's modules, bool (True = may not see) or floating, as a number to add."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, -math.inf)


def _without_padding(padding: Tensor, queries: int, causal: bool) -> SparseMask:
    """The keys that are not padding [N, S], as one row for all queries of a sequence. Its size does not
    depend on the values, so that it can be traced: what lies behind the end of a row is not read."""
    batch, keys = padding.shape
    first = torch.arange(batch, device=padding.device) * keys
    visible = padding.sort(
        dim=1, stable=True
    ).indices  # those that are not padding come first, in their order
    ends = first + keys - padding.sum(1)
    return SparseMask(
        causal=causal,
        row_offsets=torch.stack([first, ends], 1),
        key_indices=visible.flatten(),
        block_rows=max(queries, 1),
    )


class SparsemaxAttention(nn.MultiheadAttention):
    """Drop-in for :class:`torch.nn.MultiheadAttention`; see there for the arguments and shapes.

    ``normalizer``: "sparsemax" (default), "entmax15" or "softmax". ``dropout`` of attention weights,
    ``add_bias_kv`` and ``add_zero_attn`` are not supported. Without masks, with ``is_causal`` and with a bool
    ``key_padding_mask`` alone the scores of keys that provably get weight 0 are not computed; an
    ``attn_mask`` or a floating padding mask is added to all scores.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        normalizer: Normalizer = "sparsemax",
    ) -> None:
        if dropout != 0.0 or add_bias_kv or add_zero_attn:
            raise ValueError(
                "SparsemaxAttention: expected dropout=0, add_bias_kv=False and add_zero_attn=False, "
                f"got {dropout}, {add_bias_kv} and {add_zero_attn}"
            )
        if normalizer not in ("softmax", "sparsemax", "entmax15"):
            raise ValueError(
                f"SparsemaxAttention: expected normalizer softmax, sparsemax or entmax15, got {normalizer!r}"
            )
        super().__init__(
            embed_dim, num_heads, 0.0, bias, False, False, kdim, vdim, batch_first, device=device, dtype=dtype
        )
        self.normalizer: Normalizer = normalizer
        # torch.nn.TransformerEncoderLayer in eval mode replaces a self-attention that says True here by fused
        # softmax attention, without calling it.
        self._qkv_same_embed_dim = False

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                nn.init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            nn.init.zeros_(self.in_proj_bias)
            nn.init.zeros_(self.out_proj.bias)

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """[N, L, E] and so on -> [N, H, L, d]."""
        if self.in_proj_weight is not None and query is key and key is value:
            parts = F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
        else:
            if self.in_proj_weight is not None:
                weights = self.in_proj_weight.chunk(3)
            else:
                weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
            biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
            parts = [F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]
        return [part.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2) for part in parts]

    def _visibility(
        self,
        query: Tensor,
        key: Tensor,
        key_padding_mask: Tensor | None,
        attn_mask: Tensor | None,
        is_causal: bool,
    ) -> dict[str, Any]:
        """The masks as a rule where that is possible, else as a bias [1 or N, 1 or H, 1 or L, S]."""
        queries, keys = query.shape[2], key.shape[2]
        if is_causal and attn_mask is None and queries != keys:
            raise ValueError(
                "SparsemaxAttention: is_causal without attn_mask needs as many queries as keys, "
                f"got {queries} and {keys}"
            )
        causal = is_causal and queries == keys  # the hint says that attn_mask is this rule
        masks = []
        if attn_mask is not None and not causal:
            if attn_mask.dim() == 3:
                attn_mask = attn_mask.unflatten(0, (-1, self.num_heads))
            masks.append(_added_to_scores(attn_mask, query.dtype))
        if key_padding_mask is not None:
            if not masks and key_padding_mask.dtype == torch.bool:
                return {"mask": _without_padding(key_padding_mask, queries, causal)}
            masks.append(_added_to_scores(key_padding_mask, query.dtype)[:, None, None, :])
        return {"mask": SparseMask(causal=causal), "bias": sum(masks) if masks else None}

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """query [L, N, E], key [S, N, kdim], value [S, N, vdim] ([N, L, E] .. with ``batch_first``, [L, E] ..
        without a batch) -> (output like query, weights).

        ``key_padding_mask`` [N, S] and ``attn_mask`` [L, S] or [N * num_heads, L, S]: bool, True = may not
        see, or floating, added to the scores. ``is_causal`` is the causal rule, and with an ``attn_mask`` the
        promise that it is that rule. ``need_weights=False`` saves the weights' memory and time; else they are
        [N, L, S], averaged over the heads, or [N, num_heads, L, S]. The output has the same bits either way.
        """
        batched = query.dim() == 3
        transposed = batched and not self.batch_first
        if transposed:
            same = query is key and key is value
            query, key, value = (
                (query.transpose(0, 1),) * 3 if same else (x.transpose(0, 1) for x in (query, key, value))
            )
        elif not batched:
            same = query is key and key is value
            query, key, value = (query[None],) * 3 if same else (x[None] for x in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
        q, k, v = self._projected(query, key, value)
        visible = self._visibility(q, k, key_padding_mask, attn_mask, is_causal)
        attended = sparse_mask_attention(q, k, v, normalizer=self.normalizer, **visible)
        output = self.out_proj(attended.transpose(1, 2).flatten(2))
        weights = None
        if (
            need_weights
        ):  # a row of the identity as the value of a key: the result is the row of weights itself
            unit = torch.eye(k.shape[2], dtype=k.dtype, device=k.device).expand(*k.shape[:2], -1, -1)
            weights = sparse_mask_attention(q, k, unit, normalizer=self.normalizer, **visible)
            if average_attn_weights:
                weights = weights.mean(1)
        if transposed:
            return output.transpose(0, 1), weights
        if not batched:
            return output[0], None if weights is None else weights[0]
        return output, weights
