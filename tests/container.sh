#!/bin/sh
# container.sh CHECKOUT PYTHON_PREFIX SCRATCH: becomes systemd, as the init of a copy of this host in namespaces
# of its own. What it changes lives in memory and is gone with it. Called by test_boot.py, as root.
#
# ffspool is put in /opt/ffspool from the checkout and its .venv, by the command of docs/service.md; Python comes along,
# since it may lie where the service sees nothing.
set -eu
checkout=$1 python=$2 scratch=$3
root=$scratch/root

writable_copy() { # FROM TO
    layer=$(mktemp -d "$scratch/layer.XXXX")
    mkdir -p "$layer/upper" "$layer/work" "$2"
    mount -t overlay -o "lowerdir=$1,upperdir=$layer/upper,workdir=$layer/work" overlay "$2"
}

mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$scratch"
writable_copy / "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys" # those of the whole host
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for folder in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$folder"; done
chmod 1777 "$root/tmp"
mkdir -m 1777 "$root/dev/shm"
mkdir "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for device in null zero full random urandom tty; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done

writable_copy "$checkout/.venv" "$root/opt/ffspool"
mkdir -p "$root/opt/python"
mount --bind "$python" "$root/opt/python"
ln -sf /opt/python/bin/python3 "$root/opt/ffspool/bin/python"
ln -sf python "$root/opt/ffspool/bin/python3"
sed -i 's|^home = .*|home = /opt/python/bin|' "$root/opt/ffspool/pyvenv.cfg"
echo /opt/python/lib > "$root/etc/ld.so.conf.d/000-python.conf"
chroot "$root" ldconfig
writable_copy "$checkout" "$root/opt/checkout" # where it is, it may be hidden: /tmp is fresh
chroot "$root" /opt/ffspool/bin/python -m pip install --quiet --disable-pip-version-check \
    --no-index --no-deps --no-build-isolation --force-reinstall /opt/checkout

rm -rf "$root/etc/systemd/system" # the host's own services
mkdir -p "$root/etc/systemd/system/ffspool.service.d"
cp "$checkout/systemd/ffspool.service" "$root/etc/systemd/system/"

cd "$root"
pivot_root . mnt
umount -l /mnt
exec env -i container=ffspool PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=basic.target
