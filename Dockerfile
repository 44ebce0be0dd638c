# The operator's image: one static binary, the certificates of public authorities, and nothing else.
#
#   docker buildx build --platform linux/amd64,linux/arm64 --tag <registry>/orgkeeper:<version> --push .

# Compile on the machine that builds, for the one that runs: Go needs no emulation for that.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
# Modules first: they change less often than the code, and stay in the layer's cache.
COPY go.mod go.sum ./
RUN go mod download
COPY api api
COPY cmd cmd
COPY config/policy config/policy
COPY controllers controllers
COPY internal internal
ARG TARGETOS TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags="-s -w" -o /orgkeeper ./cmd

FROM scratch
# To know mail servers by; a private authority comes with --smtp-ca-file.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /orgkeeper /orgkeeper
# A number: runAsNonRoot cannot be checked against a name.
USER 65532:65532
ENTRYPOINT ["/orgkeeper"]
