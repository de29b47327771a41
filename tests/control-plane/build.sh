#!/usr/bin/env bash
# Builds the control plane of the end-to-end tests, once, into a cache folder outside the repository, and prints that
# folder: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubectl (one binary, five names), and kwok.
# Does nothing when they are there. Two that start at once are safe: the second waits for the first.
set -euo pipefail

kubernetes=1.36.3 # the version in go.mod
kwok=0.8.0

cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
cache=${VIRTROLL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/virtroll}/control-plane
key=$({ cat go.mod go.sum main.go; echo "kwok $kwok"; } | sha256sum | cut -c1-16)
out=$cache/$key

if [ -e "$out/complete" ]; then
    echo "$out"
    exit 0
fi
if ! command -v go >/dev/null; then
    echo "build.sh: the control plane is made of Go modules; install Go 1.26 or later first" >&2
    exit 1
fi

mkdir -p "$out"
exec 9>"$cache/lock"
flock 9
if [ -e "$out/complete" ]; then # somebody else was building it
    echo "$out"
    exit 0
fi

began=$SECONDS
echo "build.sh: building Kubernetes $kubernetes and KWOK $kwok into $out; minutes, the first time" >&2
version=k8s.io/component-base/version
export CGO_ENABLED=0
# Without a version of its own, clients that parse the server's version fail.
go build -trimpath -buildvcs=false -o "$out/control-plane" -ldflags "-s -w
    -X $version.gitVersion=v$kubernetes -X $version.gitMajor=${kubernetes%%.*}
    -X $version.gitMinor=$(cut -d. -f2 <<<"$kubernetes")" . >&2
for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubectl; do
    ln -sfn control-plane "$out/$name"
done
GOBIN=$out GOFLAGS=-trimpath go install "sigs.k8s.io/kwok/cmd/kwok@v$kwok" >&2
touch "$out/complete"
echo "build.sh: built in $((SECONDS - began)) s" >&2
echo "$out"
