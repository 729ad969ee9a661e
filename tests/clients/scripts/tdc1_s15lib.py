"""S-Fifteen's library against the TDC1: it opens a serial port, so a pseudo terminal leads to the device server."""

from __future__ import annotations

import os
import select
import socket
import threading
import tty

import numpy as np
from client import HOST, PORT, report
from S15lib.instruments.usb_counter_fpga import TimestampTDC1


def carry(terminal: int, connection: socket.socket) -> None:
    while True:
        for ready in select.select([terminal, connection], [], [])[0]:
            if ready is connection:
                os.write(terminal, connection.recv(1024))
            else:
                connection.sendall(os.read(terminal, 1024))


terminal, port = os.openpty()
tty.setraw(port)
threading.Thread(target=carry, args=(terminal, socket.create_connection((HOST, PORT))), daemon=True).start()

tagger = TimestampTDC1(os.ttyname(port))
read = {"mode": tagger.mode, "level": tagger.level.decode().strip(), "time_ms": tagger.int_time}
read["inputs"] = len(tagger.get_counts(1))
read["columns"] = len(tagger.get_counts_and_coincidences(1))
times_ns, patterns = tagger.get_timestamps(0.5, legacy=False)
read["tags"] = len(times_ns)
read["sorted"] = bool((np.diff(times_ns) >= 0).all())
read["known"] = set(np.unique(patterns).tolist()) <= {1, 2, 4, 8}
read["mode_then"] = tagger.mode
report(**read)
