"""The ID900 as the maker's examples speak to it, over plain ZeroMQ."""

from __future__ import annotations

import json

import numpy as np
import zmq
from client import HOST, PORT, report

context = zmq.Context()
requests = context.socket(zmq.REQ)
requests.setsockopt(zmq.RCVTIMEO, 5000)
requests.connect(f"tcp://{HOST}:{PORT}")


def ask(text: str) -> str:
    requests.send_string(text)
    return requests.recv().decode()


tags = context.socket(zmq.PAIR)
tags.setsockopt(zmq.RCVTIMEO, 5000)
tags.connect(f"tcp://{HOST}:4242")
read = {"identity": ask("*IDN?")}
ask("DEVIce:RESolution HIRES")
read["width_ps"] = int(ask("DEVI:RES:BWID?"))
ask("INPU1:COUN:INTE 500;MODE CYCL;:INPU1:COUP DC;EDGE RISI;ENAB ON;THRE 1V")
read["threshold"] = ask("INPU1:THRE?")
read["counts"] = int(ask("INPU1:COUN?"))
ask("HIST1:REF:LINK INPU1;:HIST1:STOP:LINK INPU2;:HIST1:MIN 0;BWID 1000;BCOU 100")
ask("REC:DUR 500000000000")
ask("RAW1:SEND ON")
ask("RECord:PLAY")
while ask("REC:STAT?") == "PLAYING":
    pass
times_ps = np.frombuffer(tags.recv(), "<u8") if ask("INPU1:ENAB?") == "ON" and read["counts"] else np.empty(0)
read["tags"] = len(times_ps)
read["lost"] = int(ask("RAW1:ERRORS?"))
read["histogram"] = sum(json.loads(ask("HIST1:DATA?")))
context.destroy(linger=0)
read["sorted"] = bool((np.diff(times_ps.astype(np.int64)) >= 0).all())
report(**read)
