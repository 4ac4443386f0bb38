"""llama.cpp's server in a process of its own: ``python llama_server.py MODEL.gguf PORT SLOTS THREADS``.

Prints its address.
"""

from __future__ import annotations

import signal
import sys

import xllamacpp


def main() -> None:
    """Serve until a signal ends the process."""
    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.port = int(sys.argv[2])
    params.n_parallel = int(sys.argv[3])
    params.n_ctx = 2048 * params.n_parallel
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(sys.argv[4])
    params.warmup = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
