# swarmd as an image: the daemon in a virtual environment under /opt/swarmd, run by user 10001, nothing else writable
# than /data.
#
# BASE is any Debian with Python 3.11 or newer. To build the same image again later, pin it by digest:
#   docker build --build-arg BASE=python:3.12-slim@sha256:… .
#
# What is installed is what requirements/run.txt says, by hash, and the wheel of swarmd is built by what build.txt says.
# A build that can reach no package index takes all it installs from the folder wheels/, if there is one:
#   pip wheel --wheel-dir wheels --require-hashes -r requirements/run.txt      with the Python of BASE
#   pip wheel --wheel-dir wheels --no-deps .
# Hashes are not checked then, for a wheel that was built on the way has none: what is in wheels/ is trusted.
#
# There is no `# syntax=` line: it would have to be pulled, and such a machine can't.
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
RUN python3 -m venv /opt/swarmd
# The context is mounted, not copied: neither the source nor the wheels leave a layer behind.
RUN --mount=type=bind,target=/context --mount=type=cache,target=/var/cache/pip \
    set -eu; export PIP_CACHE_DIR=/var/cache/pip; requirements=/context/requirements; \
    if ls /context/wheels/*.whl >/dev/null 2>&1; then \
      what=/context; \
      if ls /context/wheels/swarmd-*.whl >/dev/null 2>&1; then what=swarmd; fi; \
      /opt/swarmd/bin/pip install --no-index --find-links=/context/wheels "$what"; \
    else \
      python3 -m venv /opt/build; \
      /opt/build/bin/pip install --require-hashes -r "$requirements/build.txt"; \
      /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /opt/build/wheel /context; \
      /opt/swarmd/bin/pip install --require-hashes -r "$requirements/run.txt"; \
      /opt/swarmd/bin/pip install --no-index --no-deps /opt/build/wheel/swarmd-*.whl; \
    fi

FROM ${BASE}
LABEL org.opencontainers.image.title="swarmd" \
      org.opencontainers.image.description="The daemon that runs a governed hierarchy of LLM agents on Redis." \
      org.opencontainers.image.licenses="MIT"
# tini reaps what a killed child leaves behind and passes signals on, which a Python program as process 1 would not.
# The model SDK trusts the system's certificates and brings none of its own. A base that has both needs no network.
RUN if ! command -v tini >/dev/null || [ ! -s /etc/ssl/certs/ca-certificates.crt ]; then \
      apt-get update && apt-get install -y --no-install-recommends ca-certificates tini \
      && rm -rf /var/lib/apt/lists/*; \
    fi
COPY --from=build /opt/swarmd /opt/swarmd
# A new volume takes its owner from the folder that it is mounted on.
RUN install -d -o 10001 -g 10001 /data /data/workspace /data/record /data/journal && install -d /knowledge
ENV PATH=/opt/swarmd/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SWARMD_DATA=/data \
    SWARMD_KNOWLEDGE=/knowledge
# A number, so that a cluster that forbids root can see that this is not root.
USER 10001:10001
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "swarmd"]
CMD ["up"]
