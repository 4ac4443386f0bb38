"""llama.cpp's server in a process of its own: ``python llama_server.py MODEL.gguf PORT SLOTS THREADS [ADAPTER.gguf]``.

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
    if len(sys.argv) > 5:
        lora = xllamacpp.CommonAdapterLoraInfo()
        lora.path, lora.scale = sys.argv[5], 1.0
        params.lora_adapters = [lora]
        # The prompts that llama.cpp stores in memory forget the adapter's scale that they were computed with: with them
        # 2 of 12 answers were those of the scale that was requested, without them 11.
        params.cache_ram_mib = 0
    params.warmup = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
