"""Images of any size in class folders."""
