FROM swift:6.3-bookworm AS build
# Debian keeps one version of a package a release: to pin it would break the build at every security update.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libcrypt-dev libhiredis-dev libmongoc-dev libpq-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
# The list of common passwords alone: Django, which brings it, is not needed.
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /built
RUN apt-get update \
    && apt-get download python3-django \
    && dpkg-deb --fsys-tarfile python3-django_*.deb \
    | tar -x -O ./usr/lib/python3/dist-packages/django/contrib/auth/common-passwords.txt.gz | gunzip >common-passwords.txt \
    && rm -rf python3-django_*.deb /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/source/.build \
    swift build -c release --product kababeat --static-swift-stdlib \
    && install -D "$(swift build -c release --show-bin-path)/kababeat" /built/kababeat

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl libhiredis0.14 libmongoc-1.0-0 libpq5 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin kababeat
COPY --from=build /built/kababeat /usr/local/bin/kababeat
COPY --from=build /built/common-passwords.txt /usr/share/kababeat/common-passwords.txt
COPY sql /usr/share/kababeat/sql
COPY mongo /usr/share/kababeat/mongo
COPY openapi.yaml /usr/share/kababeat/openapi.yaml
# One of these is the path of a list of passwords, and no secret.
# hadolint ignore=DL3064
ENV KABABEAT_HTTP_HOST=0.0.0.0 \
    KABABEAT_HTTP_PORT=8080 \
    KABABEAT_SQL_DIRECTORY=/usr/share/kababeat/sql \
    KABABEAT_MONGO_DIRECTORY=/usr/share/kababeat/mongo \
    KABABEAT_OPENAPI_FILE=/usr/share/kababeat/openapi.yaml \
    KABABEAT_PASSWORD_COMMON_FILE=/usr/share/kababeat/common-passwords.txt
USER 10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
    CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:8080/health/live"]
ENTRYPOINT ["kababeat"]
CMD ["serve"]
