#!/bin/sh
set -e
mkdir -p /run/php
sed -i 's|^listen = .*|listen = /run/php/app.sock|' /etc/php/*/fpm/pool.d/www.conf
php-fpm --daemonize
exec nginx -g 'daemon off;'
