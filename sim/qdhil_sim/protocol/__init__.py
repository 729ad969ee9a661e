"""How instruments are spoken to: SCPI messages over raw SOCKET and HiSLIP."""
