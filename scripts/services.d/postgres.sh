# PostgreSQL from Debian's package: 'postgres'. One database 'evkit' of one user 'evkit', with TLS by a certificate made for it. Its
# password is no secret: it listens on this machine only, and holds what tests write. Sourced by scripts/services.

services+=(postgres)
kinds[postgres]=postgres
# Ends without waiting for its clients.
postgres_end_signal=INT

postgres_port=${EVKIT_SERVICES_POSTGRES_PORT:-19632}
postgres_password=evkit-test-password

nodes_postgres() { echo postgres; }

env_postgres() {
    printf 'EVKIT_TEST_POSTGRES=postgres://evkit@127.0.0.1:%s/evkit\n' "$postgres_port"
    printf 'EVKIT_TEST_POSTGRES_PASSWORD=%s\n' "$postgres_password"
    printf 'EVKIT_TEST_POSTGRES_CERTIFICATE=%s\n' "$(postgres_data)/server.crt"
}

postgres_prepare() {
    need "PostgreSQL" postgresql "tests keep schemas in it" postgres_programs
    need_command openssl openssl "it makes PostgreSQL's certificate"
    need_port "$1" "$postgres_port" "Choose another one with EVKIT_SERVICES_POSTGRES_PORT."
    mkdir -p "$state/$1"
    local data
    data=$(postgres_data)
    [ ! -e "$data/server.crt" ] || return 0
    make_postgres_data "$data" >"$state/$1/made.log" 2>&1 ||
        stop "cannot make the data folder of '$1'" "The reason stands in $state/$1/made.log"
}

make_postgres_data() {
    local data=$1
    rm -rf "$data"
    mkdir -p "$data"
    printf '%s\n' "$postgres_password" >"$state/postgres/password"
    if [ "$(id -u)" -eq 0 ]; then chown postgres: "$data" && chmod 755 "$data/.."; fi
    as_postgres "$(postgres_programs)/initdb" --username=evkit --auth=scram-sha-256 --pwfile=/dev/stdin --encoding=UTF8 --locale=C \
        --no-sync "$data" <"$state/postgres/password" || return
    (
        cd "$data" && umask 077
        as_postgres openssl req -new -x509 -days 3650 -nodes -subj /CN=localhost -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' \
            -out "$data/server.crt.part" -keyout "$data/server.key"
        # The database of the name comes with the first start that has none.
        printf 'CREATE DATABASE evkit;\n' | as_postgres "$(postgres_programs)/postgres" --single -D "$data" postgres
        as_postgres mv "$data/server.crt.part" "$data/server.crt"
        chmod 755 "$data" && chmod 644 "$data/server.crt" && chmod 700 "$data"
    )
}

postgres_launch() {
    local data
    data=$(postgres_data)
    cd "$data"
    exec setsid $(as_postgres_words) "$(postgres_programs)/postgres" -D "$data" -c listen_addresses=127.0.0.1 -c port="$postgres_port" \
        -c unix_socket_directories= -c ssl=on -c fsync=off -c log_min_messages=fatal
}

postgres_ready() { "$(postgres_programs)/pg_isready" -q -h 127.0.0.1 -p "$postgres_port"; }

postgres_before_removal() { rm -rf "$(postgres_data)"; }

# PostgreSQL refuses to run as root: the user that its package made does, who can't look into root's folders.
postgres_data() {
    if [ "$(id -u)" -eq 0 ]; then
        printf '/var/lib/postgresql/evkit/%s\n' "$(printf %s "$state" | cksum | cut -d ' ' -f 1)"
    else
        printf '%s\n' "$state/postgres/data"
    fi
}

as_postgres_words() { [ "$(id -u)" -ne 0 ] || echo "setpriv --reuid=postgres --regid=postgres --init-groups"; }
# shellcheck disable=SC2046
as_postgres() { $(as_postgres_words) "$@"; }

# The folder of its programs, which Debian keeps off the PATH; the newest, where there are several.
postgres_programs() {
    local program
    program=$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1)
    [ -x "$program" ] || program=$(command -v postgres) || return
    dirname "$program"
}
