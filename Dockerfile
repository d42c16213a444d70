# syntax=docker/dockerfile:1
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOTOOLCHAIN=local
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    go build -trimpath -ldflags="-s -w -X main.version=${VERSION}" -o /out/ ./worker ./starter ./sandbox && \
    mkdir /sandbox

FROM gcr.io/distroless/static-debian12:nonroot AS base
COPY --from=build /src/LICENSE /licenses/LICENSE
COPY --from=build /out/worker /usr/local/bin/
# A new volume that is mounted here has the same owner, so the sandbox can write its key.
COPY --from=build --chown=nonroot:nonroot /sandbox/ /run/sandbox/

# The sandbox, for tests: docker build --target sandbox.
FROM base AS sandbox
COPY --from=build /out/sandbox /usr/local/bin/
ENTRYPOINT ["/usr/local/bin/sandbox"]

# The worker and the starter. This is what a build without --target makes.
FROM base
ARG VERSION=dev
LABEL org.opencontainers.image.title="sessionkeeper" \
      org.opencontainers.image.description="Ends and inactivates Salesforce messaging sessions of partner-owned routing" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /out/starter /usr/local/bin/
EXPOSE 9090
# The image has no shell, so the worker program makes the request, to SESSIONKEEPER_LISTEN.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/worker", "-healthcheck"]
ENTRYPOINT ["/usr/local/bin/worker"]
