# syntax=docker/dockerfile:1.7
# score_stream, collector, follow_events, build_neighbors, tend_log: no torch, no Ray, no CUDA.
#   docker build -f deploy/images/stream.Dockerfile -t mmrec-stream:0.1.0 --build-arg REVISION=$(git rev-parse HEAD) .
# What changes rarely comes first: system, packages, Java archives, code.
ARG PYTHON=3.12.12-slim-bookworm

FROM python:${PYTHON} AS build
ARG UV=0.13.8
ARG CYCLONEDX=7.5.0
RUN pip install --no-cache-dir --disable-pip-version-check uv==${UV} && python -m venv --without-pip /opt/venv
COPY requirements.lock deploy/images/role_lock.py deploy/images/stream.in /build/
RUN --mount=type=cache,target=/root/.cache/uv cd /build \
    && python role_lock.py requirements.lock stream.in > role.lock \
    && uv pip sync --python /opt/venv/bin/python --require-hashes --build-constraints requirements.lock \
       --compile-bytecode --link-mode copy role.lock \
    && uvx --from cyclonedx-bom==${CYCLONEDX} cyclonedx-py environment /opt/venv/bin/python --output-file /build/sbom.json
# Spark's Kafka connector, and a Java that PySpark starts; both are checked against jars.lock.
COPY mmrec/__init__.py mmrec/errors.py mmrec/home.py /app/mmrec/
COPY mmrec/disk /app/mmrec/disk
COPY mmrec/telemetry /app/mmrec/telemetry
COPY mmrec/wire /app/mmrec/wire
COPY services/__init__.py /app/services/
COPY services/stack /app/services/stack
RUN cd /app && export MMREC_CACHE_DIR=/opt/mmrec && /opt/venv/bin/python -m services.stack.setup \
    && ln -s "$(/opt/venv/bin/python -c 'from services.stack.java import ensure_java_home; print(ensure_java_home())')" \
       /opt/mmrec/java-home \
    && rm -r /opt/mmrec/jars/kafka

FROM python:${PYTHON}
ARG REVISION=unknown
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="mmrec-stream" \
      org.opencontainers.image.description="Moves and counts events: stream, collector, follower, item views" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN apt-get update && apt-get install --yes --no-install-recommends tini procps && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin mmrec
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/mmrec /opt/mmrec
COPY --from=build /build/sbom.json /usr/share/sbom/mmrec-stream.cdx.json
COPY LICENSE /app/
COPY feature_repo /app/feature_repo
COPY jobs /app/jobs
COPY services /app/services
COPY mmrec /app/mmrec
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 \
    JAVA_HOME=/opt/mmrec/java-home \
    MMREC_SPARK_JARS=/opt/mmrec/jars/spark/commons-pool2-2.12.0.jar,/opt/mmrec/jars/spark/kafka-clients-3.9.0.jar,/opt/mmrec/jars/spark/spark-sql-kafka-0-10_2.13-4.0.0.jar,/opt/mmrec/jars/spark/spark-token-provider-kafka-0-10_2.13-4.0.0.jar
WORKDIR /app
USER 10001:10001
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "jobs.score_stream", "--help"]
