# The product in a small image that runs as an unprivileged user. TIEOUT_* variables configure it.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
# An alternative package index.
ARG PIP_INDEX_URL
WORKDIR /source
COPY requirements.lock ./
RUN python3 -m venv /opt/tieout \
    && /opt/tieout/bin/pip install --quiet --no-cache-dir --disable-pip-version-check \
       --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY engine engine
COPY streams streams
COPY handlers handlers
COPY store store
COPY tieout tieout
# Remove what only the installation needs.
RUN /opt/tieout/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && /opt/tieout/bin/pip uninstall --quiet --yes hatchling editables pathspec pluggy trove-classifiers setuptools pip \
    && find /opt/tieout -name tests -type d -prune -exec rm -rf {} + \
    && find /opt/tieout -name __pycache__ -type d -prune -exec rm -rf {} + \
    && python3 -m compileall -q /opt/tieout/lib

FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --create-home --home-dir /var/lib/tieout tieout
COPY --from=build /opt/tieout /opt/tieout
ENV PATH=/opt/tieout/bin:$PATH PYTHONDONTWRITEBYTECODE=1 TIEOUT_METRICS=0.0.0.0:9464
USER tieout
WORKDIR /var/lib/tieout
EXPOSE 9464
# Liveness; readiness is at /readyz.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python3", "-c", \
    "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['TIEOUT_METRICS'].rpartition(':')[2] + '/healthz', timeout=4)"]
ENTRYPOINT ["tieout"]
CMD ["run"]
