"""Checkpoints, other projects' formats, exports."""
