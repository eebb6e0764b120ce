"""Several queues at once, each in its order, one thread for each."""

import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

MAX_QUEUES = 32
"""Worked on at the same time; the others wait until one is done."""


def in_parallel(queues: Sequence[Sequence[T]], work: Callable[[T], object]) -> Iterator[T]:
    """Do the work of every item and yield the items as they are done.

    The caller may stop early: then every queue ends after the item it is at, which is waited for except
    after Ctrl-C.

    Args:
        queues: each is worked on in its order by one thread, up to `MAX_QUEUES` at the same time.
        work: is called in those threads; whatever it raises ends everything and is raised here.
    """
    waiting = deque(queues)
    done: queue.SimpleQueue[tuple[T, BaseException | None]] = queue.SimpleQueue()
    stopped = threading.Event()

    def take_queues() -> None:
        while True:
            try:
                items = waiting.popleft()
            except IndexError:
                return
            for item in items:
                if stopped.is_set():
                    return
                try:
                    work(item)
                except BaseException as error:  # raised where the items are yielded
                    done.put((item, error))
                    return
                done.put((item, None))

    # Daemons: a process that is interrupted does not wait out the pauses between requests.
    threads = [threading.Thread(target=take_queues, daemon=True) for _ in range(min(len(queues), MAX_QUEUES))]
    for thread in threads:
        thread.start()
    try:
        for _ in range(sum(map(len, queues))):
            item, error = done.get()
            if error is not None:
                raise error
            yield item
    finally:
        stopped.set()
        if not isinstance(sys.exception(), KeyboardInterrupt):
            for thread in threads:
                thread.join()
