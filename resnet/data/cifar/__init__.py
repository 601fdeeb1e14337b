"""CIFAR-10, CIFAR-100 and the embedded data set: whole, in memory."""
