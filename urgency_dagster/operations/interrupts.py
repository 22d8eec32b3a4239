"""Detection of Ctrl-C and SIGTERM during a run of Dagster."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def recorded_interrupts() -> Iterator[list[int]]:
    """Records Ctrl-C and SIGTERM. After the block, the list holds the received signals.

    Dagster's own handlers end the run, but its report depends on the moment: a step that was starting counts as
    crashed, and a signal after the last step is not reported.
    """
    received: list[int] = []
    reader, writer = socket.socketpair()
    with reader:
        with writer:
            writer.setblocking(False)  # `signal.set_wakeup_fd` requires it
            before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
            try:
                yield received
            finally:
                signal.set_wakeup_fd(before)
        received.extend(reader.recv(signal.NSIG))
