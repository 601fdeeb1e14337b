"""ImageNet: sharded TFRecords, read as streams."""
