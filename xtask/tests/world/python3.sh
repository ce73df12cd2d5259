#!/bin/sh
# A fake Python with pip for the tests of set-up: `-m pip --version`, `-m pip download`, and `-c SCRIPT`.
set -eu
if [ "$1" = -c ]; then
    if [ -z "$FAKE_TORCH_VERSION" ]; then
        echo "importlib.metadata.PackageNotFoundError: No package metadata was found for torch" >&2
        exit 1
    fi
    printf '%s\n%s\n' "$FAKE_TORCH_VERSION" "$FAKE_TORCH"
    exit
fi
if [ "$FAKE_MODE" = no-pip ]; then
    echo "python3: No module named pip" >&2
    exit 1
fi
if [ "$3" = --version ]; then
    echo "pip 24.0 from /nowhere (python 3.11)"
    exit
fi
hashed=$(case "$*" in *--require-hashes*) echo yes ;; esac)
while [ "$1" != --requirement ]; do shift; done
dest=$4
read -r requirement hash <"$2"
project=$(echo "${requirement%%==*}" | tr - _)
wheel=$(cd "$FAKE_WHEELS" && echo "$project"-*.whl)
echo "$requirement" >>"$FAKE_WHEELS/downloads"
case $FAKE_MODE in
fail)
    echo "ERROR: No matching distribution found for $requirement" >&2
    exit 1
    ;;
hang)
    head -c 100 "$FAKE_WHEELS/$wheel" >"$dest/$wheel"
    touch "$FAKE_WHEELS/hanging"
    sleep 60
    ;;
slow)
    touch "$FAKE_WHEELS/slow"
    sleep 1
    ;;
esac
cp "$FAKE_WHEELS/$wheel" "$dest/$wheel"
if [ "$FAKE_MODE" = altered ]; then
    # One byte, at the same size.
    printf X | dd of="$dest/$wheel" bs=1 seek=40 conv=notrunc 2>/dev/null
fi
found=$(sha256sum "$dest/$wheel")
if [ -n "$hashed" ] && [ "$hash" != "--hash=sha256:${found%% *}" ]; then
    echo "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE." >&2
    exit 1
fi
