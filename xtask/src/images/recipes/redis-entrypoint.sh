#!/bin/sh
set -e

# An option or a configuration file alone is for redis-server.
case "$1" in
-* | *.conf) set -- redis-server "$@" ;;
esac

if [ "$1" = redis-server ]; then
    # Upstream's build has no protected mode. Debian's has, and would refuse every client that is not
    # on the loopback interface: all other containers.
    set -- "$@" --protected-mode no
    if [ "$(id -u)" = 0 ]; then
        chown -R redis:redis . || true
        exec setpriv --reuid=redis --regid=redis --clear-groups "$@"
    fi
fi

exec "$@"
