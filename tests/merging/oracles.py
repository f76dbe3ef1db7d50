"""Merging methods in NumPy float64, written from the papers; nothing of mergelaw is imported."""

import numpy as np


def average(vectors):
    """Mean of the task vectors (Wortsman et al., arXiv 2203.05482)."""
    return np.mean(vectors, axis=0)


def task_arithmetic(vectors, scale):
    """Sum of alpha v_i, alpha = c / k (Wang et al., arXiv 2509.24244, equation 2 and Table 1)."""
    alpha = scale / len(vectors)
    return sum(alpha * v for v in vectors)


def keep_largest(vector, density):
    """Keep the `density` share of largest magnitude, the first ones where magnitudes are equal."""
    kept = np.argsort(-np.abs(vector), kind="stable")[: round(density * vector.size)]
    out = np.zeros_like(vector)
    out[kept] = vector[kept]
    return out


def ties(vectors, density, scale, spans=None):
    """Trim, elect sign, disjoint mean (Yadav et al., arXiv 2306.01708, Algorithm 1).

    `spans` are the tensors' slices where the trim threshold is one per tensor.
    """
    spans = spans or [slice(None)]
    trimmed = [np.concatenate([keep_largest(v[s], density) for s in spans]) for v in vectors]
    merged = np.zeros_like(trimmed[0])
    for p in range(merged.size):
        values = [t[p] for t in trimmed]
        sign = 1.0 if sum(values) >= 0 else -1.0
        agreeing = [value for value in values if value * sign > 0]
        merged[p] = np.mean(agreeing) if agreeing else 0.0
    return scale * merged


def dare(vectors, masks, scale):
    """Drop, rescale, average, given masks of dropped entries and their rates (arXiv 2311.03099)."""
    return scale * np.mean(
        [
            np.where(mask, 0.0, v / (1 - rate))
            for v, (mask, rate) in zip(vectors, masks, strict=True)
        ],
        axis=0,
    )


M0, M1 = 0xD2E7470EE14C6C93, 0xCA5A826395121157
W0, W1 = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
WORD = 2**64 - 1


def philox(counter, key):
    """Philox4x64-10 (Salmon et al., SC 2011, section 3.3): four words from a counter and a key."""
    c, k = list(counter), list(key)
    for turn in range(10):
        if turn:
            k = [(k[0] + W0) & WORD, (k[1] + W1) & WORD]
        p0, p1 = M0 * c[0], M1 * c[2]
        c = [(p1 >> 64) ^ c[1] ^ k[0], p1 & WORD, (p0 >> 64) ^ c[3] ^ k[1], p0 & WORD]
    return c
