# syntax=docker/dockerfile:1.7
# One service of Ragbus as an image:
#
#   docker build --build-arg SERVICE=gateway --build-arg VERSION=0.1.0 -t ghcr.io/ragbus/gateway:0.1.0 .
#
# SERVICE is gateway, retriever, generator, ingestor, or ragbus for the command line. The build reads Go
# modules and nothing else from the network. `make image-check` runs the same
# steps without a container runtime.
ARG GO_VERSION=1.26.8

FROM --platform=$BUILDPLATFORM docker.io/library/golang:${GO_VERSION}-bookworm AS build
ARG SERVICE
ARG VERSION=dev
ARG TARGETOS
ARG TARGETARCH
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    SERVICE="${SERVICE}" VERSION="${VERSION}" GOOS="${TARGETOS}" GOARCH="${TARGETARCH}" OUT=/out .ci/build-service
# A writable directory for documents that are being read; the rest may be read-only.
RUN mkdir -p /out/tmp && chmod 1777 /out/tmp && mkdir -p /out/etc/ssl/certs \
    && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ \
    && cp -r /src/LICENSE /src/NOTICE /out/

FROM scratch
COPY --from=build /out/ /
# No name is looked up: there is no /etc/passwd.
USER 65532:65532
ENV RAGBUS_LOG_FORMAT=json
# gateway: 8080; workers: probes and metrics on 9090
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
ENTRYPOINT ["/service"]
