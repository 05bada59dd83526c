# The toolkit with JAX for NVIDIA GPUs; without one it runs on the CPU. docker-run.sh builds and starts it.
# Layers from what changes seldom to what changes often: Python, packages, code.
FROM python:3.12-slim-bookworm

LABEL org.opencontainers.image.title="birdclef-jax" \
      org.opencontainers.image.description="Learns to name birds from sound: the 2018 BirdCLEF baseline on JAX and Flax" \
      org.opencontainers.image.licenses="MIT"

# Caches of whoever runs it go to /tmp, for the user comes from outside and has no home here.
ENV HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /app

# The packages of pyproject.toml, in the versions of requirements.txt; soundfile brings libsndfile, and the last line proves that it is heard.
COPY pyproject.toml requirements.txt ./
RUN touch README.md \
    && pip install --no-cache-dir --constraint requirements.txt ".[gpu,export]" \
    && rm -rf README.md build ./*.egg-info \
    && python -c "import soundfile; print('libsndfile', soundfile.__libsndfile_version__)"

# Whoever runs it reads the code, whatever the umask was under which it was cloned.
COPY . .
RUN chmod -R a+rX /app \
    && useradd --no-create-home --uid 1000 birds \
    && mkdir /datasets \
    && chown birds /datasets
USER 1000
VOLUME /datasets

ENTRYPOINT ["/app/docker-entry.sh"]
CMD ["experiments/birdclef2018.toml"]
