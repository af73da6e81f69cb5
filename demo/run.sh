#!/bin/sh
# The tutorial, from an empty machine to an application that counts its visitors. `make demo` runs it.
#
# Every command is shown before it runs, after a line on what it is for. What is started here is
# stopped and removed in the end, however it ends; images stay, so that a second time is quick.
#
#   SAMPAN   the program (default: sampan)
#   PORT     where this machine is to answer (default: 4000)
set -eu
cd "$(dirname "$0")/.."

program=${SAMPAN:-sampan}
port=${PORT:-4000}
image=friendlyhello:demo
network=demo-net-$$
redis=demo-redis-$$
hello=demo-hello-$$
registry=localhost:$((port + 1))
pushed=$registry/me/hello:v1.0

main() {
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    say "Base images come from a registry, or from your distribution's packages, as here."
    base_images python:2.7-slim redis

    say "A Dockerfile says how an application becomes an image."
    run cat examples/friendlyhello/Dockerfile
    say "Build it. What has not changed since the last time is not done again."
    run sampan build --tag "$image" examples/friendlyhello

    say "Containers on one network find each other by name, and nobody else finds them."
    run sampan network create "$network"
    say "Redis keeps the count. On this network its name is redis."
    run sampan run --detach --name "$redis" --network "$network" --network-alias redis redis
    say "The application. Port $port of this machine leads to port 80 of the container."
    run sampan run --detach --name "$hello" --network "$network" --publish "$port:80" "$image"

    say "Run one more program in a container: ask Redis whether it is there."
    await_redis
    run sampan exec "$redis" redis-cli ping
    say "Visit the page. The first time, wait for the application to listen."
    visit --retry 30 --retry-delay 1 --retry-all-errors
    first=$visits
    say "And again: the count rises."
    visit
    second=$visits
    visit
    [ "$second" -eq $((first + 1)) ] && [ "$visits" -eq $((first + 2)) ] ||
        fail "the counter does not rise: $first, $second, $visits"

    say "What is running."
    run sampan ps

    say "A registry of our own, through which others get the image."
    serve_registry
    run sampan tag "$image" "$pushed"
    run sampan push "$pushed"
    say "Forget that name, and run the image from the registry."
    run sampan rmi "$pushed"
    run sampan run --rm "$pushed" python --version
    run sampan rmi "$pushed"
    say "What the application has said."
    run sampan logs "$hello"
    worked=yes
}

# A teaching line.
say() { printf '\n%s# %s%s\n' "$dim" "$*" "$plain"; }

show() { printf '%s$ %s%s\n' "$bold" "$*" "$plain"; }

# Shows a command, then runs it.
run() {
    show "$@"
    "$@"
}

# The program, under the name it will have once it is installed.
sampan() { $as_root "$program" "$@"; }

base_images() {
    show cargo xtask images "$@"
    tars=$(cargo xtask images "$@")
    for tar in $tars; do
        run sampan load --input "$tar"
    done
}

# In a directory of its own that goes with it.
serve_registry() {
    directory=$(mktemp --directory)
    show sampan serve registry --listen "$registry" "&"
    # The program itself: a function in the background would be a shell, and that the one to be ended.
    $as_root "$program" serve registry --quiet --metrics-listen none --listen "$registry" --root "$directory" &
    server=$!
    curl --silent --show-error --fail --output /dev/null --retry 50 --retry-delay 1 --retry-all-errors \
        "http://$registry/v2/"
}

await_redis() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        answer=$(sampan exec "$redis" redis-cli ping 2>&1) && return
        sleep 1
    done
    fail "Redis does not answer: $answer"
}

# Asks for the page, and leaves the count it shows in $visits.
visit() {
    set -- curl --silent --show-error --fail "$@" "http://localhost:$port"
    show "$@"
    page=$("$@")
    printf '%s\n' "$page"
    visits=$(printf '%s\n' "$page" | sed -n 's/.*<b>Visits:<\/b> \([0-9][0-9]*\)$/\1/p')
    [ -n "$visits" ] || fail "the page shows no count"
}

fail() {
    printf '\ndemo: %s\n' "$*" >&2
    exit 1
}

# Keeps the exit code, unless what was started cannot be removed.
clean_up() {
    code=$?
    trap '' INT TERM
    if [ -z "$worked" ]; then
        printf '\ndemo: stopped early; what the containers said last, if there are any:\n' >&2
        for container in "$redis" "$hello"; do
            ! sampan inspect "$container" >/dev/null 2>&1 || sampan logs --tail 20 "$container" >&2 || true
        done
    fi
    say "Remove the containers, with their volumes, and the network."
    run sampan rm --force --volumes "$hello" "$redis" || code=1
    run sampan network rm --force "$network" || code=1
    if [ -n "$server" ]; then
        $as_root kill "$server" || code=1
        wait "$server" || true
        $as_root rm -r "$directory"
    fi
    if [ -n "$worked" ]; then
        printf '\nThat was all of it. The image stays: sampan run --rm %s python --version\n' "$image"
    fi
    exit "$code"
}

worked=
server=
as_root=
[ "$(id -u)" -eq 0 ] || as_root=sudo
export no_proxy=localhost # the pages asked for are this machine's own
bold='' dim='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$(printf '\033[1m') dim=$(printf '\033[36m') plain=$(printf '\033[0m')
fi

main
