# docker build --tag=wss .
# docker build --tag=wss-gpu --build-arg=BASE=tensorflow/tensorflow:2.15.0-gpu .
#
# docker run --rm --user="$(id -u):$(id -g)" --volume="$PWD:/work" wss \
#     python -m wss.train --gin_file=gin_configs/shapes.gin
#
# BASE is any image with Python 3.9 to 3.13 and pip; it brings CUDA, where GPUs are to be
# used (docker run --gpus=all).
ARG BASE=python:3.11-slim
FROM ${BASE}

COPY setup.py README.md LICENSE NOTICE /opt/wss/
COPY wss /opt/wss/wss
COPY data_prep /opt/wss/data_prep
COPY gin_configs /opt/wss/gin_configs
# The pip of an older image may search for minutes.
RUN python -m pip install --no-cache-dir --upgrade pip \
    && python -m pip install --no-cache-dir '/opt/wss[imagenet]' \
    && rm -rf /opt/wss \
    && useradd --create-home wss

# Any user may keep matplotlib's cache there.
ENV PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp/matplotlib
USER wss
WORKDIR /work
CMD ["python", "-m", "wss.train", "--help"]
