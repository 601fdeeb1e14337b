"""What several hosts know of each other."""

import pytest
import tensorflow as tf

from resnet.training.hosts import HostLostError, is_lost_host, naming_lost_hosts
from resnet.training.placement import Hosts

TWO = Hosts(("127.0.0.1:1", "127.0.0.1:2"), 0)


@pytest.mark.parametrize(
    ("kind", "message", "is_lost"),
    [
        (tf.errors.UnavailableError, "anything", True),
        (tf.errors.InternalError, "Collective ops is aborted by: peer is gone", True),
        (tf.errors.FailedPreconditionError, "Connection reset by remote", True),
        (tf.errors.InternalError, "cuDNN launch failure: input shape [4]", False),
        (tf.errors.FailedPreconditionError, "Table not initialized", False),
        (tf.errors.InvalidArgumentError, "peer", False),
    ],
)
def test_only_what_says_so_is_a_lost_host(kind, message, is_lost, tmp_path):
    error = kind(None, None, message)
    assert is_lost_host(error) == is_lost
    wanted = HostLostError if is_lost else kind
    with pytest.raises(wanted) as caught, naming_lost_hosts(TWO, tmp_path, "again"):
        raise error
    assert message in str(caught.value)
    with pytest.raises(kind), naming_lost_hosts(Hosts(), tmp_path, "again"):
        raise error


def test_the_whole_message_is_kept(tmp_path):
    error = tf.errors.UnavailableError(None, None, "first line\nsecond {{node x}} line")
    with pytest.raises(HostLostError) as caught, naming_lost_hosts(TWO, tmp_path, "again"):
        raise error
    assert "first line second {{node x}} line" in str(caught.value)
    around = tf.errors.AbortedError(None, None, "{{function_node __f}} gone\nhost 1 [Op:Op] name:")
    with (
        pytest.raises(HostLostError, match=r"\(gone host 1\);"),
        naming_lost_hosts(TWO, tmp_path, "again"),
    ):
        raise around
