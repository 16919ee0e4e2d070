"""The event files of a run (conftest.py) as TensorBoard reads them; a resumed run takes back what it does again."""

import io
import json
import os
import shutil
import subprocess
from pathlib import Path

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def events_of(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_scalars_are_those_of_the_metrics(run: Path) -> None:
    events = events_of(run)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    read = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert [step for step, _ in read] == [step for step, _ in losses]
    assert all(abs(a - b) <= 1e-6 * abs(b) for (_, a), (_, b) in zip(read, losses, strict=True))
    exact = [line["validation_exact"] for line in lines if "validation_exact" in line]
    assert [event.value for event in events.Scalars("validation/exact")] == exact
    densities = [tag for tag in events.Tags()["scalars"] if tag.startswith("density/")]
    assert "density/decoder.0.self" in densities
    assert all(0 < event.value <= 1 for tag in densities for event in events.Scalars(tag))


def test_the_picture_is_a_picture(run: Path) -> None:
    events = events_of(run)
    (tag,) = events.Tags()["images"]
    assert tag.startswith("attention/decoder.")
    event = events.Images(tag)[-1]
    picture = Image.open(io.BytesIO(event.encoded_image_string))
    assert picture.size == (event.width, event.height)
    assert picture.mode == "L"
    low, high = picture.getextrema()
    assert low < high == 255  # keys behind the query have no weight: white


def test_a_resumed_run_shows_every_step_once(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "resumed"
    shutil.copytree(run, folder)
    for line in ("--steps", "6"), ("--steps", "9"):
        command = [os.environ["GR_TRAIN"], "--resume", "--out", str(folder), *line]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    steps = [event.step for event in events_of(folder).Scalars("validation/exact")]
    assert steps == sorted(set(steps))
    assert steps[-1] == 9
    assert len(list(folder.glob("events.out.tfevents.*"))) == 3
