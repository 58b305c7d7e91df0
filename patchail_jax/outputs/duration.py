"""Wall time in words."""


def duration(hours: float) -> str:
    """``3 h 20 min``, or ``5 min``."""
    whole, minutes = divmod(round(60 * hours), 60)
    return f"{whole} h {minutes} min" if whole else f"{minutes} min"
