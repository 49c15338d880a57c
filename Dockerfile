# The service alone: it needs LOYALTY_DATABASE_URL and runs as an ordinary user on a read-only file system.

FROM python:3.11-slim-bookworm AS build
# For builds behind a mirror or a proxy with its own certificate, e.g. --build-arg PIP_OPTIONS="--index-url URL", or
# "--cert /certificate.pem" with --volume FILE:/certificate.pem:ro (podman, buildah).
ARG PIP_OPTIONS=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/loyalty
WORKDIR /source
# The locked packages are a layer of their own: a change of our code does not install them again.
COPY requirements/run.txt requirements/run.txt
RUN /opt/loyalty/bin/pip install ${PIP_OPTIONS} --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE server.py ./
COPY ledger ledger
COPY projections projections
COPY protos protos
# pip and setuptools have no business in a running service.
RUN /opt/loyalty/bin/pip install --no-build-isolation --no-deps . \
    && /opt/loyalty/bin/pip uninstall --yes --quiet setuptools pip

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="loyalty-ledger" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin loyalty
COPY --from=build /opt/loyalty /opt/loyalty
ENV PATH=/opt/loyalty/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001
EXPOSE 50051
# SIGTERM drains: acknowledged work is kept, new work is refused. It may take LOYALTY_DRAIN_SECONDS, so allow more than
# that before a kill, e.g. docker stop -t 30.
STOPSIGNAL SIGTERM
# It reads the server's own settings. Under mutual TLS give it a certificate to show, by LOYALTY_TLS_CLIENT_CERTIFICATE
# and LOYALTY_TLS_CLIENT_KEY. podman and buildah keep this only with --format docker.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["loyalty", "health"]
ENTRYPOINT ["loyalty"]
CMD ["serve"]
