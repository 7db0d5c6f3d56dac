"""How kernels run: the order of their threads, and under which sanitizer they are compiled."""

from dataclasses import dataclass


@dataclass
class Settings:
    reverse: bool = False
    sanitizer: str | None = None


current = Settings()
