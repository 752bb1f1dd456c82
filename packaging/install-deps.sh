#!/usr/bin/env bash
# Installs what building (`build`), testing (`test`), measuring (`bench`) or the attack on real servers
# (`walkthrough`) needs and this machine lacks. Does nothing, and asks for no rights, when nothing is missing.
set -euo pipefail

what=${1:-build}
packages=()

command -v cc >/dev/null || packages+=(gcc libc6-dev)
command -v cargo >/dev/null || command -v curl >/dev/null || packages+=(curl)
[ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
if [ "$what" = test ]; then
    command -v prometheus >/dev/null && command -v promtool >/dev/null || packages+=(prometheus)
    # The fault tests mount file systems on loop devices.
    PATH=$PATH:/usr/sbin:/sbin
    command -v mkfs.ext4 >/dev/null || packages+=(e2fsprogs)
    command -v losetup >/dev/null && command -v umount >/dev/null || packages+=(mount)
    command -v perl >/dev/null || packages+=(perl-base)
fi
if [ "$what" = bench ]; then
    command -v zstdgrep >/dev/null || packages+=(zstd)
    command -v grep >/dev/null || packages+=(grep)
fi

if [ "$what" = walkthrough ]; then
    PATH=$PATH:/usr/sbin:/sbin
    for need in hydra:hydra sqlmap:sqlmap nginx:nginx rsyslogd:rsyslog sshd:openssh-server ssh:openssh-client \
        crontab:cron sudo:sudo curl:curl runuser:util-linux useradd:passwd; do
        command -v "${need%%:*}" >/dev/null || packages+=("${need#*:}")
    done
    [ -e /usr/lib/nginx/modules/ngx_http_modsecurity_module.so ] || packages+=(libnginx-mod-http-modsecurity)
    [ -e /usr/share/modsecurity-crs/rules ] || packages+=(modsecurity-crs)
    ls /usr/sbin/php-fpm* >/dev/null 2>&1 || packages+=(php-fpm)
    [ -e /usr/lib/postgresql/15/bin/postgres ] || packages+=(postgresql-15)
    [ -e /usr/lib/postgresql/15/lib/pgaudit.so ] || packages+=(postgresql-15-pgaudit)
fi

if [ ${#packages[@]} -gt 0 ]; then
    if ! command -v apt-get >/dev/null; then
        echo "missing: ${packages[*]}: install them with this system's package manager" >&2
        exit 2
    fi
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "missing: ${packages[*]}: run as root: apt-get update && apt-get install ${packages[*]}" >&2; exit 2; }
        as_root=(sudo)
    fi
    export DEBIAN_FRONTEND=noninteractive
    "${as_root[@]}" apt-get update -q >&2
    # Debian starts the services it installs; a test server must not start on a host that only tests.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod +x "$policy"
        trap '"${as_root[@]}" rm -f "$policy"' EXIT
    fi
    "${as_root[@]}" apt-get install -y -q --no-install-recommends "${packages[@]}" >&2
fi

# The oldest Rust that builds it, as Cargo.toml says.
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
PATH=$HOME/.cargo/bin:$PATH

if ! command -v cargo >/dev/null; then
    echo 'installing Rust for this user with rustup' >&2
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --component clippy,rustfmt >&2 || {
        echo "Rust could not be fetched: give this user Rust $wanted or newer (rustup, or its offline installer), then go on" >&2
        exit 2
    }
fi

# Debian's own is older, and cargo would only say that it does not know the edition.
found=$(cargo --version | cut -d ' ' -f 2)
if [ "$(printf '%s\n' "$wanted" "${found%%-*}" | sort -V | head -n 1)" != "$wanted" ]; then
    echo "Rust $wanted or newer is needed, and $(command -v cargo) is $found: rustup update stable, or remove it and have rustup installed" >&2
    exit 2
fi
