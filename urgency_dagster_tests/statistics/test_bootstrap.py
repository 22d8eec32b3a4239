import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.statistics.bootstrap import BootstrapConfig, group_weights


@given(groups=st.integers(1, 30), resamples=st.integers(0, 5), seed=st.integers(0, 9))
def test_every_sample_holds_as_many_groups_as_there_are(groups: int, resamples: int, seed: int) -> None:
    samples = list(group_weights(groups, BootstrapConfig(resamples, seed)))
    assert len(samples) == resamples
    assert all(weights.shape == (groups,) and weights.sum() == groups for weights in samples)


def test_the_samples_are_those_of_numpys_generator() -> None:
    """Stored intervals depend on these very draws."""
    rng = np.random.default_rng(7)
    expected = [np.bincount(rng.integers(5, size=5), minlength=5).tolist() for _ in range(3)]
    assert [weights.tolist() for weights in group_weights(5, BootstrapConfig(3, seed=7))] == expected


def test_the_seed_decides_the_samples() -> None:
    first, again, other = (
        [weights.tolist() for weights in group_weights(20, BootstrapConfig(4, seed))] for seed in (1, 1, 2)
    )
    assert first == again != other
