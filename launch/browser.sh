#!/usr/bin/env bash
# Chromium, for the tests of a run's page; where it cannot be installed they are left out.
set -euo pipefail
command -v chromium >/dev/null && command -v chromedriver >/dev/null && exit
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "for the tests of run pages: sudo apt-get install chromium chromium-driver" >&2
  exit
fi
echo "installing chromium" >&2
apt-get update -qq >/dev/null || true
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 \
  chromium chromium-driver >/dev/null || echo "chromium cannot be installed; its tests are left out" >&2
