# The static binary and nothing else. `make image` builds the binary first:
#   docker run -p 9092:9092 gokafka
# Data is in the volume /data. Every property has its variable (log.retention.ms is KAFKA_LOG_RETENTION_MS); from another
# machine or network, KAFKA_ADVERTISED_LISTENERS must name the address that clients reach.
FROM scratch
COPY bin/gokafka /gokafka
ENV KAFKA_LISTENERS=PLAINTEXT://:9092 \
    KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:9092 \
    KAFKA_LOG_DIRS=/data
VOLUME /data
EXPOSE 9092
ENTRYPOINT ["/gokafka"]
