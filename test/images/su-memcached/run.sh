#!/bin/sh
install -d -o memcache -g memcache /run/memcached
exec su -s /bin/sh memcache -c "exec memcached -P /run/memcached/memcached.pid -l 0.0.0.0"
