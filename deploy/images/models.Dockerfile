# syntax=docker/dockerfile:1.7
# recommender, encode_items, train, publish and the command line: serving and jobs need the same packages.
#   docker build -f deploy/images/models.Dockerfile -t mmrec-models:0.1.0 --build-arg CPU_TORCH_INDEX=URL .
#   docker build -f deploy/images/models.Dockerfile -t mmrec-gpu:0.1.0 --build-arg DEVICE=cuda .
# CPU: without CUDA's 4.6 GB. PyPI's torch for Linux needs them, so the address of an index with CPU builds is needed.
# CUDA: as requirements.lock has it.
ARG PYTHON=3.12.12-slim-bookworm
ARG DEVICE=cpu

FROM python:${PYTHON} AS packages
ARG UV=0.13.8
RUN pip install --no-cache-dir --disable-pip-version-check uv==${UV} && python -m venv --without-pip /opt/venv
COPY requirements.lock deploy/images/role_lock.py deploy/images/models.in /build/
RUN --mount=type=cache,target=/root/.cache/uv cd /build \
    && python role_lock.py requirements.lock models.in --without torch --without triton --without 'nvidia-*' \
       --without 'cuda-*' > role.lock \
    && uv pip sync --python /opt/venv/bin/python --require-hashes --build-constraints requirements.lock \
       --compile-bytecode --link-mode copy role.lock

FROM packages AS cpu
ARG CPU_TORCH_INDEX
RUN test -n "${CPU_TORCH_INDEX}" || { echo "give --build-arg CPU_TORCH_INDEX=URL, or DEVICE=cuda" >&2; exit 1; }
RUN --mount=type=cache,target=/root/.cache/uv version=$(sed -n 's/^torch==\([0-9.]*\).*/\1/p' /build/requirements.lock) \
    && uv pip install --python /opt/venv/bin/python --no-deps --compile-bytecode --index "${CPU_TORCH_INDEX}" "torch==${version}"

FROM packages AS cuda
RUN --mount=type=cache,target=/root/.cache/uv cd /build && printf 'torch\n' > torch.in \
    && python role_lock.py requirements.lock torch.in > torch.lock \
    && uv pip install --python /opt/venv/bin/python --require-hashes --compile-bytecode -r torch.lock

FROM ${DEVICE} AS build
ARG CYCLONEDX=7.5.0
RUN uvx --from cyclonedx-bom==${CYCLONEDX} cyclonedx-py environment /opt/venv/bin/python --output-file /build/sbom.json

FROM python:${PYTHON}
ARG REVISION=unknown
ARG VERSION=0.1.0
ARG DEVICE
LABEL org.opencontainers.image.title="mmrec-models" \
      org.opencontainers.image.description="Knows models: recommender, encoding, training, publishing, command line" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# KubeRay's probes of Ray's nodes call bash and wget.
RUN apt-get update && apt-get install --yes --no-install-recommends tini wget procps && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin mmrec
COPY --from=build /opt/venv /opt/venv
COPY --from=build /build/sbom.json /usr/share/sbom/mmrec-models.cdx.json
COPY LICENSE requirements.lock /app/
COPY feature_repo /app/feature_repo
COPY jobs /app/jobs
COPY services /app/services
COPY mmrec /app/mmrec
RUN printf '#!/bin/sh\nexec python -m mmrec.cli.main "$@"\n' > /usr/local/bin/mmrec && chmod 755 /usr/local/bin/mmrec
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0
WORKDIR /app
USER 10001:10001
# KubeRay replaces the command by `ray start` in a shell; other pods name theirs.
ENTRYPOINT ["tini", "--"]
CMD ["mmrec", "--help"]
