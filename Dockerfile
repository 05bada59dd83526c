# The toolkit with JAX for NVIDIA GPUs; without one it runs on the CPU. docker-run.sh builds and starts it.
# Layers that change seldom come first: Python, packages, code.
# Other images with Python 3.11 or newer, and less than all extras, can be chosen: docs/docker.md.
ARG BASE=python:3.12-slim-bookworm
FROM $BASE

LABEL org.opencontainers.image.title="birdclef-jax" \
      org.opencontainers.image.description="Learns to name birds from sound: the 2018 BirdCLEF baseline on JAX and Flax" \
      org.opencontainers.image.licenses="MIT"

# Caches go to /tmp: the user is chosen outside and has no home here.
ENV HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /app

# The packages of pyproject.toml, in the versions of requirements.txt; soundfile brings libsndfile, as the last line checks.
COPY pyproject.toml requirements.txt install/needed.py ./
ARG EXTRAS=gpu,export,hub,openvino,places,litert,tune,cluster,remote
RUN python needed.py "$EXTRAS" > needed.txt \
    && pip install --no-cache-dir --constraint requirements.txt --requirement needed.txt \
    && rm needed.py needed.txt \
    && python -c "import soundfile; print('libsndfile', soundfile.__libsndfile_version__)"

# Any user may read the code, whatever the umask was when it was cloned.
COPY . .
RUN chmod -R a+rX /app \
    && useradd --no-create-home --uid 1000 birds \
    && mkdir /datasets \
    && chown birds /datasets
USER 1000
VOLUME /datasets

ENTRYPOINT ["/app/docker-entry.sh"]
CMD ["experiments/birdclef2018.toml"]
