# The static binary and nothing else. `make image` builds the binary first:
#   docker run -p 9092:9092 gokafka
# Data is in the volume /data, which belongs to the user 65532 as whom the broker runs: a directory of the host that is mounted there must
# be that user's, or run with --user. Every property has its variable (log.retention.ms is KAFKA_LOG_RETENTION_MS); from another
# machine or network, KAFKA_ADVERTISED_LISTENERS must name the address that clients reach.
FROM scratch
COPY bin/gokafka /gokafka
COPY --chown=65532:65532 bin/data /data
USER 65532:65532
ENV KAFKA_LISTENERS=PLAINTEXT://:9092 \
    KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:9092 \
    KAFKA_LOG_DIRS=/data
VOLUME /data
EXPOSE 9092
HEALTHCHECK --interval=5s --timeout=6s --start-period=60s CMD ["/gokafka", "health"]
ENTRYPOINT ["/gokafka"]
