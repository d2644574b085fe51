"""Pieces of work that cost nothing, in a module that worker processes can import."""

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Toy:
    """A piece that knows its number."""

    number: int
    n_objects: int = 3

    @property
    def name(self) -> str:
        return f"toy-{self.number}"


def toys(n: int) -> list[Toy]:
    return [Toy(k) for k in range(n)]


def squared(piece: Toy) -> int:
    return piece.number**2


def failing_at_two(piece: Toy) -> int:
    if piece.number == 2:
        raise ValueError("two is wrong")
    return piece.number


def noting_until_two(folder: str, piece: Toy) -> int:
    """Fails at two; the others take a moment and leave a file when they begin and another when they end."""
    if piece.number == 2:
        raise ValueError("two is wrong")
    (Path(folder) / f"begun-{piece.number}").touch()
    time.sleep(0.3)
    (Path(folder) / f"ended-{piece.number}").touch()
    return piece.number


def deadly_at_three(piece: Toy) -> int:
    if piece.number == 3:
        time.sleep(0.3)  # the others are at work
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return piece.number


def leaving(piece: Toy) -> None:
    os._exit(piece.number + 3)


def process_of(piece: Toy) -> int:
    return os.getpid()


def threads_of(piece: Toy) -> tuple[int, int]:
    """Threads of torch and of numpy's linear algebra while a piece is at work."""
    import threadpoolctl
    import torch

    blas = [found["num_threads"] for found in threadpoolctl.threadpool_info() if found["user_api"] == "blas"]
    return torch.get_num_threads(), max(blas)


_together = 0
_most = 0
_lock = threading.Lock()


def most_together(piece: Toy) -> int:
    """Most of these pieces that were at work in this process at a time, so far."""
    global _together, _most
    with _lock:
        _together += 1
        _most = max(_most, _together)
    time.sleep(0.02)
    with _lock:
        _together -= 1
        return _most
