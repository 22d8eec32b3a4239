"""A whole synthetic storage root: archives, recordings, pickle, tiny models and the settings that use them.

What the files hold is in `archives`, `unlabelled`, `wearables` and `models`; here they are put on disk, and never over
others' files.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from urgency_dagster.demo.archives import DemoPair, draw_pairs, texts, zip_pairs
from urgency_dagster.demo.models import speech_model, text_model
from urgency_dagster.demo.speech import own_process
from urgency_dagster.demo.unlabelled import unlabelled_recordings
from urgency_dagster.demo.wearables import SAMPLES, attention_pickle
from urgency_dagster.errors import SettingsError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.writing import file_hash, read_json, replacing, write_json

DEMO_CALLS = 120

SETTINGS_ENV = """\
# Written by `urgency-dagster demo`. Every command on this storage root reads it; the process environment wins.
URGENCY_SPEECH_MODEL=./models/demo/speech
URGENCY_TEXT_MODEL=./models/demo/text
"""

RUN_CONFIG = """\
# Written by `urgency-dagster demo`. What runs on this storage root override, by asset: tiny models start from random
# weights, so they need a higher learning rate and more epochs than the real ones. Vectors in float32 are the same on
# every machine.
utterance_embeddings:
  precision: float32
urgency_model:
  learning_rate: 0.002
  epochs: 8
"""


@dataclass(frozen=True)
class DemoSummary:
    """What a synthetic storage root holds.

    Attributes:
        root: the storage root.
        archives: the names of the pairs, e.g. `T_광주_구급`.
        calls: labels in all pairs, the two damaged calls included.
        utterances: labelled utterances in all pairs.
        samples: rows of the attention pickle.
        written: how many files were written; 0 when all were there already.
    """

    root: Path
    archives: tuple[str, ...]
    calls: int
    utterances: int
    samples: int
    written: int


def write_demo(
    root: Path,
    *,
    calls: int = DEMO_CALLS,
    samples: int = SAMPLES,
    seed: int = 7,
) -> DemoSummary:
    """Writes the synthetic inputs, the tiny models and their settings below `root`.

    The same arguments give the same bytes; a file that has them already is not touched.

    Args:
        root: the storage root; it and its folders are made.
        calls: labels over all archive pairs, at least `archives.MIN_CALLS`.
        samples: rows of the attention pickle.
        seed: of everything random.

    Raises:
        SettingsError: too few calls or samples; `landing/` holds a file that the demo did not write, or one of the
            demo's files was replaced by another.
        AudioError: the speech synthesiser does not work here.
    """
    paths = StoragePaths(root)
    _check_landing(paths)
    pairs = draw_pairs(calls, seed)
    contents = _contents(paths, pairs, samples, seed)
    written = _put(paths, contents)
    return DemoSummary(
        root=root,
        archives=tuple(drawn.pair.name for drawn in pairs),
        calls=calls,
        utterances=len(texts(pairs)),
        samples=samples,
        written=written,
    )


def _contents(paths: StoragePaths, pairs: tuple[DemoPair, ...], samples: int, seed: int) -> dict[Path, bytes]:
    """Every file of the demo, before any is written. The calls are spoken while the models and the table are made."""
    models = paths.root / "models" / "demo"
    lines = texts([drawn for drawn in pairs if drawn.pair.split == "T"])
    with own_process() as beside:
        zips, recordings = beside.submit(zip_pairs, pairs), beside.submit(unlabelled_recordings, seed)
        contents = {
            paths.settings_env: SETTINGS_ENV.encode(),
            paths.run_config: RUN_CONFIG.encode(),
            **{models / "speech" / name: content for name, content in speech_model(lines, seed).items()},
            **{models / "text" / name: content for name, content in text_model(lines, seed).items()},
            paths.attention_pickle: attention_pickle(samples, seed),
        }
        landed = {paths.landing_calls / name: content for name, content in zips.result().items()}
        landed |= {paths.landing_scoring / name: content for name, content in recordings.result().items()}
        return contents | landed


def _put(paths: StoragePaths, contents: Mapping[Path, bytes]) -> int:
    """Writes what is not there yet; how many files that were.

    The marker names all content before any of it is written, so that an interrupted run can be repeated.
    """
    hashes = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
    marks = {digest: paths.relative(path) for path, digest in hashes.items()}
    known = _marks(paths)
    present = {path: file_hash(path) for path in contents if path.is_file()}
    changed = [path for path, digest in hashes.items() if present.get(path) != digest]
    for path in changed:
        if path in present and present[path] not in known:
            raise _foreign(path)
    if not marks.items() <= known.items():
        write_json(_marker(paths), known | marks)
    for path in changed:
        with replacing(path) as temporary:
            temporary.write_bytes(contents[path])
    if _marks(paths) != marks:
        write_json(_marker(paths), marks)
    return len(changed)


def _check_landing(paths: StoragePaths) -> None:
    known = _marks(paths)
    for folder in (paths.landing_calls, paths.landing_scoring, paths.attention_pickle.parent):
        # Names that begin with a dot are temporary or the file manager's.
        for path in sorted(folder.rglob("[!.]*")):
            if path.is_file() and file_hash(path) not in known:
                raise _foreign(path)


def _marker(paths: StoragePaths) -> Path:
    return paths.root / "demo.json"


def _marks(paths: StoragePaths) -> dict[str, str]:
    """SHA-256 -> path of everything that the demo wrote below this root."""
    marker = _marker(paths)
    return read_json(marker) if marker.is_file() else {}


def _foreign(path: Path) -> SettingsError:
    return SettingsError(
        f"{path} was not written by the demo",
        "a storage root with nothing but the demo's files in the demo's places",
        "name another folder with --storage, so that synthetic and real data never mix",
    )
