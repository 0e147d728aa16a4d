#!/bin/sh
# Builds the images of both services. The text below is its help.
set -eu

usage() {
  cat <<'TEXT'
infra/images/build.sh [--arch amd64|arm64] [--network NAME] [--save FOLDER]
infra/images/build.sh --which

Builds the images of edge and expert, named ask-the-expert/edge and ask-the-expert/expert, with the version of
package.json as tag.

  --arch ARCH      platform of the images; this machine's without it
  --network NAME   network of the build, for machines where the engine's own reaches no package registry: host
  --save FOLDER    also writes edge.tar and expert.tar there, for: k3s ctr images import FILE
  --which          says which engine would be used, and builds nothing
  --help           this text

ENGINE in the environment names the engine: docker (with BuildKit), podman or buildah. Without it, the first that works.
TEXT
}

fail() {
  echo "build.sh: $1" >&2
  exit "${2:-1}"
}

works() {
  case $1 in
    # A client without BuildKit cannot even say how it builds.
    docker) { docker version && DOCKER_BUILDKIT=1 docker build --help; } > /dev/null 2>&1 ;;
    *) "$1" info > /dev/null 2>&1 ;;
  esac
}

arch= network= save= which=
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit ;;
    --which) which=yes; shift; continue ;;
    --arch | --network | --save) [ -n "${2:-}" ] || fail "$1 needs a value; --help says more" 2 ;;
  esac
  case $1 in
    --arch) arch=$2 ;;
    --network) network=$2 ;;
    --save) save=$2 ;;
    *) fail "unknown argument '$1'; --help lists what there is" 2 ;;
  esac
  shift 2
done
case ${arch:=$(uname -m)} in
  amd64 | x86_64) arch=amd64 ;;
  arm64 | aarch64) arch=arm64 ;;
  *) fail "--arch must be amd64 or arm64, not '$arch'" 2 ;;
esac

engine=${ENGINE:-}
case $engine in
  '')
    for engine in docker podman buildah none; do
      [ $engine != none ] || fail 'no container engine works here: install docker, podman or buildah'
      ! works $engine || break
    done
    ;;
  docker | podman | buildah) works "$engine" || fail "ENGINE: $engine does not work here: see '$engine info'" ;;
  *) fail "ENGINE must be docker, podman or buildah, not '$engine'" 2 ;;
esac

[ -z "$which" ] || { echo "$engine"; exit; }

[ -z "$save" ] || { mkdir -p "$save" && save=$(cd "$save" && pwd); }
cd "$(dirname "$0")/../.."
version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' package.json)

for service in edge expert; do
  # The name in full is what Kubernetes makes of the manifests'.
  image=docker.io/ask-the-expert/$service:$version
  set -- --platform "linux/$arch" ${network:+--network "$network"} -f infra/images/Dockerfile --target $service
  case $engine in
    docker) DOCKER_BUILDKIT=1 docker build "$@" -t "$image" . ;;
    *) "$engine" build --layers --pull=false "$@" -t "$image" . ;;
  esac
  if [ -n "$save" ]; then
    rm -f "$save/$service.tar"
    case $engine in
      buildah) buildah push "$image" "docker-archive:$save/$service.tar:$image" ;;
      *) "$engine" save -o "$save/$service.tar" "$image" ;;
    esac
  fi
done
