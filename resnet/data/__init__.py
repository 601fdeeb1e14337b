"""Data sets: archives and TFRecords in, batches out."""
