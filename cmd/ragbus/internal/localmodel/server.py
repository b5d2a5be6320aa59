"""Serves one GGUF model with llama.cpp's own HTTP server until standard input ends.

The settings are one JSON object in the first argument:
model (a path), port, context, threads, api_keys.
"""

import json
import sys

import xllamacpp


def main() -> None:
    settings = json.loads(sys.argv[1])
    p = xllamacpp.CommonParams()
    p.model.path = settings["model"]
    p.hostnames = ["127.0.0.1"]
    p.port = settings["port"]
    p.n_ctx = settings["context"]
    p.n_parallel = 1
    # A cancelled request ends with the batch in work: small ones end soon.
    p.n_batch = 128
    p.n_ubatch = 128
    p.cpuparams.n_threads = settings["threads"]
    p.sse_ping_interval = 5
    p.sampling.temp = 0
    p.api_keys = settings["api_keys"]
    server = xllamacpp.Server(p)
    # Whoever started this holds the other end: when it is gone, so is this.
    sys.stdin.read()
    del server


if __name__ == "__main__":
    main()
