"""Archives that claim what is not so, for all who read them: named soon, in little memory."""

import gzip
import io
import resource
import tarfile

import pytest

from images import encoded, picture
from miniature import contents
from resnet.data import tar
from resnet.data.cifar.archives import MOST_MEMBERS, read_archive
from resnet.data.imagenet.annotations import read_boxes
from resnet.data.imagenet.raw_images import list_images
from resnet.errors import DataError

BOX = b"<annotation><size><width>9</width><height>9</height></size></annotation>"


def header(size, kind=b"0", name="other"):
    """A member's header that claims a size of any sign."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT)[:512])
    block[124:136] = (b"\xff" if size < 0 else b"\x80") + (size % 256**11).to_bytes(11, "big")
    block[156:157] = kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def sound(odd=()):
    """An archive that every reader finds its own in, and members of odd kinds; its bytes."""
    archive, members, *_ = contents("cifar-10", "binary")
    members = {f"{archive.folder}/{name}": content for name, content in members.items()}
    members |= {"n1/a.JPEG": encoded(picture(1)), "n1/a.xml": BOX}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info in odd:
            tar.addfile(info)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def odd(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def read_all(folder, content):
    """What each reader finds in an archive, plain and packed; DataErrors as they are."""
    archive = contents("cifar-10", "binary")[0]
    readers = {
        archive.file_name: lambda path: len(read_archive(archive, path).train),
        "train.tar": lambda path: len(list_images(path)),
        "boxes.tar": read_boxes,
    }
    for name, read in readers.items():
        for packed in (False, True)[: 1 if name == "train.tar" else 2]:
            (folder / name).write_bytes(gzip.compress(content, 1) if packed else content)
            try:
                yield read(folder / name)
            except DataError as error:
                assert name in str(error)
                yield error


def test_odd_members_are_passed_over_and_nothing_is_written(tmp_path):
    members = [
        odd("../../outside", tarfile.REGTYPE),
        odd("/tmp/outside", tarfile.REGTYPE),
        odd("cifar-10-batches-bin/data_batch_1.bin", tarfile.SYMTYPE, "/etc/passwd"),
        odd("n1/b.JPEG", tarfile.SYMTYPE, "/etc/passwd"),
        odd("n1/c.JPEG", tarfile.LNKTYPE, "nowhere"),
        odd("n1/d.JPEG", tarfile.CHRTYPE),
        odd("n1/e.xml", tarfile.FIFOTYPE),
    ]
    assert list(read_all(tmp_path, sound(members))) == [20, 20, 1, {}, {}]
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    "kind", [b"0", b"x", b"L", b"S"], ids=["file", "pax", "long name", "sparse"]
)
@pytest.mark.parametrize("size", [2**45, 2**62, -512, -1024])
def test_sizes_that_are_made_up_are_named(tmp_path, kind, size):
    """Some would have the reader go back to a member before, and so for ever."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for found in read_all(tmp_path, header(size, kind) + sound()):
        assert isinstance(found, DataError), found
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KB


def test_a_member_of_another_size_in_the_middle(tmp_path):
    """It points back to the first: without a check, there would be no end."""
    whole = sound()
    start = whole.index(b"n1/a.xml")
    content = whole[:start] + header(-start - 512) + whole[start:]
    for found in read_all(tmp_path, content):
        assert isinstance(found, DataError), found


def test_thousands_of_members(tmp_path):
    members = [odd(f"x{i}", tarfile.REGTYPE) for i in range(MOST_MEMBERS)]
    plain, packed, *others = read_all(tmp_path, sound(members))
    assert "it has more than 1,000 members" in str(plain) and isinstance(packed, DataError)
    assert others == [1, {}, {}]  # ImageNet's have many


def test_a_packed_annotation_with_a_flipped_bit_is_named(tmp_path):
    path = tmp_path / "boxes.tgz"
    content = bytearray(gzip.compress(sound()))
    for place in range(20, len(content), len(content) // 20):
        content[place] ^= 4
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"boxes.tgz.* cannot be read"):
            read_boxes(path)
        content[place] ^= 4


def test_what_lies_unpacked_on_disk_may_be_of_any_size(tmp_path, monkeypatch):
    content = sound()
    monkeypatch.setattr(tar, "LARGEST_UNPACKED", len(content) // 2)
    (tmp_path / "train.tar").write_bytes(content)
    assert len(list_images(tmp_path / "train.tar")) == 1
