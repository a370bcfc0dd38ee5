# One recipe, one image a program: docker build --build-arg EXTRAS=cpu,service -t weakspot-service .
FROM python:3.11-slim

ARG EXTRAS=cpu,service
ARG TORCH=""

RUN useradd --system --create-home --uid 10001 weakspot \
    && install -d -o weakspot -g weakspot /var/lib/weakspot
WORKDIR /opt/weakspot
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY core core
COPY service service
COPY monitor monitor
COPY trainer trainer
COPY dashboard dashboard
COPY weakspot weakspot
COPY migrations migrations
# The lock file holds the versions of every program; as constraints it fixes those this one needs.
RUN sed -E '/^ +--hash/d; s/ *\\$//' requirements.lock > /tmp/constraints.txt \
    && if [ -n "$TORCH" ]; then pip install --no-cache-dir "$TORCH"; fi \
    && pip install --no-cache-dir --constraint /tmp/constraints.txt ".[${EXTRAS}]" \
    && rm /tmp/constraints.txt

USER weakspot
ENV WEAKSPOT_HOME=/var/lib/weakspot \
    DO_NOT_TRACK=1 \
    PYTHONUNBUFFERED=1
ENTRYPOINT ["weakspot"]
CMD ["serve"]
