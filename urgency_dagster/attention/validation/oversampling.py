"""Synthetic rows that make two classes equally frequent. Which rows are oversampled is decided in `estimators`.

Source: Chawla et al., "SMOTE", JAIR 16 (2002), with SMOTENC for categorical columns; the choice follows the K-EmoPhone
supplementary code.
"""

import numpy as np

from urgency_dagster.errors import AttentionError

NEIGHBOURS = 5
"""A synthetic row lies between a row and one of its five nearest of the same class: imbalanced-learn's default."""


def synthetic_rows(X: np.ndarray, y: np.ndarray, categorical: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows that X lacks of its rarer class.

    Args:
        X: (n, k) float32, the categorical columns first.
        y: (n,) 0 or 1.
        categorical: how many of the k columns are categorical; without any it is SMOTE, otherwise SMOTENC.
        seed: which rows are drawn.

    Returns:
        (s, k) float32 and (s,) int64.

    Raises:
        AttentionError: the rarer class has too few rows to have neighbours, or no column is numeric.
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
    # imbalanced-learn gives the old rows back, in front of the new ones.
    enlarged_X, enlarged_y = sampler.fit_resample(X, y)
    return enlarged_X[len(X) :].astype(np.float32), enlarged_y[len(X) :].astype(np.int64)
