# One image with both programs; compose.yaml runs it twice.

FROM debian:bookworm-slim AS builder
WORKDIR /source
# Packages first: they change less often than the sources do. scripts/common.sh names them.
COPY scripts/common.sh scripts/
RUN bash -c 'set -e; root=/source; source scripts/common.sh; install_packages "${build_packages[@]}"'
COPY . .
RUN scripts/serve --build-only && strip build/release/holdfast-broker build/release/holdfast-snapshotter

FROM debian:bookworm-slim
RUN apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
        libzmq5 libspdlog1.10 libfmt9 libxxhash0 libsqlite3-0 libisal2 libcpp-httplib0.11 libjemalloc2 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 holdfast \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin holdfast \
    && install -d -o holdfast -g holdfast -m 0750 /data
COPY --from=builder /source/build/release/holdfast-broker /source/build/release/holdfast-snapshotter /usr/local/bin/
# A library that is missing above shows here and not at a studio.
RUN holdfast-broker --version && holdfast-snapshotter --version
USER 10001:10001
WORKDIR /data
EXPOSE 5555 5556 5557 5560
ENV DATA_DIR=/data
