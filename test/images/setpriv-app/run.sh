#!/bin/sh -e
mkdir -p /var/lib/counter /var/log/counter
chown counter /var/lib/counter /var/log/counter
chmod 700 /var/lib/counter
ulimit -n 4096
exec setpriv --reuid=counter --regid=counter --clear-groups --ambient-caps=+net_bind_service --inh-caps=+net_bind_service python3 /opt/counter/server.py --port 80
