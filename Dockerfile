# One image, four commands: docker run IMAGE services gateway|data|graphql|towel (or `start` for all in one process).

FROM python:3.12-slim AS build
WORKDIR /source
RUN python -m venv /opt/prefect-server && /opt/prefect-server/bin/pip install --no-cache-dir --upgrade pip
COPY pyproject.toml README.md ./
COPY src src
COPY services services
COPY migrations migrations
RUN /opt/prefect-server/bin/pip install --no-cache-dir .

FROM python:3.12-slim
RUN useradd --create-home --uid 1000 prefect
COPY --from=build /opt/prefect-server /opt/prefect-server
ENV PATH=/opt/prefect-server/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PREFECT_SERVER__GATEWAY__HOST=0.0.0.0 \
    PREFECT_SERVER__DATA__HOST=0.0.0.0 \
    PREFECT_SERVER__GRAPHQL__HOST=0.0.0.0 \
    PREFECT_SERVER__TOWEL__HOST=0.0.0.0
USER 1000
WORKDIR /home/prefect
EXPOSE 3000 4200 4201 4202
STOPSIGNAL SIGTERM
# Whichever of the four this container runs (a service of its own, or `start`) answers at its usual port.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=5 CMD ["python", "-c", \
    "import socket, urllib.request as r; p = next(p for p in (4200, 3000, 4201, 4202) if not socket.socket().connect_ex(('127.0.0.1', p))); r.urlopen(f'http://127.0.0.1:{p}/health', timeout=4)"]
ENTRYPOINT ["prefect-server"]
CMD ["start"]
