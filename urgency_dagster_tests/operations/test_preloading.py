"""The process that steps are forked from, and what it has imported."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
import pytest

from urgency_dagster.operations.groups import GROUPS
from urgency_dagster.operations.preloading import EVERY_STEP, HEAVY_LIBRARIES, has_heavy_step

STEP = """
import json, multiprocessing, sys
import dagster as dg
from urgency_dagster.operations.preloading import start_step_server

def step(found):
    import numpy as np, torch
    torch.set_num_threads(2)
    ones = torch.ones(600, 600)
    libraries = [name for name in ("torch", "transformers", "sklearn", "xgboost", "ray", "openvino") if name in before]
    with dg.instance_for_test() as instance:
        instance.get_runs()
    late = [name for name in set(sys.modules) - before if name.startswith(("dagster._core.storage", "sqlalchemy"))]
    found.put([libraries, float((ones @ ones).sum()), torch.cuda.is_initialized(), late])

before = set(sys.modules)
if __name__ == "__main__":
    start_step_server(sys.argv[1:])
    context = multiprocessing.get_context("forkserver")
    found = context.SimpleQueue()
    process = context.Process(target=step, args=(found,))
    process.start()
    print(json.dumps([found.get(), "torch" in sys.modules]))
    process.join()
"""
"""The `before` of a step is the modules of the process that it was forked from."""


MAX_LATE = 5
"""Storage modules of Dagster that a step may import late. Without the list it imports more than a hundred."""


def of_a_step(folder: Path, *groups: str) -> tuple[list[str], float, bool, bool]:
    """The heavy libraries that a step has before it begins, a product by two threads, CUDA, and torch in the parent.

    To open the run history, the step must import next to nothing.
    """
    script = folder / "step.py"
    script.write_text(STEP)
    done = subprocess.run(
        [sys.executable, str(script), *groups], capture_output=True, text=True, check=True, timeout=120
    )
    (libraries, product, uses_cuda, late), in_parent = json.loads(done.stdout)
    assert len(late) < MAX_LATE, late
    return libraries, product, uses_cuda, in_parent


def test_every_group_has_its_libraries() -> None:
    assert set(HEAVY_LIBRARIES) == set(GROUPS)
    assert not {"ray", "openvino"} & {library for of_group in HEAVY_LIBRARIES.values() for library in of_group}


def test_the_modules_of_every_step_exist() -> None:
    """Python's fork server passes over a module that it cannot import."""
    assert [module for module in EVERY_STEP if find_spec(module) is None] == []


def test_a_run_of_light_steps_needs_no_libraries() -> None:
    assert has_heavy_step([dg.AssetKey("processed_data"), dg.AssetKey(["attention_cv", "xgb"])])
    assert not has_heavy_step([dg.AssetKey("call_recordings"), dg.AssetKey("processed_data")])


@pytest.mark.slow
def test_a_step_is_forked_with_the_libraries_of_the_groups(tmp_path: Path) -> None:
    libraries, product, uses_cuda, in_parent = of_a_step(tmp_path, "calls", "attention")
    assert libraries == ["torch", "transformers", "sklearn", "xgboost"]
    assert (product, uses_cuda, in_parent) == (600.0**3, False, False)


@pytest.mark.slow
def test_other_groups_are_not_imported(tmp_path: Path) -> None:
    libraries, *_ = of_a_step(tmp_path, "calls")
    assert libraries == ["torch", "transformers"]
