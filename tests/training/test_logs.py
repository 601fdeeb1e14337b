"""Logs that runs leave and go on with, and signals that ask a run to stop."""

import csv
import signal

import pytest

from log_files import events_of
from resnet.training.evaluator import COLUMNS, drop_later
from resnet.training.interrupts import stop_requests
from resnet.training.logs import Logs, read_values


def rows(path):
    with open(path, newline="") as file:
        header, *found = csv.reader(file)
    assert header == ["step", "time", "ce"]
    return [(int(step), float(value)) for step, _, value in found]


def test_a_restored_run_writes_later_steps_again_each_once(tmp_path):
    path = tmp_path / "loss.csv"
    logs = Logs(tmp_path, "one", {"loss": "ce"}, 0)
    for step in (1, 2, 3, 4):
        logs.write("loss", step, step / 2)
    logs.flush()
    with open(path, "a") as file:
        file.write("5,2026-01-0")  # a kill cut the row short
    with open(next(tmp_path.glob("events.*")), "ab") as file:
        file.write(b"\x10\0\0")
    again = Logs(tmp_path, "two", {"loss": "ce", "accuracy": "acc"}, 2)
    assert rows(path) == [(1, 0.5), (2, 1)]
    assert again.has("loss", 2) and not again.has("loss", 3)
    assert events_of(tmp_path) == [("loss", 1), ("loss", 2)]
    for step in (2, 3, 3):
        again.write("loss", step, 9)
    again.flush()
    assert events_of(tmp_path) == [("loss", step) for step in (1, 2, 3)]
    assert rows(path) == [(1, 0.5), (2, 1), (3, 9)] == again.values("loss")
    assert again.values("accuracy") == [] == again.values("nothing")
    assert (tmp_path / "cmd.txt").read_text() == "one\ntwo\n"
    assert (tmp_path / "catalog").read_text().splitlines() == [
        "filename,type,name",
        "loss.csv,csv,loss",
        "accuracy.csv,csv,accuracy",
    ]


def test_a_command_that_is_no_utf_8_is_escaped(tmp_path):
    logs = Logs(tmp_path, "caf\udce9/train", {"loss": "ce"}, 0)
    assert logs.commands() == ["caf\\udce9/train"]


def test_steps_repeat_where_they_may(tmp_path):
    for value in (1, 2):
        logs = Logs(tmp_path, "one", {"loss": "ce"}, first_step=None)
        logs.write("loss", 7, value)
    assert rows(tmp_path / "loss.csv") == [(7, 1), (7, 2)]
    assert read_values(tmp_path / "gone.csv") == []


def test_a_row_that_is_cut_in_its_value_is_none(tmp_path):
    path = tmp_path / "loss.csv"
    path.write_text("step,time,ce\n1,2026-01-01,0.5\r\n2,2026-01-01,9")
    assert read_values(path) == [(1, 0.5)]


def test_an_evaluators_later_values_go_from_all_its_logs(tmp_path):
    logs = Logs(tmp_path, "one", COLUMNS, events="eval")
    for step in (1, 2):
        logs.write("valid_acc", step, step)
    logs.flush()
    drop_later(tmp_path, 1)
    assert read_values(tmp_path / "valid_acc.csv") == [(1, 1)]
    assert events_of(tmp_path / "eval") == [("valid_acc", 1)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_and_the_second_stops_at_once(number):
    before = signal.getsignal(number)
    with stop_requests() as stop:
        assert not stop
        signal.raise_signal(number)
        assert stop and stop.signal_number == number
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) == before
