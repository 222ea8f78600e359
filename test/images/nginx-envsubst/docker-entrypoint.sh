#!/bin/sh
set -eu
for template in /etc/nginx/templates/*.template; do
	envsubst '${NGINX_HOST} ${NGINX_PORT}' <"$template" >"/etc/nginx/conf.d/$(basename "$template" .template)"
done
mkdir -p /run/nginx-cache
chown www-data:www-data /run/nginx-cache
exec "$@"
