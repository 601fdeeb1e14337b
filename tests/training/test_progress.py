"""Progress and its times, whatever the machine's clock does."""

import time

import tqdm.std

from resnet.training.progress import Progress


def test_a_clock_that_is_set_back_makes_no_negative_times(monkeypatch, capsys):
    now = [1e9]
    monkeypatch.setattr(tqdm.std, "time", lambda: now[0])
    monkeypatch.setattr(time, "time", lambda: now[0])
    with Progress(total=2, mininterval=0, miniters=1, ascii=True) as progress:
        now[0] -= 3600
        progress.update()
        assert 0 <= progress.format_dict["elapsed"] < 60
    text = capsys.readouterr().err
    assert "1/2" in text and "-" not in text.replace("->", "")
