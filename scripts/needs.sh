# What the scripts need of the machine: sourced by them, from any folder. Finds Rust, installs Debian packages that are
# missing, and says how to proceed where it can't. Knows nothing of what is built or tested.

# Ends the script with a reason and what to do about it.
stop() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    shift
    printf '  %s\n' "$@" >&2
    exit 1
}

# need_command COMMAND PACKAGES WHY: installs Debian's PACKAGES (words) unless COMMAND is there.
need_command() { need "$1" "$2" "$3" command -v "$1"; }

# need_library NAME PACKAGES WHY: installs Debian's PACKAGES (words) unless pkg-config knows the library.
need_library() { need "$1" "$2" "$3" pkg-config --exists "$1"; }

# need NAME PACKAGES WHY CHECK…: installs PACKAGES where the command CHECK fails, and runs it again.
need() {
    local name=$1 packages=$2 why=$3 as_root=() log
    shift 3
    "$@" >/dev/null 2>&1 && return
    local by_hand="Install it and try again, on Debian: apt-get install $packages"
    command -v apt-get >/dev/null || stop "'$name' is missing ($why), and there is no apt-get to install it" "$by_hand"
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || stop "'$name' is missing ($why), and installing it needs root" "$by_hand (as root)"
        as_root=(sudo -n)
    fi
    printf "%s: installing %s: '%s' is missing (%s)\n" "${0##*/}" "$packages" "$name" "$why" >&2
    log=$(mktemp)
    # dpkg wants the folders of root's programs, which a bare shell's PATH may not hold.
    # A machine that has just started is often at its own updates: nobody waits for the lock of the lists by himself.
    local apt="DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3" update
    update="for _ in \$(seq 60); do said=\$($apt update 2>&1) && break; echo \"\$said\"
        case \$said in */lists/lock*) sleep 5 ;; *) exit 1 ;; esac; done"
    local install="$update; $apt install -y --no-install-recommends $packages"
    if ! "${as_root[@]}" env PATH="$PATH:/usr/sbin:/sbin" sh -c "$install" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        rm -f "$log"
        stop "'$name' is missing ($why), and apt-get could not install '$packages'" "$by_hand"
    fi
    rm -f "$log"
    "$@" >/dev/null || stop "'$name' is still missing ($why), though '$packages' is installed" "Is its folder on the PATH?"
}

# Finds cargo of the version that Cargo.toml asks for, and what the C parts are built with. Call it in the repository's root.
need_rust() {
    local wanted is cargo_folder
    # A bare shell doesn't have rustup's folder on its PATH; Debian's own cargo, if any, is older than what we need.
    cargo_folder="${CARGO_HOME:-${HOME:-}/.cargo}/bin"
    case ":$PATH:" in
        *":$cargo_folder:"*) ;;
        *) export PATH="$cargo_folder:$PATH:/usr/local/cargo/bin" ;;
    esac
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    command -v cargo >/dev/null || stop "'cargo' is missing: evkit is built with Rust $wanted or newer" \
        "Install Rust as https://rustup.rs tells, open a new shell and try again."
    is=$(cargo --version 2>/dev/null | cut -d ' ' -f 2) || is=none
    if [ "$(printf '%s\n' "$wanted" "$is" | sort -V | head -n 1)" != "$wanted" ]; then
        stop "cargo is of version '$is': evkit is built with Rust $wanted or newer" "Run 'rustup update stable' and try again."
    fi
    # All at once where one is missing: a bare machine lacks them all.
    local to_build="gcc g++ libc6-dev make pkg-config libssl-dev zlib1g-dev"
    need_command cc "$to_build" "Rust links with it, and SQLite and zstd are compiled by it"
    need_command c++ "$to_build" "librdkafka is built with it"
    need_command make "$to_build" "librdkafka is built with it"
    need_command pkg-config "$to_build" "librdkafka's build finds its libraries by it"
    need_library openssl "$to_build" "librdkafka speaks TLS by it"
    need_library zlib "$to_build" "librdkafka compresses by it"
}

# Where cargo puts what it builds, as a whole path. Call it in the repository's root.
target_folder() {
    case ${CARGO_TARGET_DIR:-target} in
        /*) printf '%s\n' "$CARGO_TARGET_DIR" ;;
        *) printf '%s\n' "$PWD/${CARGO_TARGET_DIR:-target}" ;;
    esac
}
