#!/bin/sh
set -e

# started with only options: they are for the server
if [ "${1#-}" != "$1" ]; then
	set -- redis-server "$@"
fi

# root gives the data to the service's user and goes on as that user
if [ "$1" = 'redis-server' ] && [ "$(id -u)" = '0' ]; then
	find . \! -user redis -exec chown redis '{}' +
	exec gosu redis "$0" "$@"
fi

umask 0077
exec "$@"
