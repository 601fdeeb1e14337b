"""Things counted in words."""


def counted(count: int, thing: str, plural: str = "") -> str:
    """Such as "1 file" and "2,000 files"; `plural` where an s at the end does not do."""
    return f"{count:,} {thing if count == 1 else plural or thing + 's'}"
