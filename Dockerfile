# The program in a small image:
#   docker build -t dionode .
#   docker run --rm --shm-size=4g -v "$PWD":/work dionode topo
# The workers share memory in /dev/shm; where --shm-size is too small, a warning says so.
FROM debian:12-slim AS build
WORKDIR /src
COPY scripts/packages.sh scripts/
RUN bash -c '. scripts/packages.sh && install_missing $packages_build'
COPY . .
RUN meson setup /build -Dtests=false -Dbench=false && meson install -C /build --destdir /installed

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
      libhwloc15 libjansson4 liblapacke libopenblas0-openmp libpcre2-8-0 libutf8proc2 libxxhash0 libyaml-0-2 zlib1g && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /installed /
RUN ldconfig
WORKDIR /work
ENTRYPOINT ["dionode"]
