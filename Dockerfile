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
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -buildid= -X main.released=${VERSION}" -o /image/modeldoctor ./cmd/modeldoctor
# Certificates are for `modeldoctor data get`; activations that do not fit --memory
# go to /tmp, which any user may write to (docker run -u). Only below what is copied
# does COPY keep the mode of a folder.
RUN mkdir -p -m 1777 /image/tmp && mkdir -p /image/etc/ssl/certs && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/

FROM scratch
COPY --from=build /image /
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["/modeldoctor"]
