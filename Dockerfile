# modeldoctor in a container that holds the program and nothing else:
#
#   docker build -t modeldoctor .
#   docker run --rm -v "$PWD:/work" -u "$(id -u):$(id -g)" modeldoctor check model.onnx
#
# For a GPU see docs/gpu.md.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=""
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -buildid= -X main.released=${VERSION}" -o /modeldoctor ./cmd/modeldoctor

# Certificates are for `modeldoctor data get`; activations that do not fit --memory
# go to /tmp.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=65532:65532 --chmod=1777 /tmp /tmp
COPY --from=build /modeldoctor /modeldoctor
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["/modeldoctor"]
