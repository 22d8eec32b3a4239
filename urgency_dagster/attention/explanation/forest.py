"""A random forest as a LightGBM booster, whose C++ code computes exact TreeSHAP values.

scikit-learn computes none. The booster has the same thresholds and, in each leaf, the forest's share of class 1, so it
predicts the forest's probability.

Source: LightGBM's model format, `Tree::ToString` and `GBDT::SaveModelToString`.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lightgbm import Booster
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.tree._tree import Tree

NO_CHILD = -1
"""scikit-learn's mark of a leaf."""

NUMERIC_SPLIT = 2
"""LightGBM's `decision_type`: left if the value is at most the threshold; nothing is missing."""


def forest_as_booster(forest: "RandomForestClassifier") -> "Booster":
    """A booster that predicts the forest's probability of class 1 from the same features."""
    from lightgbm import Booster

    columns = forest.n_features_in_
    header = {
        "version": "v4",
        "num_class": "1",
        "num_tree_per_iteration": "1",
        "label_index": "0",
        "max_feature_idx": str(columns - 1),
        "feature_names": _joined(f"Column_{column}" for column in range(columns)),
        "feature_infos": _joined(["[-inf:inf]"] * columns),
    }
    trees = [_tree_text(number, tree.tree_, len(forest.estimators_)) for number, tree in enumerate(forest.estimators_)]
    text = "\n".join(["tree", *_lines(header), "", *trees, "end of trees", ""])
    return Booster(model_str=text)


def _tree_text(number: int, tree: "Tree", trees: int) -> str:
    """One tree in LightGBM's format. Inner nodes and leaves are numbered each; a leaf n is the child -1 - n."""
    leaf = tree.children_left == NO_CHILD
    names = np.where(leaf, -np.cumsum(leaf), np.cumsum(~leaf) - 1)
    samples = np.rint(tree.weighted_n_node_samples).astype(np.int64)
    share_of_1 = tree.value[:, 0, 1] / tree.value[:, 0].sum(axis=1)
    splits = {
        "split_feature": tree.feature,
        "threshold": tree.threshold,
        "decision_type": np.full(len(leaf), NUMERIC_SPLIT),
        "left_child": names[tree.children_left],
        "right_child": names[tree.children_right],
        "internal_count": samples,
    }
    fields = {
        "num_leaves": str(int(leaf.sum())),
        "num_cat": "0",
        **{name: _joined(values[~leaf].tolist()) for name, values in splits.items() if not leaf.all()},
        "leaf_value": _joined((share_of_1[leaf] / trees).tolist()),
        "leaf_count": _joined(samples[leaf].tolist()),
        "is_linear": "0",
        "shrinkage": "1",
    }
    return "\n".join([f"Tree={number}", *_lines(fields), "", ""])


def _lines(fields: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in fields.items()]


def _joined(values: Iterable[object]) -> str:
    return " ".join(map(str, values))
