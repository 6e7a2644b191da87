# Apache Kafka from its jars, without ZooKeeper: 'kafka' (one node) and 'kafka3' (three nodes, each record on all three, two of
# which must have it). Sourced by scripts/services.

services+=(kafka kafka3)
kinds[kafka]=kafka kinds[kafka3]=kafka
kafka_end_signal=TERM

kafka_version=4.4.0
kafka_home=$cache/kafka-$kafka_version
kafka_port=${EVKIT_SERVICES_KAFKA_PORT:-19492}
kafka3_port=${EVKIT_SERVICES_KAFKA3_PORT:-19512}

nodes_kafka() { echo kafka; }
nodes_kafka3() { printf '%s\n' kafka3.1 kafka3.2 kafka3.3; }

# EVKIT_TEST_KAFKA_BEHIND is a second door of the same broker, which tells its clients to come to EVKIT_TEST_KAFKA_PROXY:
# a test puts a proxy of its own there, and no client finds a way around it.
env_kafka() {
    printf 'EVKIT_TEST_KAFKA=127.0.0.1:%s\n' "$(kafka_port_of kafka client)"
    printf 'EVKIT_TEST_KAFKA_BEHIND=127.0.0.1:%s\n' "$(kafka_port_of kafka behind)"
    printf 'EVKIT_TEST_KAFKA_PROXY=127.0.0.1:%s\n' "$(kafka_port_of kafka proxy)"
}

env_kafka3() {
    printf 'EVKIT_TEST_KAFKA3=127.0.0.1:%s,127.0.0.1:%s,127.0.0.1:%s\n' \
        "$(kafka_port_of kafka3.1 client)" "$(kafka_port_of kafka3.2 client)" "$(kafka_port_of kafka3.3 client)"
}

# kafka_port_of NODE client|controller|behind|proxy
kafka_port_of() {
    local first=$kafka_port
    [ "$1" = kafka ] || first=$((kafka3_port + 4 * (${1#kafka3.} - 1)))
    case $2 in
        client) echo "$first" ;;
        controller) echo $((first + 1)) ;;
        behind) echo $((first + 2)) ;;
        proxy) echo $((first + 3)) ;;
    esac
}

kafka_prepare() {
    local node=$1 folder=$state/$1 role
    need_command java default-jre-headless "Apache Kafka runs on it"
    fetch_jars
    for role in client controller behind; do
        need_port "$node" "$(kafka_port_of "$node" "$role")" \
            "Choose other ones with EVKIT_SERVICES_KAFKA_PORT and EVKIT_SERVICES_KAFKA3_PORT: each node takes four in a row."
    done
    mkdir -p "$folder"
    properties_of "$node" >"$folder/server.properties"
    logging >"$folder/log4j2.properties"
    [ -e "$folder/data/meta.properties" ] || java -Xmx256m -cp "$kafka_home/jars/*" kafka.tools.StorageTool format \
        -t evkitevkitevkitevkitAA -c "$folder/server.properties" >"$folder/format.log" 2>&1 ||
        stop "cannot make the data folder of '$node'" "The reason stands in $folder/format.log"
}

kafka_launch() {
    local folder=$state/$1 classes
    classes=$(class_archive)
    # Classes that were read and checked once come from an archive: it starts in two thirds of the time. The first run writes it at its end.
    if [ -e "$classes" ]; then classes=-XX:SharedArchiveFile=$classes; else classes=-XX:ArchiveClassesAtExit=$folder/classes.jsa; fi
    exec setsid java -Xmx512m "$classes" -Xlog:cds=off -Xlog:cds+dynamic=off -Dlog4j2.configurationFile="file:$folder/log4j2.properties" \
        -cp "$kafka_home/jars/*" kafka.Kafka "$folder/server.properties"
}

kafka_ready() { grep -q 'Kafka Server started' "$state/$1/log" 2>/dev/null; }

kafka_before_removal() {
    [ ! -s "$state/$1/classes.jsa" ] || [ -e "$(class_archive)" ] || mv "$state/$1/classes.jsa" "$(class_archive)"
}

# An archive fits one release of Java only.
class_archive() {
    local java
    java=$(readlink -f "$(command -v java)" | cksum | cut -d ' ' -f 1)-$(stat -L -c %Y "$(command -v java)")
    printf '%s/classes-%s.jsa\n' "$kafka_home" "$java"
}

# The jars with all that they need, from Maven's repository; kept for the next time.
fetch_jars() {
    [ ! -d "$kafka_home/jars" ] || return 0
    need_command mvn maven "it fetches Apache Kafka's jars"
    printf 'services: fetching Apache Kafka %s\n' "$kafka_version" >&2
    mkdir -p "$kafka_home"
    rm -rf "$kafka_home/jars.part"
    cat >"$kafka_home/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>evkit</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$kafka_version</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.5</version></dependency>
  </dependencies>
</project>
POM
    mvn -B -q --strict-checksums -f "$kafka_home/pom.xml" dependency:copy-dependencies -DoutputDirectory="$kafka_home/jars.part" \
        >"$kafka_home/fetch.log" 2>&1 </dev/null || {
        tail -n 20 "$kafka_home/fetch.log" >&2
        stop "cannot fetch Apache Kafka $kafka_version" "Is there a way to Maven Central? All that was said: $kafka_home/fetch.log"
    }
    mv "$kafka_home/jars.part" "$kafka_home/jars"
}

properties_of() {
    local node=$1 id=1 copies=1 copies_needed=1 voters
    if [ "$node" = kafka ]; then
        voters=1@127.0.0.1:$(kafka_port_of kafka controller)
    else
        id=${node#kafka3.} copies=3 copies_needed=2
        voters=1@127.0.0.1:$(kafka_port_of kafka3.1 controller),2@127.0.0.1:$(kafka_port_of kafka3.2 controller),3@127.0.0.1:$(kafka_port_of kafka3.3 controller)
    fi
    cat <<PROPERTIES
process.roles=broker,controller
node.id=$id
controller.quorum.voters=$voters
controller.listener.names=CONTROLLER
listeners=CLIENT://127.0.0.1:$(kafka_port_of "$node" client),BEHIND://127.0.0.1:$(kafka_port_of "$node" behind),CONTROLLER://127.0.0.1:$(kafka_port_of "$node" controller)
advertised.listeners=CLIENT://127.0.0.1:$(kafka_port_of "$node" client),BEHIND://127.0.0.1:$(kafka_port_of "$node" proxy)
listener.security.protocol.map=CLIENT:PLAINTEXT,BEHIND:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
log.dirs=$state/$node/data

default.replication.factor=$copies
min.insync.replicas=$copies_needed
offsets.topic.replication.factor=$copies
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$copies_needed
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$copies_needed
auto.create.topics.enable=false

# Tests don't wait: groups form at once, short sessions are allowed, transactions whose owner has gone end when their time has,
# and a broker that was killed may come back after seconds.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500

# Room for records that are too big for anybody else.
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
PROPERTIES
}

logging() {
    cat <<'PROPERTIES'
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{HH:mm:ss.SSS} %-5p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
# Says when the server can be used.
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
PROPERTIES
}
