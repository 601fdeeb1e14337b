"""A progress bar whose times do not follow the machine's clock when that is set back."""

import time

from tqdm import tqdm


class Progress(tqdm):
    """As tqdm, by a clock that only goes on: no negative times, no pause until it catches up."""

    @property
    def _time(self):
        return time.monotonic

    @_time.setter
    def _time(self, clock):
        """Leaves aside the one that tqdm sets."""
