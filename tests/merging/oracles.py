"""Merging methods in NumPy float64, written from the papers; nothing of mergelaw is imported.

A task vector is flat, tensors in order of their names; `spans` are the tensors' slices in it. What
may differ by expert (weights, density, ...) is one number, or a sequence in the experts' order.
"""

import numpy as np

# --- combining -----------------------------------------------------------------------------------


def weighted(vectors, weights=None, scale=1.0, normalize=True):
    """Weighted sum of task vectors times c; normalised: divided by the sum of the weights."""
    weights = each(1.0 if weights is None else weights, vectors)
    total = sum(w * v for w, v in zip(weights, vectors, strict=True))
    return scale * total / (sum(weights) if normalize else 1.0)


def average(vectors, weights=None):
    """Mean of the task vectors (Wortsman et al., arXiv 2203.05482), or their weighted mean."""
    return weighted(vectors, weights)


def task_arithmetic(vectors, scale, weights=None, normalize=True):
    """Sum of alpha v_i, alpha = c / k (Wang et al., arXiv 2509.24244, equation 2 and Table 1).

    With weights alpha_i = c w_i / sum w; not normalised alpha_i = c w_i, which at equal weights is
    the sum of Ilharco et al., arXiv 2212.04089.
    """
    return weighted(vectors, weights, scale, normalize)


def elected(vectors, scale=1.0, weights=None, normalize=True, zero_sign="positive"):
    """Elect a sign and merge what agrees with it (Yadav et al., arXiv 2306.01708, Algorithm 1).

    The elected sign is that of the sum of w_i v_i. Where that is 0 the paper leaves the sign open:
    + (`positive`), or that of most entries of the whole model (`majority`, as its authors' code).
    The disjoint mean is over the experts whose w_i v_i has that sign; 0 where there are none.
    """
    weights = each(1.0 if weights is None else weights, vectors)
    votes = [w * v for w, v in zip(weights, vectors, strict=True)]
    signs = np.sign(sum(votes))
    most = 1.0 if zero_sign == "positive" or signs.sum() >= 0 else -1.0
    signs[signs == 0] = most
    agreeing = [np.sign(vote) == signs for vote in votes]
    total = sum(np.where(mask, vote, 0.0) for mask, vote in zip(agreeing, votes, strict=True))
    share = sum(np.where(mask, w, 0.0) for mask, w in zip(agreeing, weights, strict=True))
    return scale * total / np.where(share == 0, 1.0, share if normalize else 1.0)


# --- making sparse -------------------------------------------------------------------------------


def descending(entries):
    """Places of entries by descending magnitude; of equal ones the first comes first."""
    return np.argsort(-np.abs(entries), kind="stable")


def n_kept(density, n):
    """Number of entries kept of n: at least one."""
    return max(1, int(density * n))


def only(places, entries):
    """The entries at some places, 0 elsewhere."""
    out = np.zeros_like(entries)
    out[places] = entries[places]
    return out


def keep_largest(vector, density):
    """Keep the `density` share of largest magnitude, the first ones where magnitudes are equal."""
    return only(descending(vector)[: n_kept(density, vector.size)], vector)


def keep_threshold(vector, density):
    """Keep what is at least as large as the (floor(density n) + 1)-th largest magnitude.

    This is what the code of the authors of TIES keeps: one entry more than the stated share, and
    all that equal the last one.
    """
    place = int(density * vector.size)
    if place >= vector.size:
        return vector.copy()
    magnitude = np.abs(vector)
    return np.where(magnitude >= np.sort(magnitude)[::-1][place], vector, 0.0)


def keep_band(tensor, density, gamma):
    """Remove outliers, then keep the largest of the rest (Davari & Belilovsky, arXiv 2312.06795).

    The paper masks the top and the bottom of each layer by percentiles. In counts: the largest
    floor(gamma n) go, the next floor(density n) stay; fewer go where too few would be left.
    """
    kept = n_kept(density, tensor.size)
    start = min(int(gamma * tensor.size), tensor.size - kept)
    return only(descending(tensor)[start : start + kept], tensor)


def drop(vector, dropped, rate, rescale="inverse", spans=None):
    """Drop, then rescale by 1 / (1 - rate) (Yu et al., arXiv 2311.03099, equations 2 to 4).

    `l1` brings each tensor back to its former L1 norm instead; `none` leaves what is kept as it is.
    """
    masked = np.where(dropped, 0.0, vector)
    return masked / (1 - rate) if rescale == "inverse" else brought(masked, vector, rescale, spans)


def keep_chance(tensor, density, epsilon):
    """Chances of MagPrune (Deep et al., arXiv 2406.11617), in the tensor's shape.

    Rows are along the last dimension. A row's entries are ranked by magnitude, r = 0 .. m - 1, the
    first of equal ones first; the chance is linear in r, from density - epsilon to density +
    epsilon, and cut to [0, 1].
    """
    m = tensor.shape[-1]
    rank = np.argsort(np.argsort(np.abs(tensor), axis=-1, kind="stable"), axis=-1)
    if m == 1:
        return np.full(tensor.shape, density)
    return np.clip(density - epsilon + 2 * epsilon * rank / (m - 1), 0, 1)


def magprune(tensor, chance, uniform, rescale="inverse"):
    """Keep each entry by its chance, given uniform draws, and divide it by that chance."""
    masked = np.where(uniform < chance, tensor, 0.0)
    if rescale == "inverse":
        return np.divide(masked, chance, out=np.zeros_like(masked), where=chance > 0)
    return brought(masked.ravel(), tensor.ravel(), rescale).reshape(tensor.shape)


def brought(masked, vector, rescale, spans=None):
    """Masked tensors at the L1 norm that they had before (`l1`), or as they are (`none`)."""
    out = masked.copy()
    if rescale == "l1":
        for span in spans or [slice(None)]:
            left = np.abs(masked[span]).sum()
            out[span] *= np.abs(vector[span]).sum() / left if left else 0.0
    return out


# --- methods of sparse vectors -------------------------------------------------------------------


def ties(vectors, density, scale, spans=None, *, keep="exact", **election):
    """Trim, elect sign, disjoint mean (Yadav et al., arXiv 2306.01708, Algorithm 1).

    `spans` are given where the trim threshold is one per tensor; else it is one per expert.
    """
    trim = {"exact": keep_largest, "threshold": keep_threshold}[keep]
    return elected(per_tensor(trim, vectors, spans, each(density, vectors)), scale, **election)


def dare(vectors, masks, scale, rescale="inverse", spans=None, **mean):
    """Drop, rescale, average, given masks of dropped entries and their rates (arXiv 2311.03099)."""
    return weighted(dropped(vectors, masks, rescale, spans), scale=scale, **mean)


def dare_ties(vectors, masks, scale, rescale="inverse", spans=None, **election):
    """Drop and rescale, then TIES without its trimming (arXiv 2311.03099)."""
    return elected(dropped(vectors, masks, rescale, spans), scale, **election)


def dropped(vectors, masks, rescale, spans):
    """Task vectors after DARE, given (mask, rate) of each."""
    return [drop(v, m, r, rescale, spans) for v, (m, r) in zip(vectors, masks, strict=True)]


def banded(vectors, density, gamma, spans):
    """Task vectors after Model Breadcrumbs' mask."""
    density, gamma = each(density, vectors), each(gamma, vectors)
    return per_tensor(keep_band, vectors, spans, density, gamma)


# --- methods of whole tensors --------------------------------------------------------------------


def model_stock(vectors):
    """Interpolate from the base to the mean of one tensor (Jang et al., arXiv 2403.19522).

    t = k cos / (1 + (k - 1) cos) of their equation for k models, whose angle is one for all pairs;
    here cos is the mean over the pairs. Where task vectors cancel, and with them the denominator,
    the base stays.
    """
    k = len(vectors)
    cos = np.mean([cosine(vectors[i], vectors[j]) for i in range(k) for j in range(i)])
    t = k * cos / (1 + (k - 1) * cos) if 1 + (k - 1) * cos > 1e-6 else 0.0
    return t * np.mean(vectors, axis=0)


def sce(vectors, density):
    """Select, calculate, erase in one tensor (Wan et al., arXiv 2408.07990).

    Select the entries that vary most over the experts; weigh an expert by its share of the squares
    of what is selected; erase what goes against the sign of the sum; merge by the weights left.
    """
    variance = np.var(vectors, axis=0)
    places = np.argsort(-variance, kind="stable")[: int(density * np.count_nonzero(variance))]
    selected = vectors if density == 1 else [only(places, v) for v in vectors]
    energy = np.array([np.square(v).sum() for v in selected])
    signs = np.where(sum(selected) >= 0, 1.0, -1.0)
    agreeing = [np.sign(v) == signs for v in selected]
    parts = list(zip(energy / (energy.sum() or 1.0), selected, agreeing, strict=True))
    total = sum(w * np.where(mask, v, 0.0) for w, v, mask in parts)
    share = sum(w * mask for w, _, mask in parts)
    return np.divide(total, share, out=np.zeros_like(total), where=share > 0)


def slerp(one, two, t, straight=0.9995):
    """Spherical path from one tensor to another (Shoemake, SIGGRAPH 1985).

    Shoemake's path joins unit vectors; here its coefficients are applied to the vectors themselves.
    Where |cos| exceeds `straight` the path is a line.
    """
    cos = cosine(one, two)
    if abs(cos) > straight:
        return (1 - t) * one + t * two
    angle = np.arccos(cos)
    return (np.sin((1 - t) * angle) * one + np.sin(t * angle) * two) / np.sin(angle)


def karcher(tensors, weights, max_iterations=1000, tolerance=1e-13):
    """Mean of directions on the sphere (Karcher 1977), at the weighted mean of the norms.

    The mean m of unit vectors u_i minimises sum w_i angle(m, u_i)^2: at it sum w_i log_m(u_i) = 0.
    From the normalised weighted mean, m moves along that sum until the step is short. A tensor of
    zeros has no direction: it counts in the mean of the norms alone. Directions that cancel have
    no mean: the first one is taken.
    """
    shares = np.array(each(weights, tensors)) / sum(each(weights, tensors))
    norms = [np.linalg.norm(t) for t in tensors]
    if not any(norms):
        return np.zeros_like(tensors[0])
    units = [unit(t) for t, norm in zip(tensors, norms, strict=True) if norm]
    weights = [share for share, norm in zip(shares, norms, strict=True) if norm]
    m = weighted(units, weights)
    m = unit(m) if np.linalg.norm(m) > 1e-9 else units[0]
    for _ in range(max_iterations):
        step = weighted([log_map(m, u) for u in units], weights)
        length = np.linalg.norm(step)
        if length < tolerance:
            break
        m = unit(np.cos(length) * m + np.sin(length) * step / length)
    return float(shares @ norms) * m


def log_map(m, u):
    """Tangent at m that points to u, as long as their angle; to -m there is no way to prefer."""
    aside = u - (m @ u) * m
    length = np.linalg.norm(aside)
    return np.arctan2(length, m @ u) * aside / length if length > 1e-9 else np.zeros_like(u)


# --- help ----------------------------------------------------------------------------------------


def each(value, vectors):
    """One number for each expert."""
    return [value] * len(vectors) if np.isscalar(value) else list(value)


def per_tensor(operator, vectors, spans, *parameters):
    """Apply an operator to each tensor of each vector; each parameter has a number per expert."""
    return [
        np.concatenate([operator(v[s], *own) for s in spans or [slice(None)]])
        for v, *own in zip(vectors, *parameters, strict=True)
    ]


def whole_tensors(operator, vectors, spans):
    """Apply an operator of all experts' entries of one tensor to each tensor."""
    return np.concatenate([operator([v[s] for v in vectors]) for s in spans])


def cosine(one, two):
    """Cosine of the angle of two vectors; 0 where one of them is 0."""
    norms = np.linalg.norm(one) * np.linalg.norm(two)
    return float(np.clip(one @ two / norms, -1, 1)) if norms else 0.0


def unit(vector):
    """A vector brought to length 1."""
    return vector / np.linalg.norm(vector)


# --- random numbers ------------------------------------------------------------------------------

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
