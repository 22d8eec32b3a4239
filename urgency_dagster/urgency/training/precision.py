"""Mixed precision on one device: autocast of the forward pass, and loss scaling for fp16.

Weights, losses and the optimiser stay float32.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from urgency_dagster.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer


class MixedPrecision:
    """How the steps of a training compute.

    Attributes:
        scaler: scales the loss so that fp16 gradients do not underflow; None in other precisions.

    Args:
        device: a torch device.
        precision: `no`, `bf16` or `fp16`, see `TrainingConfig.mixed_precision`.

    Raises:
        SettingsError: the device cannot compute in that precision.
    """

    def __init__(self, device: str, precision: str) -> None:
        import torch

        self._device_type = torch.device(device).type
        _check_precision(self._device_type, precision)
        self._dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        self.scaler = torch.amp.GradScaler(self._device_type) if precision == "fp16" else None

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a forward pass; its outputs may have 16 bits."""
        import torch

        return torch.autocast(self._device_type, self._dtype) if self._dtype else nullcontext()

    def backward(self, loss: "Tensor") -> None:
        """Adds the gradients of a loss, scaled in fp16."""
        (self.scaler.scale(loss) if self.scaler else loss).backward()  # type: ignore[no-untyped-call]

    def step(self, optimizer: "Optimizer", parameters: "Iterable[Tensor]", clip_norm: float) -> None:
        """Clips the gradients to a norm and updates the parameters; fp16 skips a step whose gradients overflowed."""
        from torch.nn.utils import clip_grad_norm_

        if self.scaler is None:
            clip_grad_norm_(parameters, clip_norm)
            optimizer.step()
            return
        self.scaler.unscale_(optimizer)
        clip_grad_norm_(parameters, clip_norm)
        self.scaler.step(optimizer)
        self.scaler.update()


def current_device(device: str) -> AbstractContextManager[Any]:
    """Makes a CUDA device the current one; other devices need nothing."""
    import torch

    return torch.cuda.device(device) if device.startswith("cuda") else nullcontext()


def _check_precision(device_type: str, precision: str) -> None:
    import torch

    no_fp16 = precision == "fp16" and device_type != "cuda"
    no_bf16 = precision == "bf16" and device_type == "cuda" and not torch.cuda.is_bf16_supported()
    if no_fp16 or no_bf16:
        raise SettingsError(
            f"mixed_precision = {precision} on the device {device_type}",
            "a precision that the device computes in",
            "use `no`, which every device can",
        )
