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
need_command() {
    local command=$1 packages=$2 why=$3 as_root=() log
    command -v "$command" >/dev/null && return
    local by_hand="Install it and try again, on Debian: apt-get install $packages"
    command -v apt-get >/dev/null || stop "'$command' is missing ($why), and there is no apt-get to install it" "$by_hand"
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || stop "'$command' is missing ($why), and installing it needs root" "$by_hand (as root)"
        as_root=(sudo -n)
    fi
    printf "%s: installing %s: '%s' is missing (%s)\n" "${0##*/}" "$packages" "$command" "$why" >&2
    log=$(mktemp)
    # dpkg wants the folders of root's programs, which a bare shell's PATH may not hold.
    local install="apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages"
    if ! "${as_root[@]}" env PATH="$PATH:/usr/sbin:/sbin" sh -c "$install" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        rm -f "$log"
        stop "'$command' is missing ($why), and apt-get could not install '$packages'" "$by_hand"
    fi
    rm -f "$log"
    command -v "$command" >/dev/null || stop "'$command' is still missing ($why), though '$packages' is installed" "Is its folder on the PATH?"
}

# Finds cargo of the version that Cargo.toml asks for, and the C compiler that it links with. Call it in the repository's root.
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
    need_command cc "gcc libc6-dev" "Rust links with it, and zstd is compiled by it"
}

# Where cargo puts what it builds, as a whole path. Call it in the repository's root.
target_folder() {
    case ${CARGO_TARGET_DIR:-target} in
        /*) printf '%s\n' "$CARGO_TARGET_DIR" ;;
        *) printf '%s\n' "$PWD/${CARGO_TARGET_DIR:-target}" ;;
    esac
}
