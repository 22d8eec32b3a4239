"""The exported model folder: the model folder with its network in OpenVINO beside the weights, verified.

model.safetensors  config.json  card.json  README.md  text_encoder/…  openvino/{openvino_model.xml, openvino_model.bin}
label_free_gap/, once it is measured, with the thresholds for calls without labels
"""

import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from urgency_dagster.errors import ArtefactError
from urgency_dagster.extras import require_extra
from urgency_dagster.paths import StoragePaths
from urgency_dagster.urgency.data.batches import UtteranceDataset, tokenise
from urgency_dagster.urgency.data.dataset import read_training_set
from urgency_dagster.urgency.data.tables import VALIDATION
from urgency_dagster.urgency.network.inference import predict_logits
from urgency_dagster.urgency.package.cards import check_same_data
from urgency_dagster.urgency.package.label_free_gap import gap_folder_in, is_measured
from urgency_dagster.urgency.package.model_folder import (
    WEIGHTS,
    UrgencyModel,
    load_urgency_model,
    read_card,
    write_card,
)
from urgency_dagster.writing import file_hash, replacing_folder

if TYPE_CHECKING:
    import pyarrow as pa

MAX_COMPARED = 512
"""Utterances of the validation side on which both networks are compared, at most."""

MAX_DIFFERENCE = 1e-3
"""Maximum difference of a logit. Below 1e-5 is usual in float32."""

BATCH_SIZE = 32


@dataclass(frozen=True)
class ExportSummary:
    """How well the exported network agrees with that of torch.

    Attributes:
        openvino: version of OpenVINO.
        utterances: number of compared utterances of the validation side.
        max_difference: largest absolute difference of a logit.
    """

    openvino: str
    utterances: int
    max_difference: float


def export_model(paths: StoragePaths) -> ExportSummary:
    """Writes the exported model folder, and returns how well both networks agree.

    Args:
        paths: the storage root, with a model, its training set, and the vectors of the archives.

    Raises:
        ArtefactError: the model, the training set or vectors are missing or do not fit; OpenVINO cannot convert the
            network, or its logits differ by more than 1e-3. Nothing is written then.
        MissingExtraError: the extra `openvino` is not installed.
    """
    require_extra("openvino")
    from urgency_dagster.urgency.package.openvino_network import OpenVinoNetwork, write_openvino

    training_set, card = read_training_set(paths), read_card(paths.urgency.model)
    check_same_data(card, training_set.summary)
    model, rows = load_urgency_model(paths.urgency.model), _sample(training_set.side(VALIDATION))
    with replacing_folder(paths.urgency.export) as temporary:
        shutil.copytree(paths.urgency.model, temporary, dirs_exist_ok=True)
        write_openvino(temporary, model.network, model.config)
        _copy_gap(paths, temporary)
        summary = _compared(paths, rows, model, OpenVinoNetwork(temporary))
        write_card(temporary, card | {"openvino": asdict(summary)})
    return summary


def _copy_gap(paths: StoragePaths, exported: Path) -> None:
    """Copies what was measured of the model without labels, if it can be used: it holds figures alone."""
    gap = paths.urgency.label_free_gap
    if is_measured(gap, file_hash(paths.urgency.model / WEIGHTS)):
        shutil.copytree(gap, gap_folder_in(exported))


def _compared(paths: StoragePaths, rows: "pa.Table", model: UrgencyModel, network: Any) -> ExportSummary:
    utterances = UtteranceDataset(paths, rows, tokenise(rows["text"], model.tokenizer, model.max_length))
    ours, exported = (
        predict_logits(some, utterances, batch_size=BATCH_SIZE, device="cpu") for some in (model.network, network)
    )
    pairs = ((ours.urgency, exported.urgency), (ours.sentiment, exported.sentiment))
    difference = max(float(np.abs(one - other).max()) for one, other in pairs)
    if not difference <= MAX_DIFFERENCE:  # NaN is no agreement
        raise ArtefactError(
            f"the logits of the network in OpenVINO differ by {difference:.2g}",
            f"at most {MAX_DIFFERENCE}",
            "use the model folder with torch, or another version of OpenVINO",
        )
    return ExportSummary(version("openvino"), len(utterances), difference)


def _sample(rows: "pa.Table") -> "pa.Table":
    """At most MAX_COMPARED rows, evenly spread."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), MAX_COMPARED)).round().astype(np.int64)
    return rows.take(places)
