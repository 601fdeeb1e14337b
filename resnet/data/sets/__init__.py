"""One module a data set, with its ENTRY; data/registry.py finds them by themselves."""
