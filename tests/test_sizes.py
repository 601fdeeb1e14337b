"""Sizes as people write them, in bytes."""

import pytest

from resnet.errors import UsageError
from resnet.sizes import parse_size

SIZES = {
    "123456": 123_456,
    "5B": 5,
    "800KB": 800_000,
    "800MB": 800_000_000,
    "2GB": 2_000_000_000,
    "1KiB": 1024,
    "3MiB": 3 * 1024 * 1024,
    "1.5GiB": 1_610_612_736,
    " 0.5 gb ": 500_000_000,
    ".25mib": 262_144,
}


@pytest.mark.parametrize("text", SIZES)
def test_sizes(text):
    assert parse_size(text) == SIZES[text]


@pytest.mark.parametrize("text", ["", "GB", "-1", "1 2", "1TB", "1e9", "1..5", "9" * 400])
def test_what_is_no_size(text):
    with pytest.raises(UsageError, match="is not a size: give a number with a unit, such as 800MB"):
        parse_size(text)
