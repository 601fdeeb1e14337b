"""Own images, in class folders: data/folder/ finds and reads them."""

from resnet.data.entry import Counts, Folder


def load(data_folder, image_size, strict, held_out):
    """The Dataset, every image resized."""
    from resnet.data.folder.read import read_folder

    return read_folder(data_folder, image_size, strict, held_out)


def inspect(data_folder):
    """The Counts of classes and training images."""
    from resnet.data.folder.tree import find_tree

    tree = find_tree(data_folder)
    return Counts(len(tree.label_names), len(tree.train))


ENTRY = Folder(name="folder", load=load, inspect=inspect)
