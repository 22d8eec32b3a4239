"""Oversampling: synthetic rows that make both classes equally frequent. `models` decides which rows are oversampled.

Source: Chawla et al., "SMOTE", JAIR 16 (2002), with SMOTENC for categorical columns; the choice follows the K-EmoPhone
supplementary code.
"""

import numpy as np

from urgency_dagster.errors import AttentionError

NEIGHBOURS = 5
"""Nearest neighbours of the same class that a synthetic row is interpolated with: imbalanced-learn's default."""


def synthetic_rows(X: np.ndarray, y: np.ndarray, categorical: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic rows of the rarer class.

    Args:
        X: (n, k) float32, the categorical columns first.
        y: (n,) 0 or 1.
        categorical: number of categorical columns. SMOTENC is used if there are any, SMOTE otherwise.
        seed: seed of the oversampler.

    Returns:
        The rows, (s, k) float32, and their labels, (s,) int64.

    Raises:
        AttentionError: the rarer class has at most NEIGHBOURS rows, or no column is numeric.
    """
    from imblearn.over_sampling import SMOTE, SMOTENC

    rarest = int(min((y == 0).sum(), (y == 1).sum()))
    if rarest <= NEIGHBOURS:
        received = f"{rarest} training rows of the rarer class cannot be oversampled"
        raise AttentionError(received, f"more than {NEIGHBOURS}", "turn oversample off or add rows")
    if categorical == X.shape[1]:
        received = f"all {categorical} selected features are categorical and cannot be oversampled"
        raise AttentionError(received, "at least one numeric feature", "turn oversample off")
    settings = {"k_neighbors": NEIGHBOURS, "random_state": seed}
    sampler = SMOTENC(list(range(categorical)), **settings) if categorical else SMOTE(**settings)
    # imbalanced-learn returns the original rows first, then the synthetic rows.
    all_X, all_y = sampler.fit_resample(X, y)
    return all_X[len(X) :].astype(np.float32), all_y[len(X) :].astype(np.int64)
