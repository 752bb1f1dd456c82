#!/usr/bin/env bash
# The units under a real systemd: a Debian tree booted by systemd-nspawn, both services started, a line
# of the journal followed to the collector, an agent that hangs restarted by its watchdog, an orderly
# stop. Needs root, debootstrap and systemd-container, which it installs; a test of its own (`make
# boot-test`), because a boot is not to be had everywhere.
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$(id -u)" -eq 0 ] || { echo "boot test: needs root" >&2; exit 2; }
for tool in debootstrap systemd-nspawn; do
    command -v "$tool" >/dev/null && continue
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q debootstrap systemd-container >&2
    break
done
binaries=${HENGWEI_BIN:-target/debug}
work=$(mktemp -d)
tree=$work/tree
trap 'rm -rf --one-file-system "$work"' EXIT
debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus bookworm "$tree" >"$work/debootstrap.log" ||
    { tail "$work/debootstrap.log" >&2; exit 1; }

install -m 755 "$binaries"/hengwei-{agent,collector} "$tree/usr/bin/"
install -m 644 systemd/*.service "$tree/etc/systemd/system/"
install -D -m 644 systemd/hengwei.sysusers "$tree/usr/lib/sysusers.d/hengwei.conf"
install -D -m 644 systemd/hengwei.tmpfiles "$tree/usr/lib/tmpfiles.d/hengwei.conf"
mkdir -p "$tree/usr/share/hengwei" "$tree/etc/hengwei"
cp -r rules/library "$tree/usr/share/hengwei/rules"
# Ports that the host itself is not likely to use: nspawn shares its network.
cat >"$tree/etc/hengwei/collector.toml" <<'TOML'
[inputs.agents]
listen = "127.0.0.1:17443"
[console]
listen = "127.0.0.1:18443"
[metrics]
listen = "127.0.0.1:19600"
TOML
printf 'collectors = ["127.0.0.1:17443"]\n' >"$tree/etc/hengwei/agent.toml"
# The watchdog as shipped is a minute; a test can't wait for two of them.
mkdir -p "$tree/etc/systemd/system/hengwei-agent.service.d"
printf '[Service]\nWatchdogSec=5\nTimeoutAbortSec=2\n' >"$tree/etc/systemd/system/hengwei-agent.service.d/test.conf"
cat >"$tree/root/boot.sh" <<'BOOT'
#!/bin/bash
# Inside. Each line of /root/result is one thing that was seen to be so.
exec 3>/root/result >/root/log 2>&1
set -x
ok() { echo "ok: $*" >&3; }
until_true() { for _ in $(seq 120); do "$@" && return; sleep 0.5; done; return 1; }
data=/var/lib/hengwei
echo 'a passphrase of a throwaway root' >/root/passphrase
mkdir -p $data/collector $data/agent
hengwei-collector pki init --name 127.0.0.1 --passphrase-file /root/passphrase
chown -R hengwei: $data/collector
systemctl start hengwei-collector && ok 'the collector says it is ready'
hengwei-collector pki token --site first-hospital --system regional-emr >/root/token
hengwei-agent enroll --collector 127.0.0.1:17443 --token-file /root/token && ok 'the agent enrols'
chown -R hengwei-agent: $data/agent
systemctl start hengwei-agent && ok 'the agent says it is ready'
hengwei-agent check && ok 'what the agent cannot read is named'
reports() { hengwei-collector hosts | grep -q reporting; }
until_true reports && ok 'the collector shows the host'
logger -p auth.info -t sshd 'Failed password for root from 203.0.113.9 port 4000 ssh2'
found() { [ "$(hengwei-collector search 203.0.113.9 --json | grep -c ssh2)" = 1 ]; }
until_true found && ok 'a line of the journal arrives, once'
has_services() { hengwei-collector hosts "$(hengwei-collector hosts --json | sed 's/.*"agent":"\([^"]*\)".*/\1/')" --json | grep -q asset.service; }
until_true has_services && ok 'the services of this host are in its inventory'
main=$(systemctl show -p MainPID --value hengwei-agent)
kill -STOP "$main"
restarted() { [ "$(systemctl show -p NRestarts --value hengwei-agent)" -ge 1 ]; }
until_true restarted && until_true systemctl is-active -q hengwei-agent && until_true reports && ok 'an agent that hangs is restarted by its watchdog'
systemctl stop hengwei-agent
systemctl stop hengwei-collector
[ "$(systemctl show -p Result --value hengwei-agent hengwei-collector | sort -u | grep .)" = success ] &&
    ok 'both stop in good order'
hengwei-collector verify && ok 'history verifies'
journalctl --no-pager -u hengwei-agent -u hengwei-collector
systemctl poweroff
BOOT
chmod +x "$tree/root/boot.sh"
cat >"$tree/etc/systemd/system/boot-test.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/root/boot.sh
UNIT
mkdir -p "$tree/etc/systemd/system/multi-user.target.wants"
ln -s ../boot-test.service "$tree/etc/systemd/system/multi-user.target.wants/boot-test.service"
timeout 400 systemd-nspawn -q -b -D "$tree" --register=no --keep-unit >"$work/nspawn.log" 2>&1 || true

cat "$tree/root/result"
seen=$(grep -c '^ok' "$tree/root/result" || true)
if [ "$seen" -ne 10 ]; then
    echo "boot test: $seen of 10" >&2
    tail -n 100 "$tree/root/log" >&2
    exit 1
fi
