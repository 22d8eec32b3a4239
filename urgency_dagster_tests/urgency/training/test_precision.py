import pytest
import torch

from urgency_dagster.errors import SettingsError
from urgency_dagster.urgency.training.precision import MixedPrecision


def product(precision: MixedPrecision) -> torch.dtype:
    ones = torch.ones(2, 2)
    with precision.autocast():
        return (ones @ ones).dtype


@pytest.mark.parametrize(("precision", "dtype"), [("no", torch.float32), ("bf16", torch.bfloat16)])
def test_products_are_computed_in_the_precision(precision: str, dtype: torch.dtype) -> None:
    assert product(MixedPrecision("cpu", precision)) == dtype
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32, "it ends with the block"


def test_what_the_device_cannot_compute_is_refused() -> None:
    with pytest.raises(SettingsError, match="mixed_precision = fp16 on the device cpu"):
        MixedPrecision("cpu", "fp16")


def test_a_step_clips_the_gradients_and_updates() -> None:
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    precision = MixedPrecision("cpu", "no")
    precision.backward((weight**2).sum() / 2)
    precision.step(torch.optim.SGD([weight], lr=1.0), [weight], clip_norm=1.0)
    torch.testing.assert_close(weight.data, torch.tensor([3.0 - 0.6, 4.0 - 0.8]))
