#!/bin/sh
set -eu
sed -i "s/^worker_processes .*/worker_processes ${WORKERS};/" /etc/nginx/nginx.conf
sed "s/@SERVER_NAME@/${SERVER_NAME}/" /etc/nginx/site.conf.in >/etc/nginx/conf.d/site.conf
echo "env_started=$(date +%s)" >/run/nginx-sed.env
exec "$@"
