# A static binary, the authorities by which TLS is checked, and nothing else: no shell, nothing to write to.
FROM rust:1.95-alpine AS build
RUN apk add --no-cache make musl-dev
WORKDIR /nearcopy
COPY . .
RUN cargo build --locked --profile dist --bin nearcopy \
 && mkdir -p /out/etc/ssl/certs \
 && strip -o /out/nearcopy target/dist/nearcopy \
 && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/

FROM scratch
LABEL org.opencontainers.image.title="nearcopy" \
      org.opencontainers.image.description="Keeps a near copy of the data another service owns" \
      org.opencontainers.image.source="https://github.com/nearcopy/nearcopy" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/ /
# A number, so that the kubelet sees that it is not root.
USER 65532:65532
EXPOSE 9464
STOPSIGNAL SIGTERM
ENTRYPOINT ["/nearcopy"]
CMD ["run"]
