# The image of `ebbtide gateway` and `ebbtide autoscaler`, as the chart runs them.
#
#   docker build -t ebbtide:0.1.0 .
#
# What goes in: the packages of pyproject.toml, as a wheel, and what locks/run.txt pins with hashes. The
# base is an exact version; a pipeline that publishes images names it by digest as well, with
# --build-arg PYTHON=docker.io/library/python@sha256:..., and says in the image's notes which.
ARG PYTHON=docker.io/library/python:3.12.13-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY locks/build.txt locks/run.txt locks/
RUN python -m venv --without-pip /opt/ebbtide \
 && python -m venv --without-pip /opt/build \
 && pip --python /opt/build/bin/python install --no-deps --require-hashes --only-binary=:all: -r locks/build.txt \
 && pip --python /opt/ebbtide/bin/python install --no-deps --require-hashes --only-binary=:all: -r locks/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY ebbtide ebbtide
COPY gateway gateway
COPY activator activator
COPY autoscaler autoscaler
COPY fleet fleet
RUN /opt/build/bin/python -m build --wheel --no-isolation --outdir /wheel \
 && pip --python /opt/ebbtide/bin/python install --no-deps --no-index /wheel/*.whl \
 && python -m compileall -q /opt/ebbtide/lib

FROM ${PYTHON}
COPY --from=build /opt/ebbtide /opt/ebbtide
ENV PATH=/opt/ebbtide/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Nobody in particular, by number, so that a cluster can see that it is not root. Nothing is written.
USER 10001:10001
EXPOSE 8080 8081
ENTRYPOINT ["ebbtide"]
